"""The errors that jboltz raises on purpose, each beside the built-in one that it is.

A program shows them as one line; any other exception is a bug and keeps its traceback.
"""


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
