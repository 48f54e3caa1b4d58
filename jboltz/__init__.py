"""jboltz: Boltzmann machines in JAX.

Specs (what a thing is) are frozen dataclasses; parameters and states are pure pytrees.
Start with `jboltz.base`, the words and the four contracts.
"""

from jboltz.base import (
    Batch,
    EnergyModel,
    Estimator,
    FreeEnergyModel,
    Sampler,
    Unit,
)
from jboltz.learning.centred import Centred, DataMeans, Midpoints, enhanced
from jboltz.learning.contrastive import (
    ContrastiveDivergence,
    HalfStepContrastiveDivergence,
    PersistentContrastiveDivergence,
)
from jboltz.learning.fast import FastPersistentContrastiveDivergence, FastState
from jboltz.learning.imputed import Imputed
from jboltz.learning.mean_field import (
    MeanFieldPCD,
    mean_field,
    variational_free_energy,
)
from jboltz.learning.pretrain import LayerInput, greedy
from jboltz.learning.step import TrainState, init_train_state, make_train_step
from jboltz.learning.stream import fit_stream
from jboltz.learning.train import fit
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.dbn import DBN
from jboltz.models.gauge import zero_sum_gauge
from jboltz.models.rbm import RBM, RBMParams
from jboltz.models.spike_and_slab import SpikeAndSlab, SpikeAndSlabParams, SpikeSlab
from jboltz.models.spike_penalty import GershgorinPenalty, NoPenalty, NormPenalty
from jboltz.samplers.ancestral import generate
from jboltz.samplers.chains import init_chains, run, run_chains
from jboltz.samplers.gibbs import ClampedGibbs, ClampedState, Gibbs, GibbsState
from jboltz.samplers.langevin import GibbsLangevin, OverRelaxed
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.composite import Copies, Joined, JoinedParams
from jboltz.units.gaussian import Gaussian, GaussianParams
from jboltz.units.noisy_relu import NoisyReLU, NoisyReLUParams
from jboltz.units.relu import ReLU, ReLUParams
from jboltz.units.softmax import Softmax, SoftmaxParams
from jboltz.units.spin import Spin, SpinParams

__all__ = [
    "DBM",
    "DBN",
    "RBM",
    "Batch",
    "Bernoulli",
    "BernoulliParams",
    "Centred",
    "ClampedGibbs",
    "ClampedState",
    "ContrastiveDivergence",
    "Copies",
    "DBMParams",
    "DataMeans",
    "EnergyModel",
    "Estimator",
    "FastPersistentContrastiveDivergence",
    "FastState",
    "FreeEnergyModel",
    "Gaussian",
    "GaussianParams",
    "GershgorinPenalty",
    "Gibbs",
    "GibbsLangevin",
    "GibbsState",
    "HalfStepContrastiveDivergence",
    "Imputed",
    "Joined",
    "JoinedParams",
    "LayerInput",
    "MeanFieldPCD",
    "Midpoints",
    "NoPenalty",
    "NoisyReLU",
    "NoisyReLUParams",
    "NormPenalty",
    "OverRelaxed",
    "PersistentContrastiveDivergence",
    "RBMParams",
    "ReLU",
    "ReLUParams",
    "Sampler",
    "Softmax",
    "SoftmaxParams",
    "SpikeAndSlab",
    "SpikeAndSlabParams",
    "SpikeSlab",
    "Spin",
    "SpinParams",
    "TrainState",
    "Unit",
    "enhanced",
    "fit",
    "fit_stream",
    "generate",
    "greedy",
    "init_chains",
    "init_train_state",
    "make_train_step",
    "mean_field",
    "run",
    "run_chains",
    "variational_free_energy",
    "zero_sum_gauge",
]
