"""Modules for other libraries say which extra they need, and nothing loads them."""

import importlib
import subprocess
import sys

import pytest

from jboltz.errors import MissingPackage


@pytest.mark.parametrize("name", ["numpyro", "distrax"])
def test_a_missing_library_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"jboltz.{name}", raising=False)
    with pytest.raises(MissingPackage, match=rf"jboltz\[{name}\]"):
        importlib.import_module(f"jboltz.{name}")


def test_jboltz_loads_none_of_them():
    code = (
        "import sys; from jboltz import *; "
        "others = {'numpyro', 'distrax', 'arviz_base', 'xarray', 'blackjax'}; "
        "print(sorted(others & {m.split('.')[0] for m in sys.modules}))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
