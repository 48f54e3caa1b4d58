"""Tables with columns of several kinds: frames of pandas, CSV and Parquet."""

import dataclasses
import gzip
import re
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jboltz.data.readers.protocol import Rows
from jboltz.errors import InvalidType, InvalidValue, import_extra

MANY_COLUMNS = 64
"""A table of numbers with more columns is one array, such as pixels of images."""


@dataclasses.dataclass(frozen=True)
class Tables:
    """A table with one example per row. Categories and gaps are those of pandas.

    Args:
      without: columns to leave out, such as names of the rows.
      only: the columns to take; by default all.
    """

    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    endings: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".csv.gz", ".parquet")
    types: ClassVar[tuple[str, ...]] = ("pandas", "builtins.dict")

    def open(self, source: Any) -> Rows:
        pandas = import_extra("readers", "pandas", "a table")
        if isinstance(source, Path):
            source = _from_file(pandas, source)
        frame = pandas.DataFrame(source)
        names = [str(name) for name in frame.columns]
        if gone := {*self.without, *self.only} - {*names}:
            raise InvalidValue(
                f"the table lacks {sorted(gone)[:5]} and has the columns {names[:10]}; "
                "pass other names, or a table that has them."
            )
        kept = [name for name in self.only or names if name not in self.without]
        if not len(frame) or not kept or len({*names}) < len(names):
            raise InvalidValue(
                f"the table has {len(frame)} rows and the columns {names} but needs at "
                "least one of both, and no name twice."
            )
        frame = frame.set_axis(names, axis=1)[kept]
        columns = {name: _values(pandas, name, frame[name]) for name in kept}
        are_numbers, features = all(x.dtype.kind in "bf" for x in columns.values()), ()
        if len(kept) > MANY_COLUMNS and are_numbers:
            features = tuple(kept)
            columns = {"values": np.stack([*columns.values()], axis=1)}
        is_category = frame.dtypes == "category"
        return Rows(
            count=len(frame),
            take=lambda index: {name: x[index] for name, x in columns.items()},
            note=f"a table of {len(frame)} rows and {len(kept)} columns",
            levels={
                name: frame[name].cat.categories.to_numpy().astype(str)
                for name in frame.columns[is_category]
            },
            features=features,
        )


def _from_file(pandas: Any, path: Path) -> Any:
    if path.suffix.lower() == ".parquet":
        return pandas.read_parquet(path)
    table = {"filepath_or_buffer": path, "sep": _separator(path)}
    first = pandas.read_csv(**table, header=None, nrows=1, dtype=str).iloc[0]
    numbers = pandas.to_numeric(first, errors="coerce")
    if numbers.notna().all() and not _are_names(numbers.to_list(), path.name):
        return pandas.read_csv(**table, header=None)
    if (twice := first.duplicated() & first.notna()).any():
        raise InvalidValue(
            f"{path.name} has the columns {sorted({*first[twice]})} twice; give every "
            "column a name of its own."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            # By default pandas takes the first fields of too many for names of rows.
            return pandas.read_csv(**table, index_col=False)
    except pandas.errors.ParserWarning as error:
        raise InvalidValue(
            f"the rows of {path.name} have more fields than its first row has names; "
            "name all columns, or none."
        ) from error


def _separator(path: Path) -> str:
    """What separates the fields of the first lines, outside of quotes."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        text = b"".join(file.readline(2**20) for _ in range(5)).decode(errors="replace")
    lines = re.sub('"[^"]*"', "", text).splitlines()
    lines = [line for line in lines if line.strip()] or [""]
    return max(
        ",;\t",
        key=lambda mark: (min(x.count(mark) for x in lines), lines[0].count(mark)),
    )


def _are_names(first: list[Any], file: str) -> bool:
    """Whether a first row of numbers is 0, 1, 2, …, as pandas calls columns without
    names; any other is an example."""
    counted = [*range(len(first))]
    if len(first) < 3 or len({*first}) < len(first) or not {0, 1, 2} <= {*first}:
        return False
    if first != counted:
        raise InvalidValue(
            f"the first row of {file}, {first[:5]}, may be names of columns, which "
            "pandas calls 0, 1, 2, …, or an example; write a first row of names that "
            "are no numbers."
        )
    return True


def _values(pandas: Any, name: str, series: Any) -> np.ndarray:
    """A column as numbers with NaN in gaps, or as text that is masked there."""
    if series.dtype == object:
        series = series.convert_dtypes()
    types, gaps = pandas.api.types, series.isna().to_numpy()
    if types.is_bool_dtype(series.dtype) and not gaps.any():
        return series.to_numpy(bool)
    if types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(series):
        return series.to_numpy(np.float64, na_value=np.nan)
    filled = series.astype(object).where(~gaps, "").to_numpy()
    is_text = all(isinstance(x, str) for x in filled)
    if not is_text and series.dtype != "category":
        raise InvalidType(
            f"column `{name}` holds {sorted({type(x).__name__ for x in filled})} but "
            "numbers or text are needed; convert it, or leave it out by "
            "`Tables(without=…)`."
        )
    return np.ma.MaskedArray(filled.astype(str), gaps)
