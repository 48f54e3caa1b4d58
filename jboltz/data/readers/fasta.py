"""FASTA: aligned sequences, weighted by how many are like them."""

import dataclasses
import gzip
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jboltz.data.readers.protocol import Rows
from jboltz.errors import InvalidValue
from jboltz.files import MOST_BYTES

ALPHABETS = {
    "DNA": ("-ACGT", "NRYSWKMBDHV"),
    "RNA": ("-ACGU", "NRYSWKMBDHV"),
    "protein": ("-ACDEFGHIKLMNPQRSTVWY", "XBZJUO"),
}
"""The categories of a site, and the letters that stand for an unknown one."""
_ENDINGS = (".fasta", ".fa", ".faa", ".fna", ".afa")


@dataclasses.dataclass(frozen=True)
class Fasta:
    """An alignment with one example per sequence. Its gaps, "-", are a category.

    Letters for an unknown one, such as X and N, are missing values.

    Args:
      alphabet: "DNA", "RNA", "protein", or all letters of another one; by default the
        first of the three that fits.
      identity: a sequence counts 1 / (number of sequences that agree with it in at
        least this share of the sites, itself included). None: each counts once. The
        time grows with the square of the number of sequences.
    """

    alphabet: str | None = None
    identity: float | None = 0.8

    endings: ClassVar[tuple[str, ...]] = (*_ENDINGS, *(f"{x}.gz" for x in _ENDINGS))
    types: ClassVar[tuple[str, ...]] = ()

    def open(self, source: Any) -> Rows:
        names, texts = _parsed(source)
        lengths = [len(text) for text in texts]
        for name, length in zip(names, lengths, strict=True):
            if length != lengths[0] or not length:
                raise InvalidValue(
                    f"sequence {name!r} has {length} letters and {names[0]!r} has "
                    f"{lengths[0]}, but all need the same number, above 0; align them."
                )
        letters = np.array([*"".join(texts)]).reshape(len(texts), -1)
        seen = {*letters.flat}
        fitting = (name for name, (x, y) in ALPHABETS.items() if seen <= {*x, *y})
        what = self.alphabet or next(fitting, "protein")
        alphabet, unknown = ALPHABETS.get(what, (what, ""))
        is_known = np.isin(letters, [*alphabet])
        wrong = np.argwhere(~is_known & ~np.isin(letters, [*unknown]))
        if len(wrong):
            row, site = wrong[0]
            letter = str(letters[row, site])
            raise InvalidValue(
                f"sequence {names[row]!r} has {letter!r} at site {site} "
                f"but the letters of {what} are {alphabet!r}; correct it, or pass "
                "`reader=Fasta(alphabet=…)`."
            )
        weights, note = None, ""
        if self.identity is not None:
            weights = identity_weights(letters, self.identity)
            note = f"; by identity they count as {weights.sum():.1f}"
        masked = np.ma.MaskedArray(letters, ~is_known)
        return Rows(
            count=len(texts),
            take=lambda index: {"letters": masked[index]},
            note=f"{len(texts)} sequences of {what} with {lengths[0]} sites{note}",
            weights=weights,
            levels={"letters": np.array([*alphabet])},
        )


def identity_weights(letters: np.ndarray, identity: float) -> np.ndarray:
    """1 / (number of sequences that agree in at least `identity` of the sites)."""
    one_hot = np.concatenate([letters == x for x in np.unique(letters)], axis=1)
    one_hot = one_hot.astype(np.float32)
    least = identity * letters.shape[1] - 1e-3  # agreements are whole numbers
    blocks = [one_hot[i : i + 1024] @ one_hot.T for i in range(0, len(letters), 1024)]
    alike = [(block >= least).sum(axis=1) for block in blocks]
    return (1 / np.concatenate(alike)).astype(np.float32)


def _parsed(path: Path) -> tuple[list[str], list[str]]:
    """The names and the letters of all sequences, in capitals."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    before, *records = content.decode("ascii").replace("\r", "").split(">")
    if len(content) > MOST_BYTES or before.strip() or not records:
        raise InvalidValue(
            f"{path} has {len(content)} bytes that begin with {content[:20]!r} but "
            f"FASTA begins with '>', and at most {MOST_BYTES} bytes are read; look at "
            "what it is."
        )
    parts = [record.partition("\n") for record in records]
    texts = ["".join(rest.split()).upper().replace(".", "-") for *_, rest in parts]
    return [name for name, *_ in parts], texts
