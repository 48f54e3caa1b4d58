"""The API reference lists every public name, and describes every argument."""

import dataclasses
import importlib
import inspect
import pathlib
import re
import runpy

import pytest

from jboltz.errors import MissingPackage

GUIDE = pathlib.Path(__file__).parents[2] / "jboltz" / "guide"
PAGES = sorted((GUIDE / "reference").glob("*.md"))
ENTRIES = runpy.run_path(str(GUIDE / "conf.py"))["ENTRIES"]
ROOMS = [
    "jboltz",
    "jboltz.checkpoint",
    "jboltz.data",
    "jboltz.io",
    "jboltz.plotting",
    "jboltz.runs.config",
    "jboltz.runs.page",
    "jboltz.runs.program",
    "jboltz.runs.progress",
    "jboltz.runs.training",
    "jboltz.runs.workdir",
    "jboltz.sharding",
    "jboltz.sklearn",
    "jboltz.weights",
]
# The arguments that the page of the contracts describes once for all methods.
CONTRACTS = (GUIDE / "reference" / "contracts.md").read_text(encoding="utf-8")
USUAL = {
    name
    for row in re.findall(r"^\| (`.*?) \|", CONTRACTS, re.M)
    for name in re.findall(r"`(\w+)`", row)
}


def listed():
    """The entries of the reference as (module, name)."""
    for page in PAGES:
        for module, names in ENTRIES.findall(page.read_text(encoding="utf-8")):
            yield from ((module, name) for name in names.split())


def entry(module, name):
    try:
        return getattr(importlib.import_module(module), name)
    except MissingPackage as error:
        pytest.skip(str(error))


def public_names(room):
    """What a room says that it has, or what it defines."""
    module = importlib.import_module(room)
    of_its_own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == room
    ]
    names = getattr(module, "__all__", of_its_own)
    return [name for name in names if is_entry(getattr(module, name))]


def is_entry(value):
    """Whether it is anything but a room, or a type variable that only checkers read."""
    return not (inspect.ismodule(value) or type(value).__module__ == "typing")


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_in_the_reference(room):
    module = importlib.import_module(room)
    # A room lists the names of other rooms too.
    there = {
        id(entry(where, name))
        for where, name in listed()
        if where not in ("jboltz.numpyro", "jboltz.distrax")
    }
    missing = [x for x in public_names(room) if id(getattr(module, x)) not in there]
    assert public_names(room)
    assert not missing


def test_no_name_is_in_the_reference_twice():
    entries = list(listed())
    assert len(entries) == len(set(entries))


def described(doc):
    """The arguments in the `Args` of a docstring, or in its `Parameters`."""
    args = re.search(r"^Args:\n((?:  .*\n|\n)+)", f"{doc}\n", re.M)
    lines = re.findall(r"^  (\*{0,2}\w.*?):", args[1], re.M) if args else []
    section = re.search(r"^Parameters\n-+\n(.*?)(?:\n\n\w.*\n--|\Z)", doc, re.M | re.S)
    lines += re.findall(r"^(\w.*?) :", section[1], re.M) if section else []
    return {name for line in lines for name in re.findall(r"\w+", line)}


def described_fields(cls):
    """The fields of a class and of its bases that have a comment `#:` or a string."""
    for base in cls.__mro__:
        if dataclasses.is_dataclass(base):
            source = inspect.getsource(base)
            yield from re.findall(r"^    (\w+):.*#: ", source, re.M)
            yield from re.findall(r'^    (\w+):[^\n]*\n    """', source, re.M)


def undescribed(call, known):
    names = inspect.signature(call).parameters
    return [name for name in names if name not in {"self", "cls", *known}]


each_entry = pytest.mark.parametrize(
    ("module", "name"), [*listed()], ids=lambda name: name.removeprefix("jboltz.")
)


@each_entry
def test_every_argument_is_described(module, name):
    value = entry(module, name)
    if not callable(value) or getattr(value, "_is_protocol", False):
        return  # Nobody calls it.
    doc = inspect.getdoc(value) or ""
    known = described(doc)
    if inspect.isclass(value):
        known |= {*described_fields(value), *described(inspect.getdoc(value.__init__))}
    assert doc
    assert not undescribed(value, known)


@each_entry
def test_every_argument_of_a_method_is_described(module, name):
    value, lacking = entry(module, name), {}
    methods = vars(value) if inspect.isclass(value) else {}
    for method, function in methods.items():
        if method.startswith("_") or not inspect.isfunction(function):
            continue
        known = described(inspect.getdoc(function) or "") | USUAL
        if inspect.getdoc(function) and undescribed(function, known):
            lacking[method] = undescribed(function, known)
    lacking.pop("replace", None)  # of Flax
    assert not lacking
