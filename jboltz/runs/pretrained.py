"""What a finished run of pretraining left in its workdir, checked and read."""

import json
import pathlib
import shlex
from typing import Any, NamedTuple

from jaxtyping import Array

from jboltz import seals
from jboltz.base import Params
from jboltz.data import Dataset, fingerprint, scale_pixels
from jboltz.errors import InvalidValue
from jboltz.io import load
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.dbn import DBN
from jboltz.models.rbm import RBM

PROGRAMS = ("dbn_mnist", "dbm_mnist", "rbm_mnist")
"""The programs whose models take images scaled to [0, 1]."""


class Pretrained(NamedTuple):
    """A model and its parameters; an RBM is a DBN of one layer."""

    model: DBN | DBM
    params: Params
    run: dict[str, Any]  # program, config and data, as in run.json

    @property
    def first_weights(self) -> Array:
        """(pixels, units of the first hidden layer)."""
        if isinstance(self.params, DBMParams):
            return self.params.weights[0]
        return self.params[0].weights


def kind_of(run: dict[str, Any]) -> str:
    """What the run trained: "RBM", "DBN" or "DBM"."""
    return run["program"].removesuffix("_mnist").upper()


def load_pretrained(
    folder: pathlib.Path, data: Dataset, *, made_by: str = "dbn_mnist"
) -> Pretrained:
    """The model that the run in `folder` trained.

    Args:
      made_by: the program, with flags, that would make such a run: for the message.

    Raises:
      ValueError: there is no finished run, or one of another program, of images of
        another shape, or on other images than `data`.
    """
    run = _run_of(folder, made_by)
    program = run["program"]
    if program not in PROGRAMS:
        raise InvalidValue(
            f"`pretrained` is {folder}, a run of {program}, but what is needed "
            "is a model of binary units whose images are scaled to [0, 1]; give the "
            f"workdir of {', '.join(PROGRAMS)}."
        )
    found = _restored(folder, run)
    pixels, size = data.train.shape[1], found.first_weights.shape[0]
    if size != pixels:
        raise InvalidValue(
            f"`pretrained` is {folder}, a model of {size} pixels, but the images of "
            f"{data.name} have {pixels}; pretrain on these images."
        )
    if run["data"]["sha256"] != fingerprint(data):
        raise InvalidValue(
            f"`pretrained` is {folder}, which was trained on other images (of "
            f"{run['data']['name']}, {run['data']['num_train']} of them) than these "
            f"(of {data.name}, {len(data.train)}): a test image of these may have "
            "trained it. Load the same source, or pretrain again."
        )
    return found


def load_dbn(folder: pathlib.Path, data: Dataset) -> tuple[DBN, Pretrained, Dataset]:
    """The DBN that the run in `folder` trained, to compare with a VAE, and the data
    as it was given them.

    Raises:
      ValueError: as `load_pretrained`, or the model is no DBN, or was trained on
        images that were not made binary by draws from their gray values.
    """
    found = load_pretrained(folder, data)
    dbn = dbn_of(found)
    if found.run["config"].get("binarisation") == "threshold":
        raise InvalidValue(
            f"`pretrained` is {folder}, trained on images compared with ½, "
            "but both models are judged on images drawn from their gray values; give "
            "the workdir of a run with `--binarisation stochastic`."
        )
    return dbn, found, scale_pixels(data, found.run["config"].get("scaling"))


def dbn_of(found: Pretrained) -> DBN:
    """The network that was pretrained.

    Raises:
      ValueError: it is no DBN.
    """
    if not isinstance(found.model, DBN):
        raise InvalidValue(
            f"`pretrained` is a run of {found.run['program']} but a code is the top "
            "layer of a DBN; give the workdir of dbn_mnist or rbm_mnist."
        )
    return found.model


def refuse_scaling(found: Pretrained) -> None:
    """Refuses, with a ValueError, a model of images that were scaled by pixel."""
    scaling = found.run["config"].get("scaling")
    if scaling is not None:
        raise InvalidValue(
            f"`pretrained` is a run whose images went through {scaling!r} scaling, but "
            "here a net is given gray values over 255; pretrain without `scaling`."
        )


def _run_of(folder: pathlib.Path, made_by: str) -> dict[str, Any]:
    if not (folder / "run.json").exists():
        raise InvalidValue(
            f"`pretrained` is {folder}, which holds no run; give the workdir of a "
            f"finished run of {', '.join(PROGRAMS)}, or make one first, on the same "
            f"--data.source: python -m jboltz.experiments.{made_by} --workdir "
            f"{shlex.quote(str(folder))}"
        )
    content = seals.load(folder, "run.json")
    if content is None:
        raise InvalidValue(
            f"`pretrained` is {folder}, whose run.json changed since it was written, "
            "or has no checksum; the command of that run makes it anew."
        )
    run = json.loads(content)
    if not (folder / "results.json").exists():
        raise InvalidValue(
            f"`pretrained` is {folder}, where {run['program']} has not finished; let "
            "the same command go on to its end first."
        )
    return run


def _restored(folder: pathlib.Path, run: dict[str, Any]) -> Pretrained:
    file = folder / "model.safetensors"
    if not file.exists():
        raise InvalidValue(
            f"`pretrained` is {folder}, without a model.safetensors; the command of "
            "that run makes it anew."
        )
    model, params = load(file)
    if isinstance(model, RBM):
        model, params = DBN((model,)), (params,)
    return Pretrained(model, params, run)
