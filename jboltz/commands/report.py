"""jboltz report RUN: report.html, a page that needs no other file and no network."""

from typing import Any

from jboltz.runs import page
from jboltz.runs.progress import say


def run(options: Any) -> None:
    """Writes the page; of a run that is not finished it shows what there is."""
    file, found = page.write(options.run)
    for line in (found["state"], *found["notes"]):
        if line:
            say(line)
    say(f"The page is {file}")
