"""Settings of Sphinx for the guide: `sphinx-build -W jboltz/guide build/site`.

On the pages of the reference a block `{entries} MODULE` lists names of a module, one a
line. It becomes a table of their first sentences, followed by their docstrings.
"""

import ast
import importlib
import inspect
import pathlib
import re
import shutil
import textwrap
from importlib import metadata
from typing import Any

_package = metadata.metadata("jboltz")
_links = dict(line.split(", ", 1) for line in _package.get_all("Project-URL", []))

project = "jboltz"
author = "the authors of jboltz"
release = _package["Version"]
html_title = f"jboltz {release}"

extensions = [
    "myst_nb",  # Markdown, and notebooks with their outputs
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
# A test runs the blocks of code; notebooks are stored with their outputs.
nb_execution_mode = "off"
suppress_warnings = ["toc.empty_glob"]  # a package without the tutorials

default_role = "py:obj"  # `name` in a docstring links to the entry of that name
add_module_names = False
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {
    "members": True,
    # The class of a record; and what Flax and scikit-learn add.
    "exclude-members": "Params, replace, set_fit_request, "
    "set_partial_fit_request, set_score_request",
}
python_maximum_signature_line_length = 88
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["guide.css"]
html_show_sphinx = False
html_theme_options = {
    "logo": {"text": "jboltz"},
    "show_toc_level": 2,
    "collapse_navigation": True,  # see guide.css
    "navigation_with_keys": False,
    "navbar_align": "left",
    # The wide search field has a label that differs from its text.
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc", "edit-this-page", "sourcelink"],
    # The package's metadata name the place of its source, where it has one.
    "use_edit_page_button": "Source" in _links,
}
html_context = {
    "default_mode": "auto",
    "edit_page_provider_name": "the source",
    "edit_page_url_template": _links.get("Source", "")
    + "/edit/main/{{ 'experiments/' if file_name.startswith('tutorials/') else "
    "'jboltz/guide/' }}{{ file_name }}",
}


ENTRIES = re.compile(r"^```\{entries\} (\S+)\n(.*?)^```$", re.M | re.S)


def kind(entry):
    """How autodoc calls an object."""
    if inspect.isclass(entry):
        return "class"
    return "function" if inspect.isroutine(entry) else "data"


def expand(block):
    """A block of entries as the directives of autosummary and autodoc."""
    module, names = block[1], block[2].split()
    where = importlib.import_module(module)
    table = "".join(f"   {name}\n" for name in names)
    entries = "".join(
        f".. auto{kind(getattr(where, name))}:: {name}\n" for name in names
    )
    return (
        f"```{{eval-rst}}\n.. currentmodule:: {module}\n\n"
        f".. autosummary::\n   :nosignatures:\n\n{table}\n{entries}```"
    )


MARKS = re.compile(r"(`+[^`]*`+)|([*|]|_(?!\w))")
"""Code in backticks, or what reStructuredText would take for a mark of its own."""


def escape_docstring(app, kind, name, entry, options, lines):
    """Docstrings are plain text with examples, indented blocks and `code`."""
    block = None  # the margin of the indented block around a line
    for i, line in enumerate(lines):
        if block and (not line or line.startswith(block)):
            continue
        block = None
        if not line.lstrip().startswith((">>>", "...")):
            lines[i] = MARKS.sub(lambda found: found[1] or f"\\{found[2]}", line)
        margin = " " * (4 + len(line) - len(line.lstrip()))
        gap, below = (*lines[i + 1 : i + 3], "", "")[:2]
        if line.endswith(":") and not gap and below.startswith(margin):
            block = margin
            lines[i] += ":"


def as_written(app, kind, name, entry, options, signature, returns):
    """The signature of a function as its source has it, with the shapes of arrays."""
    # A field of a class may be a function that has another name.
    if not inspect.isroutine(entry) or entry.__name__ != name.split(".")[-1]:
        return None
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(entry)))
    function: Any = ast.parse(source).body[0]
    if kind == "method" and not isinstance(entry, staticmethod):
        del function.args.args[0]  # `self` or `cls`
    returns = function.returns and ast.unparse(function.returns)
    return f"({ast.unparse(function.args)})", returns


# Sphinx writes the lines of a long signature as a list of definitions without terms.
SIGNATURE = re.compile(r"<dl>\n(?:<dd>.*</dd>\n)+</dl>")


def signatures_as_lines(app, page, template, context, tree):
    """Screen readers do not announce a list of definitions where there is none."""

    def as_lines(found):
        return found[0].replace("dl>", "div>").replace("dd>", "div>")

    context["body"] = SIGNATURE.sub(as_lines, context.get("body", ""))


def copy_tutorials(app, config):
    """Sphinx reads files below the guide alone; the notebooks are in `experiments/`."""
    guide = pathlib.Path(app.srcdir)
    shutil.rmtree(guide / "tutorials", ignore_errors=True)
    notebooks = guide.parents[1] / "experiments" / "tutorials"
    if notebooks.is_dir():
        names = shutil.ignore_patterns("*.md", ".*")
        shutil.copytree(notebooks, guide / "tutorials", ignore=names)


def colab_link(app, page, template, context, tree):
    """A tutorial opens in Colab by a link, where its source has a place on GitHub."""
    host, found, place = _links.get("Source", "").partition("github.com/")
    if found and page.startswith("tutorials/"):
        address = f"{host}colab.research.google.com/github/{place}/blob/main"
        link = f'<p><a href="{address}/experiments/{page}.ipynb">Open in Colab</a></p>'
        context["body"] = link + context["body"]


def setup(app):
    def expand_entries(app, page, source):
        source[0] = ENTRIES.sub(expand, source[0])

    app.connect("config-inited", copy_tutorials)
    app.connect("source-read", expand_entries)
    app.connect("autodoc-process-signature", as_written)
    app.connect("html-page-context", signatures_as_lines)
    app.connect("html-page-context", colab_link)
    # Before napoleon, which turns the sections of a docstring into reStructuredText.
    app.connect("autodoc-process-docstring", escape_docstring, priority=100)
