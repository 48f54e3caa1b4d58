"""The frame of a program: from its command line to its results."""

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import jax
from jax.sharding import Mesh

from jboltz import plotting, sharding
from jboltz.checkpoint.contents import check_json
from jboltz.checks import records_of
from jboltz.data import Dataset, fingerprint
from jboltz.errors import InvalidType, InvalidValue
from jboltz.learning.step import TrainState
from jboltz.runs import config as configs
from jboltz.runs import machine, processes, sources, terminal
from jboltz.runs.config import ConfigT, TrainingConfig
from jboltz.runs.progress import say
from jboltz.runs.recorded import ABOUT, COSTS
from jboltz.runs.workdir import Workdir, finished

ParamsT = TypeVar("ParamsT")


def about_dataset(data: Any) -> dict[str, Any]:
    """What a data set is: its name, its sizes and the checksum of its contents.

    Args:
      data: a `Dataset`.
    """
    _check_returned("load", data, isinstance(data, Dataset), "a `jboltz.data.Dataset`")
    return {
        "name": data.name,
        "num_train": len(data.train),
        "num_test": len(data.test),
        "sha256": fingerprint(data),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program(Generic[ConfigT, ParamsT]):
    """What a program consists of. `main` loads, checks, runs, draws and reports."""

    name: str
    """The module's, and the default folder's below runs/."""
    config: type[ConfigT]
    """Its fields are the flags."""
    load: Callable[[ConfigT], Any] = sources.load
    """Loads the data, a `Dataset` or, with another `about`, a record of one's own with
    a `note`, which is shown, and a `source`; by default those of the field `data`."""
    about: Callable[[Any], dict[str, Any]] = about_dataset
    """Tells data from others, as JSON: a run goes on with the same data alone."""
    check: Callable[[ConfigT, Any], None] = lambda config, data: None
    """Refuses, with an `InvalidValue`, what cannot be run; before anything is written.
    """
    run: Callable[[ConfigT, Any, Workdir], tuple[ParamsT, dict[str, Any]]]
    """Trains and evaluates: parameters (for model.safetensors; None to save nothing),
    and the numbers for `results.json`."""
    draw_figures: Callable[
        [ConfigT, Any, ParamsT, dict[str, Any]], Mapping[str, plotting.Drawing]
    ] = lambda config, data, params, numbers: {}
    """Draws matplotlib figures, by file name, of what `run` returned."""
    report: Callable[[dict[str, Any]], None] = lambda results: None
    """Shows `results.json` in a few lines."""
    model: Callable[[ConfigT, Any], Any] = lambda config, data: None
    """The spec whose parameters `run` returns; None where they are another tree of
    arrays, such as those of Flax nets."""
    notes: Callable[[ConfigT, Any, dict[str, Any]], Any] = lambda config, data, x: None
    """What model.safetensors says beside the model, from the numbers of `run`."""


def main(program: Program[Any, Any], arguments: list[str] | None = None) -> None:
    """Runs a program, and ends the process if something stands in its way.

    An error that jboltz raises on purpose, or any from the operating system, is a
    message and exit status 2; an error from elsewhere is a bug and keeps its
    traceback.

    Args:
      program: what to run.
      arguments: of the command line; None: those of this process, which becomes the
        program's own (`terminal.take_over`). Interrupted by SIGINT, SIGTERM or SIGHUP,
        it then says how to go on and ends with status 130, 143 or 129.
    """
    if arguments is None:
        terminal.take_over()
        arguments = sys.argv[1:]
    try:
        with terminal.errors_as_lines():
            _run(program, arguments)
            terminal.finish()
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1 or "RESOURCE_EXHAUSTED" in str(error):
            raise  # It is this process that has no room.
        processes.leave(error)


def _run(program: Program[Any, Any], arguments: list[str]) -> None:
    clock = machine.Clock()
    machine.use_wide_vectors()
    machine.keep_compiled_programs()
    config = configs.parse(program.config, program.name, arguments)
    is_distributed = isinstance(config, TrainingConfig) and config.distributed
    if is_distributed:
        processes.join()
    mesh = _mesh(config)
    data = program.load(config)
    about_data = program.about(data)
    say(data.note)
    program.check(config, data)
    identity = {
        "program": program.name,
        "config": configs.identity(config),
        "data": about_data,
    }
    if is_distributed:
        laid_out = {"mesh": dataclasses.asdict(config.mesh)}
        versions = {"versions": machine.environment()["versions"]}
        processes.check_agreement(identity | laid_out | versions)
    results = None if config.overwrite else finished(config.workdir, identity)
    if results is not None:
        say(f"{config.workdir} holds a finished run; these are its results.")
    if results is None or config.tensorboard:
        with Workdir(
            config.workdir,
            identity,
            overwrite=config.overwrite,
            tensorboard=config.tensorboard,
            mesh=mesh,
        ) as workdir:
            workdir.write_config(configs.as_toml(config))
            if results is None:
                numbers = _carry_out(program, config, data, workdir)
                # Results that are sound stay, with the seconds that they took.
                results = workdir.results() or {
                    "program": program.name,
                    "config": configs.as_json(config),
                    "data": {**about_data, "source": data.source},
                    **numbers,
                    **machine.environment(),
                    **clock.costs(),
                }
                workdir.write_results(results)
    program.report(results)
    say(
        f"The start that finished the run took {results['wall_seconds']:.1f} s, of "
        f"these {results['compile_seconds']:.1f} s to compile; figures and "
        f"results.json are in {config.workdir}"
    )


def _carry_out(
    program: Program[ConfigT, Any], config: ConfigT, data: Any, workdir: Workdir
) -> dict[str, Any]:
    """Trains, evaluates and draws; the numbers of `program.run`."""
    found = program.run(config, data, workdir)
    is_pair = isinstance(found, tuple) and len(found) == 2
    is_right = is_pair and not isinstance(found[0], TrainState)
    need = "(parameters, numbers), such as `state.params, {…}`,"
    _check_returned("run", found, is_right, need)
    params, numbers = found
    check_json("numbers", numbers)
    if taken := numbers.keys() & {*ABOUT, *COSTS}:
        raise InvalidValue(
            f"`numbers` has {', '.join(sorted(taken))}, but every results.json has "
            "entries of these names already; give other names."
        )
    try:
        json.dumps(numbers, allow_nan=False)
    except ValueError:
        say(
            "warning: `numbers` has NaN or an infinity, which results.json keeps but "
            "readers of JSON other than Python's may refuse; put None in their place."
        )
    if params is not None:
        notes = program.notes(config, data, numbers)
        workdir.write_model(program.model(config, data), params, notes)
    say("drawing the figures")
    figures = program.draw_figures(config, data, params, numbers)
    need = "a dictionary of figures by name"
    _check_returned("draw_figures", figures, isinstance(figures, dict), need)
    for name, figure in figures.items():
        is_right = isinstance(name, str) and isinstance(figure, plotting.Drawing)
        need = "a matplotlib figure by the name of its file"
        _check_returned(f"draw_figures[{name!r}]", figure, is_right, need)
    workdir.write_figures(figures)
    return numbers


def _check_returned(name: str, value: Any, is_right: bool, need: str) -> None:
    if not is_right:
        raise InvalidType(
            f"`{name}` returned {records_of(value)} but {need} is needed; see "
            "`jboltz.runs.program.Program` for what each function returns."
        )


def _mesh(config: configs.RunConfig) -> Mesh | None:
    """The devices to train on; None for one, where nothing has to be placed."""
    if not isinstance(config, TrainingConfig):
        return None
    mesh = sharding.make_mesh(data=config.mesh.data, model=config.mesh.model)
    if mesh.size == 1:
        return None
    sharding.check_batch(config.batch_size, mesh)
    return mesh
