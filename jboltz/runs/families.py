"""What families of programs can be asked for: bases of the programs' configurations.

As the configurations, they are imported before JAX is, so that --help is quick.
"""

import dataclasses
import pathlib
from typing import ClassVar, Literal

from jboltz.data.patches import PatchSpec
from jboltz.evaluation.settings import Tempering
from jboltz.ranges import Count, CountFromZero, Rate, Scale, ShareBelowOne, Strength
from jboltz.runs.config import TrainingConfig
from jboltz.runs.sources import Cifar10, Mnist

LADDERS = ("ladder_scale", "ladder_check", "annealed_chains")
TEMPERING = ("num_replicas", "tempering_steps")
"""Fields of `Ladders` and of `Tempering`, which --help shows with the evaluation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnealingConfig(Tempering, TrainingConfig):
    """What a program with persistent chains on MNIST that estimates log Z can be asked
    for."""

    GROUPS: ClassVar = {"evaluation": ("held_out", *LADDERS, *TEMPERING)}

    learning_rate: Rate = 0.02
    """First step size of plain SGD; it falls linearly to 0."""
    num_chains: Count = 100
    """Persistent chains."""
    num_steps: Count = 1
    """Gibbs sweeps of each chain per update."""
    held_out: CountFromZero = 0
    """Training images, the last ones, to be judged by in place of the test set, which
    is then not read: for choosing settings."""
    data: Mnist = dataclasses.field(default_factory=Mnist)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchConfig(PatchSpec, TrainingConfig):
    """What a program on patches can be asked for."""

    GROUPS: ClassVar = {
        "data": ("patch_size", "num_patches", "contrast", "num_components", "epsilon")
    }

    learning_rate: Rate = 0.01
    """First step size of Adam; it falls linearly to 0."""
    data: Cifar10 = dataclasses.field(default_factory=Cifar10)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchRBMConfig(PatchConfig):
    """What a program that trains one RBM on patches can be asked for besides."""

    GROUPS: ClassVar = {"model": ("num_hidden", "weight_scale")}

    num_hidden: Count = 200
    """Hidden units; up to 16, likelihoods are computed."""
    epochs: Count = 15
    """Epochs; every patch once an epoch."""
    batch_size: Count = 200
    weight_scale: Scale = 0.3
    """Standard deviation of the initial weights."""
    num_chains: Count = 500
    """Persistent chains."""
    num_steps: Count = 1
    """Gibbs sweeps of each chain per update."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedConfig(TrainingConfig):
    """What a program that starts from a finished run on MNIST can be asked for."""

    GROUPS: ClassVar = {
        "model": ("pretrained",),
        "evaluation": ("held_out", "read_test"),
    }

    pretrained: pathlib.Path = pathlib.Path("runs/dbn_mnist")
    """Workdir of a finished run of dbn_mnist, dbm_mnist or rbm_mnist."""
    epochs: Count = 30
    """Epochs of each net; that with the fewest held-out errors is kept, or the last
    where nothing is held out."""
    held_out: CountFromZero | None = None
    """Training images, the last ones, whose errors choose the epoch; by default a sixth
    of them, 10 000 of MNIST's 60 000. 0, where a program takes it, trains on all: for
    settings that were chosen before."""
    read_test: bool = True
    """Read the test set, once, at the end; --no-read-test while choosing settings."""
    data: Mnist = dataclasses.field(default_factory=Mnist)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetConfig(PretrainedConfig):
    """What a program that trains nets on labelled digits can be asked for besides."""

    weight_decay: Strength = 0.0
    """Decoupled, as a factor of the learning rate."""
    max_norm: Strength = 0.0
    """Largest norm of the weights that arrive at a unit; 0 does not bound it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig(NetConfig):
    """What a program that fine-tunes a pretrained net can be asked for besides."""

    train: Literal["all", "head"] = "all"
    """`head` freezes the pretrained layers; the control trains all of its own."""
    rates: tuple[Strength, ...] = ()
    """Factors of the learning rate of the pretrained net, from the first hidden layer
    to the head; none stands for 1 everywhere, 0 freezes a layer."""
    dropout: tuple[ShareBelowOne, ...] = ()
    """Share of units left out, of the pixels and of each hidden layer; none for 0."""
