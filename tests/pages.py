"""The code in the README and in the pages of the guide."""

import pathlib
import re

from jboltz.errors import MissingPackage

ROOT = pathlib.Path(__file__).parents[1]
GUIDE = sorted((ROOT / "jboltz" / "guide").rglob("*.md"))
README = ROOT / "README.md"
TUTORIALS = ROOT / "experiments" / "tutorials"
RESULTS = sorted(
    path.name
    for path in TUTORIALS.parent.iterdir()
    if path.is_dir() and path != TUTORIALS
)
"""The folders of `experiments/` that hold the results of a program."""


def name(page):
    return str(page.relative_to(ROOT))


def blocks(page, language):
    """The blocks of a page in one language, each with its first line's number."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, found.start(1)), found[1]


def run(page):
    """Runs the Python of a page from top to bottom, block by block.

    A block that needs a package that is not installed is left out, so a later block
    uses nothing that such a block defines.

    Returns:
      What the page defined, and a line for each block that was left out.
    """
    namespace, left_out = {"__name__": "page"}, []
    for line, code in blocks(page, "python"):
        try:
            # The empty lines give a traceback the numbers of the page.
            exec(compile("\n" * line + code, str(page), "exec"), namespace)
        except (MissingPackage, ModuleNotFoundError) as error:
            if (error.name or "").startswith("jboltz"):
                raise
            left_out.append(f"line {line + 1}: {error}")
    return namespace, left_out
