"""One page of one run.    python -m jboltz.experiments.report WORKDIR

Writes report.html into the workdir of any program: a page that needs no other file, no
network and no script. Of a run that is not finished it shows what there is.
"""

import argparse
import pathlib
import sys

from jboltz.errors import JboltzError


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jboltz.experiments.report",
        description="Writes report.html, one self-contained page, into a workdir.",
    )
    parser.add_argument("workdir", type=pathlib.Path, help="the folder of a run")
    workdir = parser.parse_args(arguments).workdir
    # Imported after --help is answered, since it needs JAX.
    from jboltz.runs import page
    from jboltz.runs.progress import say

    try:
        file, found = page.write(workdir)
    except (JboltzError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for line in (found["state"], *found["notes"]):
        if line:
            say(line)
    say(f"The page is {file}")


if __name__ == "__main__":
    main()
