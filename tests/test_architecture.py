"""The map is true: imports go one way, and everything is where the map says."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import pathlib
import pkgutil
import re
import subprocess
import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
import jboltz.units
from tests import pages
from tests.units.cases import UNITS

ROOT = pathlib.Path(__file__).parents[1]
LIBRARY = ROOT / "jboltz"
FILES = sorted(LIBRARY.rglob("*.py"))
each_file = pytest.mark.parametrize(
    "file", FILES, ids=lambda file: str(file.relative_to(ROOT))
)

# Each part imports itself and what stands before it.
ORDER = [
    "errors",
    "ranges",
    "choices",
    "seals",
    "files",
    "domains",
    "base",
    "abilities",
    "checks",
    "names",
    "random",
    "products",
    "units",
    "models",
    "io",
    "weights",
    "samplers",
    "learning",
    "nets",
    "evaluation",
    "numpyro",
    "distrax",
    "sklearn",
    "runs",
    "commands",
    "experiments",
    "__main__",
]
# These import themselves and what `allowed` says below; runs, commands and experiments
# alone import them.
LEAVES = ["checkpoint", "data", "sharding", "plotting", "guide"]
# Data name the units that fit them.
ALSO = {"data": {"random", "units"}}
# What only one part of the library imports.
HEAVY = {
    "orbax": "checkpoint",
    "safetensors": "io",
    "numpyro": "numpyro",
    "distrax": "distrax",
    "arviz_base": "evaluation",
    "matplotlib": "plotting",
    "tyro": "runs",
    "tomli_w": "runs",
    "rich": "runs",
    "tensorboardX": "runs",
    "jinja2": "runs",
}


def part_of(file):
    """The part of the library that a file belongs to; "jboltz" for its front page."""
    first = file.relative_to(LIBRARY).parts[0]
    return "jboltz" if first == "__init__.py" else first.removesuffix(".py")


PARTS = {part_of(file) for file in FILES}


def imports(file):
    """The dotted names that a file imports anywhere; `from a import b` is a.b."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_parts(file):
    """The parts of the library that a file imports; a name of the front page is all."""
    for name in imports(file):
        library, *rest = name.split(".")
        if library == "jboltz":
            yield rest[0] if rest and rest[0] in PARTS else "jboltz"


def test_every_file_has_a_place_in_the_map():
    assert {*ORDER, *LEAVES, "jboltz"} >= PARTS
    assert {"base", "random", "units", "models", "samplers", "learning"} <= PARTS


@each_file
def test_imports_go_one_way(file):
    part = part_of(file)
    if part in ("jboltz", "experiments"):
        allowed = PARTS
    elif part in ("commands", "__main__"):
        allowed = PARTS - {"experiments"}
    elif part == "runs":
        allowed = PARTS - {"jboltz", "commands", "experiments"}
    elif part in LEAVES:
        allowed = {
            "errors",
            "ranges",
            "seals",
            "files",
            "domains",
            "base",
            "abilities",
            "checks",
        }
        allowed |= {"products", part} | ALSO.get(part, set())
    else:
        allowed = set(ORDER[: ORDER.index(part) + 1])
    assert set(imported_parts(file)) <= allowed


@each_file
def test_what_is_raised_on_purpose_is_an_error_of_jboltz(file):
    """A program shows it as one line; a bug in it keeps its traceback."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = ast.unparse(node.exc.func)
            assert name not in ("Exception", "ValueError", "TypeError", "ImportError")


def test_the_front_page_holds_names_of_the_library_alone():
    """`import jboltz` must not need what only the experiments install."""
    stub = ast.parse((LIBRARY / "__init__.pyi").read_text(encoding="utf-8"))
    imported = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    modules = {node.module or alias.name for node in imported for alias in node.names}
    parts = {module.split(".")[0] for module in modules}
    assert parts <= set(ORDER[: ORDER.index("sklearn")])


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_library_is_imported_in_one_part_alone(name):
    importers = {
        part_of(file)
        for file in FILES
        if any(imported.split(".")[0] == name for imported in imports(file))
    }
    assert importers == {HEAVY[name]}


def programs():
    """The modules of `jboltz/experiments` that are run, and the packages."""
    folder = LIBRARY / "experiments"
    packages = [file.parent for file in folder.glob("*/__main__.py")]
    return sorted(file.stem for file in [*folder.glob("[!_]*.py"), *packages])


def files_of(program):
    """A file, or all of a package."""
    path = LIBRARY / "experiments" / program
    return [*path.rglob("*.py")] if path.is_dir() else [path.with_suffix(".py")]


def test_experiments_are_programs_alone():
    """What two of them share has a room of its own."""
    private = {file.stem for file in (LIBRARY / "experiments").glob("_*.py")}
    assert all(name.startswith("_benchmark_") for name in private - {"__init__"})


@pytest.mark.parametrize("program", programs())
def test_a_program_imports_no_other(program):
    names = {name for file in files_of(program) for name in imports(file)}
    taken = {name.split(".")[2] for name in names if is_of_experiments(name)}
    assert taken.isdisjoint({*programs()} - {program})


def is_of_experiments(name):
    return name.startswith("jboltz.experiments.")


# Everything is tested, described and of a size.


def unit_types():
    for info in pkgutil.iter_modules(jboltz.units.__path__, "jboltz.units."):
        module = importlib.import_module(info.name)
        for _, cls in inspect.getmembers(module, inspect.isclass):
            is_spec = dataclasses.is_dataclass(cls) and hasattr(cls, "log_normalizer")
            if is_spec and cls.__module__ == info.name:
                yield cls


def test_every_unit_is_in_the_cases():
    types = set(unit_types())
    assert {jboltz.Bernoulli, jboltz.Gaussian} <= types
    assert types == {type(unit) for unit in UNITS}


@each_file
def test_a_file_holds_one_idea(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400


@each_file
def test_a_file_says_what_it_is(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert not tree.body or ast.get_docstring(tree)


# All but the rooms.
PUBLIC = [x for x in jboltz.__all__ if not inspect.ismodule(getattr(jboltz, x))]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_on_the_front_page(name):
    assert f"`{name}`" in (jboltz.__doc__ or "")


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_a_docstring(name):
    doc = inspect.getdoc(getattr(jboltz, name))
    assert doc
    # What a dataclass writes where nobody did.
    assert not doc.startswith(f"{name}(")


# What an example need not import.
USUAL = {"jax": jax, "jnp": jnp, "np": np, "optax": optax}


def test_examples_in_docstrings_are_true():
    failed = []
    for file in FILES:
        if ">>> " not in file.read_text(encoding="utf-8"):
            continue
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        module = importlib.import_module(name.removesuffix(".__init__"))
        results = doctest.testmod(module, extraglobs=USUAL)
        assert results.attempted, f"{name}: its examples are in no docstring"
        failed += [name] if results.failed else []
    assert not failed, failed


# The folders and the README.


def test_no_program_among_the_results():
    assert (ROOT / "experiments").is_dir()
    assert not list((ROOT / "experiments").rglob("*.py"))


def test_the_top_folder_holds_nothing_else():
    git = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = {line.split("/")[0] for line in git.stdout.splitlines()}
    if "pyproject.toml" not in names:
        pytest.skip("no git checkout")
    allowed = {"pyproject.toml", "LICENSE", "README.md", ".gitignore", ".ci"}
    assert names <= allowed | {"jboltz", "experiments", "tests"}


def test_files_of_tests_have_names_of_their_own():
    """pytest imports them by these names."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len({*names}), sorted(names)


def readmes():
    pages = sorted((ROOT / "experiments").glob("*/README.md"))
    return [ROOT / "README.md", ROOT / "experiments" / "README.md", *pages]


@pytest.mark.parametrize("readme", [*readmes(), *pages.GUIDE], ids=pages.name)
def test_commands_in_a_readme_exist(readme):
    text = readme.read_text(encoding="utf-8")
    for name in re.findall(r"python3? -m (jboltz[\w.]*)", text):
        parts = name.rstrip(".").split(".")
        path = ROOT.joinpath(*parts)
        is_package = (path / "__main__.py").is_file()
        assert is_package or path.with_suffix(".py").is_file(), name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = set(project["project"]["optional-dependencies"])
    for group in re.findall(r"(?:jboltz|\.)\[([\w, ]+)\]", text):
        assert set(re.split(r"\W+", group)) <= extras, group


def test_the_readme_names_a_command():
    assert "python -m jboltz.experiments." in readmes()[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("program", programs())
def test_a_program_has_results_and_a_row(program):
    assert (ROOT / "experiments" / program).is_dir()
    rows = readmes()[1].read_text(encoding="utf-8")
    assert re.search(rf"^\|.*\b{program}\b", rows, re.MULTILINE)


def test_results_have_a_program():
    assert set(pages.RESULTS) <= set(programs())
