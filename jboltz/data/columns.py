"""The values of one column: which were observed, and which are likely a mistake."""

import re
from typing import Any

import numpy as np

from jboltz.data.kinds import MOST_COUNT, Kind
from jboltz.domains import OneHot, as_numbers
from jboltz.errors import InvalidValue

MANY_NUMBERS = 10
"""Text beside this many different numbers is taken for a mark of gaps."""
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T].*)?|\d\d?[./]\d\d?[./]\d{2,4}")
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+\s*")


def observed(name: str, raw: Any, missing: tuple[Any, ...]) -> tuple[Any, Any]:
    """The values of a column, (examples, features), and where they were observed.

    Of one-hot rows, (examples, sites, categories), the numbers of the categories.
    """
    x, mask = np.ma.getdata(raw), ~np.ma.getmaskarray(raw)
    is_text = x.dtype.kind in "US"
    x = x if is_text else as_numbers(x, name)
    if x.ndim == 3 and x.shape[2] > 1 and OneHot(x.shape[2]).holds(x).all():
        return x.argmax(axis=2), mask.all(axis=2)
    x, mask = x.reshape(len(x), -1), mask.reshape(len(x), -1)
    if x.dtype.kind == "f":
        mask &= ~np.isnan(x)
    for mark in missing:
        if is_text:
            mask &= x != (mark if isinstance(mark, str) else f"{mark:g}")
        elif not isinstance(mark, str) or _NUMBER.fullmatch(mark):
            mask &= x != float(mark)
    return x, mask


def refuse(
    name: str, x: np.ndarray, is_bad: np.ndarray, rows: np.ndarray, kind: Kind
) -> None:
    """Raises an error that names the first bad value and its row, if there is one."""
    if not is_bad.any():
        return
    row, feature = (int(i) for i in np.argwhere(is_bad)[0])
    raise InvalidValue(
        f"`{name}` has {x[row, feature].item()!r} in row {rows[row]}, feature {feature}"
        f", but a value of the kind {kind.word!r} is {kind.needs}; correct it, mark it "
        "as a gap by NaN or by `missing`, or train "
        "with another kind in `kinds`."
    )


def parsed(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Text as numbers, with NaN where `mask` is False, if all of it is numbers."""
    try:
        return np.where(mask, x, "nan").astype(np.float64)
    except ValueError:
        return x


def refuse_numbers(name: str, seen: np.ndarray) -> None:
    """Refuses text that is most likely dates, or numbers: beside a mark for gaps, such
    as "?", or with a decimal comma."""
    if seen.dtype.kind not in "US":
        return
    texts = {str(text) for text in np.unique(seen)}
    others = sorted(text for text in texts if not _NUMBER.fullmatch(text))
    if others and all(_DATE.fullmatch(text) for text in others):
        raise InvalidValue(
            f"`{name}` has the date {others[0]!r}, of which no unit has states; leave "
            "the column out, or make it numbers, such as days. If these are categories "
            "pass the kind 'categories'."
        )
    if others and all(_DECIMAL_COMMA.fullmatch(text) for text in others):
        raise InvalidValue(
            f"`{name}` has {others[0]!r}, with a decimal comma; write a point in its "
            "place, and if these are categories pass the kind 'categories'."
        )
    if others and len(texts) - len(others) >= max(MANY_NUMBERS, len(others)):
        raise InvalidValue(
            f"`{name}` has the text {others[0]!r} beside numbers; if it marks a gap "
            f"pass `missing=({others[0]!r},)`, and if these are categories the kind "
            "'categories'."
        )


def refuse_mark(name: str, seen: np.ndarray) -> None:
    """Refuses one negative number beside counts, since it may be a mark for gaps."""
    negative, others = np.unique(seen[seen < 0]), seen[seen >= 0]
    if len(negative) == 1 and others.size and 1 < others.max() <= MOST_COUNT:
        if (seen == np.floor(seen)).all():
            raise InvalidValue(
                f"`{name}` has {negative[0]:g} beside whole numbers up to "
                f"{others.max():g}; if it marks a gap pass `missing=({negative[0]:g},)`"
                ", and if it is a number like the others `kinds='reals'`."
            )
