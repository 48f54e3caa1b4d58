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
from jboltz.learning.contrastive import (
    ContrastiveDivergence,
    HalfStepContrastiveDivergence,
    PersistentContrastiveDivergence,
)
from jboltz.learning.pretrain import LayerInput, greedy
from jboltz.learning.step import TrainState, init_train_state, make_train_step
from jboltz.learning.stream import fit_stream
from jboltz.learning.train import fit
from jboltz.models.dbn import DBN
from jboltz.models.rbm import RBM, RBMParams
from jboltz.models.spike_and_slab import SpikeAndSlab, SpikeAndSlabParams, SpikeSlab
from jboltz.models.spike_penalty import GershgorinPenalty, NoPenalty, NormPenalty
from jboltz.samplers.ancestral import generate
from jboltz.samplers.chains import init_chains, run, run_chains
from jboltz.samplers.gibbs import Gibbs, GibbsState
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.gaussian import Gaussian, GaussianParams

__all__ = [
    "DBN",
    "RBM",
    "Batch",
    "Bernoulli",
    "BernoulliParams",
    "ContrastiveDivergence",
    "EnergyModel",
    "Estimator",
    "FreeEnergyModel",
    "Gaussian",
    "GaussianParams",
    "GershgorinPenalty",
    "Gibbs",
    "GibbsState",
    "HalfStepContrastiveDivergence",
    "LayerInput",
    "NoPenalty",
    "NormPenalty",
    "PersistentContrastiveDivergence",
    "RBMParams",
    "Sampler",
    "SpikeAndSlab",
    "SpikeAndSlabParams",
    "SpikeSlab",
    "TrainState",
    "Unit",
    "fit",
    "fit_stream",
    "generate",
    "greedy",
    "init_chains",
    "init_train_state",
    "make_train_step",
    "run",
    "run_chains",
]
