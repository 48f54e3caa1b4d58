"""The errors that jboltz raises on purpose, each beside the built-in one that it is.

A program shows them as one line; any other exception is a bug and keeps its traceback.
"""

import importlib
from typing import Any


class JboltzError(Exception):
    """Base of all of them: what was got, what is needed, and what to do."""


class InvalidValue(JboltzError, ValueError):
    """An argument, a file or a combination of them that cannot be used."""


class InvalidType(JboltzError, TypeError):
    """An argument of another kind than is needed."""


class MissingPackage(JboltzError, ImportError):
    """A package is needed that is not installed."""


class Diverged(JboltzError, FloatingPointError):
    """Training made a parameter NaN or infinite."""


def import_extra(extra: str, name: str, purpose: str) -> Any:
    """The module `name`, which an extra of jboltz installs.

    Args:
      extra: the name of the extra, for the message.
      name: the dotted name of the module.
      purpose: what needs the module, for the message.

    Raises:
      ImportError: it cannot be imported; the message names the extra that has it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(
            f"{purpose} needs {name}, which cannot be imported ({error}); install it "
            f"with: pip install 'jboltz[{extra}]'"
        ) from error
