"""The commands beside `train`, each a function of its options."""

import csv
import dataclasses
import pathlib
import sys
from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jboltz
from jboltz import io
from jboltz.base import Batch, Params
from jboltz.commands import likelihoods
from jboltz.commands.rows import complete, drawn, kinds_of, tables
from jboltz.data import read
from jboltz.data.encoding import Encoding, from_json
from jboltz.data.readers import Tables, reader_of
from jboltz.data.readers.protocol import Columns
from jboltz.errors import InvalidValue
from jboltz.evaluation.likelihood import per_example
from jboltz.models.rbm import RBM
from jboltz.runs import machine, page
from jboltz.runs.progress import say

FILLING_STEPS = 100
"""Gibbs steps that draw the gaps of a row."""
NUM_ODD = 10
"""How many rows, those of the highest free energies, are named."""


def sample(options: Any) -> None:
    """Writes the ends of Gibbs chains that start at noise; gray values are means."""
    trained = load(options.model)
    encoding, is_gray = trained.encoding, trained.encoding.has_gray
    _, states, _ = jboltz.sample(
        trained.model,
        trained.params,
        jax.random.key(options.seed),
        warm_up=options.steps,
        num_chains=options.n,
        observe=jboltz.observe_visible_mean if is_gray else jboltz.observe_visible,
    )
    write(encoding.decode(jax.tree.map(lambda x: x[:, 0], states)), options.out)


def score(options: Any) -> None:
    """Says the mean likelihood and the odd rows; writes two scores of every row.

    A row with gaps has the free energy of one draw of them, and no likelihood.
    """
    trained = load(options.model)
    model, params = trained.model, trained.params
    filled, is_complete = states(trained, options.data, options.seed)
    encoding, log_z = trained.encoding, trained.log_partition
    if log_z is None:
        key = jax.random.key(options.seed)
        log_z = likelihoods.log_partition(model, params, filled, key)
    if count := np.count_nonzero(is_complete):
        whole = jax.tree.map(lambda x: x[is_complete], filled)
        found = likelihoods.likelihood(model, params, whole, log_z, encoding)
        likelihoods.say_likelihoods(found, f"{count} rows without gaps")
    energies = jboltz.anomaly_scores(model, params, filled).values
    say("the oddest rows, counted from 0, and their free energies in nats:")
    for row in np.argsort(-energies, kind="stable")[:NUM_ODD]:
        say(f"  row {row}: {energies[row]:.2f}")
    if options.out is not None:
        values = -energies - log_z["value"] - encoding.log_volume(filled.values)
        values = np.where(is_complete, values, np.nan)
        write({"free_energy": energies, "log_likelihood": values}, options.out)


def encode(options: Any) -> None:
    """Writes E[h | v] of every row."""
    trained = load(options.model)
    filled, _ = states(trained, options.data, options.seed)
    values = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), filled.values)
    encode_row = partial(trained.model.mean_hidden_state, trained.params)
    codes = per_example(encode_row, values, batch_size=1000)
    write({"hidden": np.asarray(codes, np.float32)}, options.out)


def report(options: Any) -> None:
    """Writes the page of a run; of one that is not finished it shows what there is."""
    file, found = page.write(options.run)
    for line in filter(None, (found["state"], *found["notes"])):
        say(line)
    say(f"The page is {file}")


def data(options: Any) -> None:
    """Prints the note of `read`."""
    kinds = kinds_of(options.kinds)
    print(read(options.path, tables(options.without), kinds=kinds).note)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A model, and what its file says of it."""

    model: RBM
    params: Params
    encoding: Encoding
    log_partition: dict[str, Any] | None  # None in a file not of `jboltz train`


def load(path: pathlib.Path) -> Trained:
    """The model in a file, or in the folder of a run.

    Raises:
      ValueError: it is no RBM, or does not say which columns it was trained on.
    """
    machine.use_wide_vectors()
    machine.keep_compiled_programs()
    if path.is_dir():
        path = path / "model.safetensors"
        if not path.exists():
            raise InvalidValue(
                f"{path.parent} has no model yet, since its run is not finished, or is "
                "no run; give the command of the run again."
            )
    model, params = io.load(path)
    notes = io.load_notes(path)
    if not isinstance(model, RBM) or not isinstance(notes, dict):
        notes = {}
    if "columns" not in notes:
        raise InvalidValue(
            f"{path} is no RBM of which the columns of its training data are known; "
            "save an RBM with the note `columns`, as `jboltz train` does, or use the "
            "model in Python, by `jboltz.load`."
        )
    return Trained(
        model=model,
        params=params,
        encoding=from_json(notes["columns"]),
        log_partition=notes.get("log_partition"),
    )


def states(trained: Trained, path: pathlib.Path, seed: int) -> tuple[Batch, np.ndarray]:
    """The rows of a file as states, with gaps filled by draws, and which had no gap.

    Raises:
      ValueError: the columns are not those of the training data, or have values that
        these had not.
    """
    known, reader = trained.encoding.features or trained.encoding.names, None
    if isinstance(reader_of(path), Tables):
        reader = Tables(only=known)
    batch = read(path, reader, like=trained.encoding).data
    is_complete = complete(batch)
    batch = drawn(trained.model.visible, batch, seed)
    if not is_complete.all():
        cd = jboltz.ContrastiveDivergence(trained.model, jboltz.Gibbs(trained.model))
        fill = jax.jit(jboltz.MissingDataEstimator(cd, FILLING_STEPS).fill)
        batch = fill(trained.params, batch, jax.random.key(seed))
    return Batch(values=batch.values, weights=batch.weights), is_complete


def write(columns: Columns, out: pathlib.Path | None) -> None:
    """Writes columns as CSV, to the standard output where there is no file.

    A column with several numbers in a row becomes several, numbered from 1.
    """
    flat = {}
    for name, values in columns.items():
        parts = values.reshape(len(values), -1).T
        for number, part in enumerate(parts, 1):
            if part.dtype.kind == "f":
                is_whole = ((np.abs(part) < 2**53) & (part == np.rint(part))).all()
                # Seven digits are what float32 holds.
                part = part.astype(int) if is_whole else np.char.mod("%.7g", part)
            flat[name if len(parts) == 1 else f"{name}_{number}"] = part.tolist()
    place = (
        nullcontext(sys.stdout)
        if out is None
        else out.open("w", newline="", encoding="utf-8")
    )
    with place as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(flat)
        lines.writerows(zip(*flat.values(), strict=True))
