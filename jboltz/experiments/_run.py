"""What every program shares: its frame, its progress, and training that resumes."""

import errno
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jboltz import sharding
from jboltz.base import Batch, Metrics, Params, State
from jboltz.checkpoint import Checkpoints
from jboltz.data import Dataset, fingerprint
from jboltz.experiments import _config, _machine, _processes
from jboltz.experiments._workdir import Workdir
from jboltz.learning.rows import as_batch, num_rows, unchanged
from jboltz.learning.step import History, Prepare, TrainState, TrainStep
from jboltz.learning.train import fit

_CONSOLE = Console(highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """One plain line for the user, from the first process."""
    if not _processes.is_first():
        return
    _CONSOLE.print(line, markup=False)
    _CONSOLE.file.flush()  # A log in a file should show where the run is.


def main(
    name: str,
    config_class: type,
    arguments: list[str] | None,
    *,
    load: Callable[[Any], Dataset],
    check: Callable[[Any, Dataset], None],
    run: Callable[[Any, Dataset, Workdir], tuple[Any, dict[str, Any]]],
    draw_figures: Callable[[Any, Dataset, Any, dict[str, Any]], dict[str, Any]],
    report: Callable[[dict[str, Any]], None],
) -> None:
    """One program, from its command line to its results.

    An error that jboltz raises on purpose, or any from the operating system, is a
    message and exit status 2; an error from elsewhere is a bug and keeps its
    traceback. Interrupted by SIGINT or SIGTERM, the program says how to go on and ends
    with status 130 or 143.

    Args:
      name: the module's, and the default folder's below runs/.
      load: config → data, whose `note` is shown.
      check: refuses, with a ValueError, what cannot be run; before anything is
        written.
      run: trains and evaluates: parameters (saved in model/ as step 0 of
        `Checkpoints`; None to save nothing), and the numbers for `results.json`.
      draw_figures: matplotlib figures by file name.
      report: shows `results.json` in a few lines.
    """
    started, clock, is_distributed = time.perf_counter(), _machine.CompileClock(), False
    received = [signal.SIGINT]

    def terminate(number, _):
        received[0] = number
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        _machine.use_wide_vectors()
        config = _config.parse(config_class, name, arguments)
        is_distributed = getattr(config, "distributed", False)
        if is_distributed:
            _processes.join()
        mesh = _mesh(config)
        data = load(config)
        say(data.note)
        check(config, data)
        about_machine = _machine.environment()
        about_data = {
            "name": data.name,
            "num_train": len(data.train),
            "num_test": len(data.test),
            "sha256": fingerprint(data),
        }
        identity = {
            "program": name,
            "config": _config.identity(config),
            "data": about_data,
        }
        if is_distributed:
            versions = {"versions": about_machine["versions"]}
            _processes.check_agreement(identity | versions)
        with Workdir(
            config.workdir,
            identity,
            overwrite=config.overwrite,
            tensorboard=config.tensorboard,
            mesh=mesh,
        ) as workdir:
            results = workdir.results()
            if results is None:
                workdir.write_config(_config.as_toml(_config.as_json(config)))
                params, numbers = run(config, data, workdir)
                if params is not None:
                    with Checkpoints(workdir.path / "model") as model:
                        # A run that was stopped after this does it again.
                        model.save(0, _placed(params, mesh), {}, overwrite=True)
                workdir.write_figures(draw_figures(config, data, params, numbers))
                results = {
                    "program": name,
                    "config": _config.as_json(config),
                    "data": {**about_data, "source": data.source},
                    **numbers,
                    **about_machine,
                    "compile_seconds": round(clock.seconds, 2),
                    "wall_seconds": round(time.perf_counter() - started, 2),
                    "peak_memory_mb": _machine.peak_memory_mb(),
                }
                workdir.write_results(results)
            else:
                say(f"{workdir.path} holds a finished run; these are its results.")
        report(results)
        say(
            f"{results['wall_seconds']:.1f} s in all, {results['compile_seconds']:.1f} "
            f"s compiling; figures and results.json are in {config.workdir}"
        )
    except KeyboardInterrupt:
        say("Stopped. The same command goes on from the newest checkpoint.")
        sys.exit(128 + received[0])
    except (ValueError, TypeError, ImportError, FloatingPointError, OSError) as error:
        if not (isinstance(error, OSError) or _raised_by_jboltz(error)):
            raise
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            say("What was saved is kept: make room, and the same command goes on.")
        sys.exit(2)
    except jax.errors.JaxRuntimeError as error:
        if not is_distributed:
            raise
        _processes.leave(error)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _mesh(config: Any) -> Mesh | None:
    """The devices to train on; None for one, where nothing has to be placed."""
    asked = getattr(config, "mesh", _config.Mesh())
    mesh = sharding.make_mesh(data=asked.data, model=asked.model)
    if mesh.size == 1:
        return None
    if (batch_size := getattr(config, "batch_size", None)) is not None:
        sharding.check_batch(batch_size, mesh)
    return mesh


def _placed(tree: Any, mesh: Mesh | None) -> Any:
    return tree if mesh is None else sharding.replicate(tree, mesh)


def _raised_by_jboltz(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return module.split(".")[0] in ("jboltz", "__main__")


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

    Args:
      stage: a name for this part of the run: its folder of checkpoints, its lines in
        metrics.jsonl.
      init: builds the state before the first update.
      end_epoch: as for `fit`.
      loss: the metric whose mean over an epoch's batches is its loss.
      monitor: what else to record of an epoch, from the parameters before and after.

    Returns:
      The state, and a record an epoch: `epoch`, `loss`, `seconds`, the mean of every
      other metric, and what `monitor` returned.
    """
    key_init, key_fit = jax.random.split(key)
    template, mesh = jax.eval_shape(init, key_init), workdir.mesh
    if mesh is not None:
        template = sharding.template(template, mesh)
        prepare = sharding.over_data(prepare, mesh)
        data = sharding.replicate(as_batch(data), mesh)
    folder = workdir.path / "checkpoints" / stage
    with Checkpoints(folder) as checkpoints:
        found, damaged = checkpoints.restore(template)
        for line in damaged:
            say(f"warning: {line}; the one before it is used")
        records = found.notes["epochs"] if found else []
        state = found.state if found else init(key_init)
        if mesh is not None and not found:
            state = sharding.place(state, mesh)
        workdir.write_metrics(stage, records)
        if records:
            say(f"{stage}: goes on after epoch {len(records)} of {num_epochs}")
        started, before = time.perf_counter(), _gathered(state.params, mesh)

        def on_epoch(epoch: int, state: TrainState, history: History) -> None:
            nonlocal started, before
            mean = float(np.mean(history[loss], dtype=np.float64))
            seconds = round(time.perf_counter() - started, 3)
            others = {
                name: float(np.mean(x, dtype=np.float64))
                for name, x in history.items()
                if name != loss
            }
            record = {"epoch": epoch + 1, "loss": mean, "seconds": seconds, **others}
            if monitor is not None:
                after = _gathered(state.params, mesh)
                seen = monitor(before, after)
                record |= {name: float(x) for name, x in seen.items()}
                before = after
            records.append(record)
            checkpoints.save(epoch + 1, state, {"epochs": records})
            workdir.write_metrics(stage, records)
            shown = [f"loss {mean:.4f}", *(f"{k} {x:.4g}" for k, x in others.items())]
            show_epoch("  ".join([*shown, f"{seconds:.1f} s"]))
            started = time.perf_counter()

        steps = -(-num_rows(as_batch(data)) // batch_size)
        progress = _progress(stage, num_epochs, len(records), steps)
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
                    on_chunk=lambda _, __, history: show_chunk(history[loss]),
                    on_epoch=on_epoch,
                )
            except FloatingPointError as error:
                last = f"epoch {len(records)} in {folder}" if records else "none"
                raise FloatingPointError(
                    f"{stage}: {error} The last good checkpoint: {last}."
                ) from error
    # What comes after training runs on one device, of every process.
    return _gathered(state, mesh), records


def _gathered(tree: Any, mesh: Mesh | None) -> Any:
    return tree if mesh is None else sharding.gather(tree)


@contextmanager
def _progress(
    stage: str, num_epochs: int, epoch: int, steps_per_epoch: int
) -> Iterator[tuple[Callable[[np.ndarray], None], Callable[[str], None]]]:
    """A bar with the running loss on a terminal; a line an epoch anywhere.

    Yields what to call after a chunk, with the losses of the epoch so far, and after
    an epoch, with its line.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    is_terminal = _CONSOLE.is_terminal
    with Progress(
        *columns, console=_CONSOLE, transient=True, disable=not is_terminal
    ) as bar:
        task = bar.add_task(stage, total=num_epochs, completed=epoch, loss="–")

        def show_chunk(losses: np.ndarray) -> None:
            completed = epoch + len(losses) / steps_per_epoch
            bar.update(task, completed=completed, loss=f"{np.mean(losses):.4f}")

        def show_epoch(text: str) -> None:
            nonlocal epoch
            epoch += 1
            say(f"{stage}  epoch {epoch}/{num_epochs}  {text}")

        yield show_chunk, show_epoch


def sweep_counts(longest: int) -> dict[str, int]:
    """1, 10, 100, … and `longest` sweeps, each with its name: rows of pictures."""
    counts = [*(10**i for i in range(9) if 10**i < longest), longest]
    return {f"{count} sweep{'s' * (count > 1)}": count for count in counts}
