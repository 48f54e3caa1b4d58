"""jboltz data PATH: what a file holds, and which units fit it."""

from typing import Any

from jboltz.data import read


def run(options: Any) -> None:
    """Prints the note of `read`."""
    print(read(options.path).note)
