"""Rows of columns, written for other programs."""

import csv
import io
import pathlib
import sys

import numpy as np

from jboltz import seals
from jboltz.data.readers.protocol import Columns
from jboltz.errors import InvalidValue


def check(out: pathlib.Path | None, *, is_text: bool = False) -> None:
    """Refuses a file that `write` could not write.

    Args:
      is_text: whether there are texts, which an `.npy` file does not hold.

    Raises:
      ValueError: its ending is another one, or its folder is missing.
    """
    endings = (".csv",) if is_text else (".csv", ".npy")
    if out is not None and (out.suffix not in endings or not out.parent.is_dir()):
        raise InvalidValue(
            f"`out` is {out} but these rows are written to a file that ends in "
            f"{' or '.join(endings)}, in a folder that is there."
        )


def write(columns: Columns, out: pathlib.Path | None) -> None:
    """Writes columns as CSV or `.npy`, by the ending; CSV to the standard output where
    there is no file."""
    check(out, is_text=any(x.dtype.kind in "US" for x in columns.values()))
    flat = {name: x.reshape(len(x), -1) for name, x in columns.items()}
    content = io.BytesIO()
    if out is not None and out.suffix == ".npy":
        np.save(content, np.concatenate([*flat.values()], axis=1))
    else:
        text = io.TextIOWrapper(content, write_through=True)
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([label for name, x in flat.items() for label in labels(name, x)])
        for parts in zip(*(x.tolist() for x in flat.values()), strict=True):
            lines.writerow([value for part in parts for value in part])
    if out is None:
        sys.stdout.write(content.getvalue().decode())
    else:
        seals.replace(out, content.getvalue())


def labels(name: str, x: np.ndarray) -> list[str]:
    """The name of a column, numbered from 1 if a row has several numbers in it."""
    count = x.shape[1]
    return [name] if count == 1 else [f"{name}_{i + 1}" for i in range(count)]
