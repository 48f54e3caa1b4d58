"""`import jboltz` is light."""

import subprocess
import sys


def test_import_loads_no_heavy_library():
    code = (
        "import sys; from jboltz import *; "
        "heavy = {'orbax', 'requests', 'matplotlib', 'tyro'}; "
        "print(sorted(heavy & {m.split('.')[0] for m in sys.modules}))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


def test_a_program_can_answer_before_jax_is_imported():
    code = "import sys, jboltz; print('jax' in sys.modules, jboltz.RBM.__module__)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["False", "jboltz.models.rbm"]
