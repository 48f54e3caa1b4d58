"""Training that goes on where it stopped: `fit`, with a checkpoint every epoch."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key

from jboltz import plotting, random, sharding
from jboltz.base import Batch, Metrics, Params, State
from jboltz.checkpoint import Checkpoints
from jboltz.errors import Diverged, InvalidValue
from jboltz.learning.rows import as_batch, num_rows, unchanged
from jboltz.learning.step import History, Prepare, TrainState, TrainStep
from jboltz.learning.train import fit
from jboltz.runs.progress import say, show_progress
from jboltz.runs.workdir import Workdir

IN_NATS = {"contrast", "cross_entropy", "negative_elbo", "wake"}
"""The losses that have a unit; the error of a reconstruction is squared, a unit."""


def fit_with_checkpoints(
    workdir: Workdir,
    stage: str,
    train_step: TrainStep,
    init: Callable[[Key[Array, ""]], TrainState],
    data: State | Batch,
    key: Key[Array, ""],
    *,
    batch_size: int,
    num_epochs: int,
    prepare: Prepare = unchanged,
    end_epoch: Callable[[TrainState], tuple[TrainState, Metrics]] | None = None,
    loss: str = "reconstruction_error",
    monitor: Callable[[Params, Params], Metrics] | None = None,
) -> tuple[TrainState, list[dict[str, Any]]]:
    """`fit`, with a checkpoint after every epoch, going on from the newest sound one.

    The arguments that are not listed here are those of `fit`.

    Args:
      workdir: the folder of the run.
      stage: a name for this part of the run: its folder of checkpoints, its lines in
        metrics.jsonl.
      init: builds the state before the first update.
      loss: the metric whose mean over an epoch's batches is its loss: of CD the
        `reconstruction_error`, of PCD the `contrast`.
      monitor: what else to record of an epoch, from the parameters before and after.

    Returns:
      The state, and a record an epoch: `epoch`, `loss`, `seconds`, the mean of every
      other metric, and what `monitor` returned.
    """
    key_init, key_fit = random.split(key)
    template, mesh = jax.eval_shape(init, key_init), workdir.mesh
    if mesh is not None:
        template = sharding.template(template, mesh)
        prepare = sharding.over_data(prepare, mesh)
        data = sharding.replicate(as_batch(data), mesh)
    folder = workdir.checkpoints(stage)
    with Checkpoints(folder) as checkpoints:
        has_steps = bool(checkpoints.steps())
        found, damaged = checkpoints.restore(template) if has_steps else (None, [])
        for line in damaged:
            say(f"warning: {line}; it is not used")
        records = found.notes["epochs"] if found else []
        state = found.state if found else init(key_init)
        if mesh is not None and not found:
            state = sharding.place(state, mesh)
        workdir.write_metrics(stage, records)
        if records:
            say(f"{stage}: goes on after epoch {len(records)} of {num_epochs}")
        started, before = time.perf_counter(), _gathered(state.params, mesh)

        def on_chunk(_: int, __: TrainState, history: History) -> None:
            if loss not in history:
                raise InvalidValue(
                    f"`loss` is {loss!r} but the step records {', '.join(history)}; "
                    "pass one of these."
                )
            show_chunk(len(history[loss]), _shown(loss, np.mean(history[loss])))

        def on_epoch(epoch: int, state: TrainState, history: History) -> None:
            nonlocal started, before
            seconds = round(time.perf_counter() - started, 3)
            others = {
                name: float(np.mean(x, dtype=np.float64)) for name, x in history.items()
            }
            mean = others.pop(loss)
            record = {"epoch": epoch + 1, "loss": mean, "seconds": seconds, **others}
            if monitor is not None:
                after = _gathered(state.params, mesh)
                seen = monitor(before, after)
                record |= {name: float(x) for name, x in seen.items()}
                before = after
            records.append(record)
            checkpoints.save(epoch + 1, state, {"epochs": records})
            workdir.write_metrics(stage, records)
            # An epoch that is shown is saved: a signal after its line loses nothing.
            shown = [_shown(loss, mean), *(f"{k} {x:.4g}" for k, x in others.items())]
            show_epoch("  ".join([*shown, f"{seconds:.1f} s"]))
            started = time.perf_counter()

        steps = -(-num_rows(as_batch(data)) // batch_size)
        progress = show_progress(stage, num_epochs, len(records), steps)
        with progress as (show_chunk, show_epoch):
            try:
                state, _ = fit(
                    train_step,
                    state,
                    data,
                    key_fit,
                    batch_size=batch_size,
                    num_epochs=num_epochs,
                    prepare=prepare,
                    end_epoch=end_epoch,
                    first_epoch=len(records),
                    # A chunk is what a signal waits for, and what moves the bar.
                    chunks_per_epoch=min(10, steps),
                    on_chunk=on_chunk,
                    on_epoch=on_epoch,
                )
            except FloatingPointError as error:
                last = f"epoch {len(records)} in {folder}" if records else "none"
                raise Diverged(
                    f"{stage}: {error} The last good checkpoint: {last}."
                ) from error
    # What comes after training runs on one device, of every process.
    return _gathered(state, mesh), records


def draw_contrast(records: list[dict[str, Any]]) -> Any:
    """A figure of the losses of PCD, from the records of `fit_with_checkpoints`."""
    return plotting.curves(
        {"contrast": [record["loss"] for record in records]},
        title="Free energy of the data minus that of the chains",
        ylabel="nats",
    )


def _shown(loss: str, value: Any) -> str:
    unit = " nats" if loss in IN_NATS else ""
    return f"{loss.replace('_', ' ')} {value:.4f}{unit}"


def _gathered(tree: Any, mesh: Mesh | None) -> Any:
    return tree if mesh is None else sharding.gather(tree)
