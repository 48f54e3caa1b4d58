"""What a file holds and which units fit it: python -m jboltz.data PATH."""

import sys

from jboltz.data import read
from jboltz.errors import JboltzError


def main(arguments: list[str]) -> int:
    """Prints the note of `read`, or one line on what is wrong; returns the status."""
    if len(arguments) != 1:
        print("usage: python -m jboltz.data PATH", file=sys.stderr)
        return 2
    try:
        print(read(arguments[0]).note)
    except (JboltzError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
