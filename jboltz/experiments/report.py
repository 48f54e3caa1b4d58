"""One page of one run.    python -m jboltz.experiments.report WORKDIR

The same as `jboltz report WORKDIR`.
"""

import sys

from jboltz import commands


def main(arguments: list[str] | None = None) -> None:
    """Writes report.html into the workdir of any program."""
    commands.main(["report", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    main()
