"""What a run says while it goes on: lines, and a bar on a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from jboltz.runs import processes

CENTRES = ("value", "mean", "median", "gap", "error")
"""The names by which an estimate in results.json calls its number."""

_CONSOLE = Console(highlight=False)
# A terminal has its lines broken between words; a file has them whole.
_CONSOLE.soft_wrap = not _CONSOLE.is_terminal


def say(line: str) -> None:
    """One plain line for the user, from the first process.

    Args:
      line: the text.
    """
    if processes.is_first():
        _CONSOLE.print(line, markup=False)


def say_table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """A title and a table, whose first column is aligned to the left.

    Args:
      title: the line above the table.
      headings: one text per column.
      rows: one text per column of each row.
    """
    say(title)
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for index, heading in enumerate(headings):
        justify = "right" if index else "left"
        table.add_column(heading, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    if processes.is_first():
        _CONSOLE.print(table, soft_wrap=False)


def with_error(estimate: Mapping[str, Any], digits: int, unit: str = "") -> str:
    """An estimate of results.json beside its standard error, "12.34 ± 0.56 nats".

    In the unit "%" shares are multiplied by 100. A mean of one example has no standard
    error, so the estimate stands alone.

    Args:
      estimate: a mapping with the entries `mean` and `standard_error`.
      digits: how many digits follow the decimal point.
      unit: the unit, such as "nats".
    """
    scale, centre = 100 if unit == "%" else 1, next(x for x in CENTRES if x in estimate)
    known = [estimate[x] for x in (centre, "standard_error") if estimate[x] is not None]
    text = " ± ".join(f"{scale * x:.{digits}f}" for x in known)
    return text + f" {unit}".rstrip()


def confidence_interval(estimate: Mapping[str, Any]) -> tuple[float, float] | None:
    """The ends between which a mean of results.json lies with at least 95 %.

    They are 1.96 standard errors below `lower` and above `upper`, which enclose what
    else is not known of the mean, such as log Z, by three errors. None where one of
    these three is not known.

    Args:
      estimate: a mapping with the entries `lower`, `upper` and `standard_error`.
    """
    lower, upper = estimate.get("lower"), estimate.get("upper")
    error = estimate.get("standard_error")
    if lower is None or upper is None or error is None:
        return None
    return lower - 1.96 * error, upper + 1.96 * error


@contextmanager
def show_progress(
    stage: str, num_epochs: int, epoch: int, steps_per_epoch: int
) -> Iterator[tuple[Callable[[int, str], None], Callable[[str], None]]]:
    """A bar with the running loss on a terminal; a line per epoch anywhere.

    Until the first epoch ends, the bar or a line says that the step is compiled.

    Yields what to call after a chunk, with the running loss as text, and after an
    epoch, with its line.

    Args:
      num_epochs: the total number of epochs.
      epoch: the number of epochs that are done already.
      steps_per_epoch: the number of updates per epoch.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[running]}"),
        TimeRemainingColumn(),
    )
    is_shown = _CONSOLE.is_terminal and processes.is_first()
    if not _CONSOLE.is_terminal and epoch < num_epochs:
        say(f"{stage}: compiling the training step")
    with Progress(
        *columns,
        console=_CONSOLE,
        transient=True,
        disable=not is_shown,
    ) as bar:
        task = bar.add_task(
            stage, total=num_epochs, completed=epoch, running="compiling"
        )

        def show_chunk(num_steps: int, running: str) -> None:
            completed = epoch + num_steps / steps_per_epoch
            bar.update(task, completed=completed, running=running)

        def show_epoch(text: str) -> None:
            nonlocal epoch
            epoch += 1
            say(f"{stage}  epoch {epoch}/{num_epochs}  {text}")

        yield show_chunk, show_epoch
