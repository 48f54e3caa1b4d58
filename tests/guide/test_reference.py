"""The API reference lists every public name, and describes every argument."""

import ast
import importlib
import inspect
import itertools
import pathlib
import re
import runpy
import sys
import textwrap

import pytest

from jboltz.errors import JboltzError, MissingPackage

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


def of_table(page):
    """The arguments that a page describes once for all of its entries."""
    rows = re.findall(r"^\| (`.*?) \|", page.read_text(encoding="utf-8"), re.M)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


# The table of the contracts is for the methods of all classes.
USUAL = of_table(GUIDE / "reference" / "contracts.md")
OF_PAGES = {
    name: of_table(page)
    for page in PAGES
    for _, names in ENTRIES.findall(page.read_text(encoding="utf-8"))
    for name in names.split()
    if page.stem != "contracts"
}


def listed():
    """The entries of the reference as (module, name)."""
    for page in PAGES:
        for module, names in ENTRIES.findall(page.read_text(encoding="utf-8")):
            yield from ((module, name) for name in names.split())


ROOM_OF = {name: module for module, name in listed()}


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


# A docstring may leave arguments to that of another function.
ELSEWHERE = r"(?:arguments|parameters)[^.]*?\s(?:explained\s+in|those\s+of)\s+`(\w+)`"


def described(value):
    """The arguments in the `Args` of a docstring, or in its `Parameters`."""
    doc = inspect.getdoc(value) or ""
    args = re.search(r"^Args:\n((?:  .*\n|\n)+)", f"{doc}\n", re.M)
    lines = re.findall(r"^  (\*{0,2}\w.*?):", args[1], re.M) if args else []
    of_numpy = r"^Parameters\n-+\n(.*?)(?:\n\n\w.*\n--|\Z)"
    section = re.search(of_numpy, doc, re.M | re.S)
    lines += re.findall(r"^(\w.*?) :", section[1], re.M) if section else []
    names = {name for line in lines for name in re.findall(r"\w+", line)}
    for other in re.findall(ELSEWHERE, doc):
        module = sys.modules[value.__module__]
        names |= described(getattr(module, other, None) or entry(ROOM_OF[other], other))
    return names


def described_fields(cls):
    """The fields of a class and of its bases that have a comment `#:` or a string."""
    for base in cls.__mro__:
        if "__annotations__" in vars(base) and base.__module__.startswith("jboltz"):
            source = textwrap.dedent(inspect.getsource(base))
            lines, (tree,) = source.splitlines(), ast.parse(source).body
            for field, below in itertools.zip_longest(tree.body, tree.body[1:]):
                if isinstance(field, ast.AnnAssign):
                    near = lines[field.lineno - 2 : field.end_lineno]
                    is_text = isinstance(below, ast.Expr)
                    if is_text or near[0].strip().startswith("#:") or "#: " in near[-1]:
                        yield field.target.id


def undescribed(call, known):
    names = inspect.signature(call).parameters
    return [name for name in names if name not in {"self", "cls", *known}]


each_entry = pytest.mark.parametrize(
    ("module", "name"), [*listed()], ids=lambda name: name.removeprefix("jboltz.")
)


@each_entry
def test_every_argument_is_described(module, name):
    value = entry(module, name)
    is_call = inspect.isclass(value) or inspect.isroutine(value)
    if not is_call or getattr(value, "_is_protocol", False):
        return  # Nobody calls it.
    if inspect.isclass(value) and issubclass(value, JboltzError):
        return  # jboltz raises it.
    known = described(value) | OF_PAGES.get(name, set())
    if inspect.isclass(value):
        known |= {*described_fields(value), *described(value.__init__)}
    assert inspect.getdoc(value)
    assert not undescribed(value, known)


@each_entry
def test_every_argument_of_a_method_is_described(module, name):
    value, lacking = entry(module, name), {}
    methods = vars(value) if inspect.isclass(value) else {}
    for method, function in methods.items():
        is_method = inspect.isfunction(function) and function.__name__ == method
        # `replace` is of Flax.
        if method.startswith("_") or method == "replace" or not is_method:
            continue
        known = described(function) | USUAL | OF_PAGES.get(name, set())
        if inspect.getdoc(function) and undescribed(function, known):
            lacking[method] = undescribed(function, known)
    assert not lacking
