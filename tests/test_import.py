"""`import jboltz` is light."""

import subprocess
import sys


def test_import_loads_no_heavy_library():
    code = (
        "import sys, jboltz; "
        "heavy = {'orbax', 'pooch', 'matplotlib', 'tyro'}; "
        "print(sorted(heavy & {m.split('.')[0] for m in sys.modules}))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
