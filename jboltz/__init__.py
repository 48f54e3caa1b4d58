"""Boltzmann machines in JAX.

Specs, which say what a thing is, are frozen dataclasses; parameters and states are
pytrees of arrays. `jboltz.base` holds the words and the contracts: read it first. The
names here are those that most programs need; the rooms (`jboltz.units`, `models`,
`samplers`, `learning`, `nets`, `evaluation`) have more.

The contracts: `Batch`, `EnergyModel`, `Estimator`, `FreeEnergyModel`, `Sampler`,
`Unit`.

Units: `Bernoulli`, `Binomial`, `Copies`, `Gaussian`, `Joined`, `NoisyReLU`, `ReLU`,
`Softmax`, `Spin`.

Models: `Annealed`, `DBM`, `DBMParams`, `DBN`, `LabelledDBN`, `RBM`, `RBMParams`,
`SpikeAndSlab`, `SpikeAndSlabParams`.

Chains and samples: `THREEFRY_13`, `AncestralGibbs`, `ChainStates`, `ClampedGibbs`,
`Gibbs`, `GibbsLangevin`, `TracedSampler`, `ParallelTempering`, `init_chains`,
`sample_moments`, `observe_visible_mean`, `observe_visible`, `run_chains`, `sample`,
`to_blackjax`.

Training: `Centred`, `ContrastiveDivergence`, `Discriminative`,
`FastPersistentContrastiveDivergence`, `FromIndices`, `HybridDiscriminative`,
`MissingDataEstimator`, `LayerFeatures`, `MeanFieldPCD`,
`PersistentContrastiveDivergence`, `Sparse`, `TracedEstimator`, `TrainState`, `UpDown`,
`unchanged`, `contrastive_loss`, `fit`, `fit_many`, `fit_stream`, `greedy`,
`init_train_state`, `make_train_step`, `pad_indices`, `train_epoch`, `train_epochs`.

Evaluation: `EvaluationData`, `annealed_importance_sampling`, `binarise_once`,
`classify`, `dbm_bound`, `dbn_bounds`, `error_rate`, `annealing_ladder`,
`log_likelihood`, `model_log_partition`, `pseudo_log_likelihood`, `r_hat`,
`reverse_ais_log_likelihood`, `reverse_annealed_importance_sampling`,
`binarise_by_threshold`, `convergence_report`.
"""

from jboltz.base import Batch, EnergyModel, Estimator, FreeEnergyModel, Sampler, Unit
from jboltz.evaluation.annealing import (
    annealed_importance_sampling,
    annealing_ladder,
    reverse_ais_log_likelihood,
    reverse_annealed_importance_sampling,
)
from jboltz.evaluation.bounds import dbm_bound, dbn_bounds
from jboltz.evaluation.classify import classify, error_rate
from jboltz.evaluation.diagnostics import convergence_report, r_hat
from jboltz.evaluation.examples import (
    EvaluationData,
    binarise_by_threshold,
    binarise_once,
)
from jboltz.evaluation.likelihood import log_likelihood
from jboltz.evaluation.partition import model_log_partition
from jboltz.evaluation.pseudo_likelihood import pseudo_log_likelihood
from jboltz.learning.centred import Centred
from jboltz.learning.contrastive import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
)
from jboltz.learning.discriminative import Discriminative, HybridDiscriminative
from jboltz.learning.epoch import train_epoch, train_epochs
from jboltz.learning.fast import FastPersistentContrastiveDivergence
from jboltz.learning.imputed import MissingDataEstimator
from jboltz.learning.indices import FromIndices, pad_indices
from jboltz.learning.many import fit_many
from jboltz.learning.mean_field import MeanFieldPCD
from jboltz.learning.pretrain import LayerFeatures, greedy
from jboltz.learning.rows import unchanged
from jboltz.learning.sparsity import Sparse
from jboltz.learning.step import TrainState, init_train_state, make_train_step
from jboltz.learning.stream import fit_stream
from jboltz.learning.surrogate import contrastive_loss
from jboltz.learning.traced import TracedEstimator
from jboltz.learning.train import fit
from jboltz.learning.up_down import UpDown
from jboltz.models.annealed import Annealed
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.dbn import DBN
from jboltz.models.labelled import LabelledDBN
from jboltz.models.rbm import RBM, RBMParams
from jboltz.models.spike_and_slab import SpikeAndSlab, SpikeAndSlabParams
from jboltz.random import THREEFRY_13
from jboltz.samplers.ancestral import AncestralGibbs
from jboltz.samplers.blackjax import to_blackjax
from jboltz.samplers.chains import init_chains, run_chains
from jboltz.samplers.draw import (
    observe_visible,
    observe_visible_mean,
    sample,
    sample_moments,
)
from jboltz.samplers.gibbs import ClampedGibbs, Gibbs
from jboltz.samplers.langevin import GibbsLangevin
from jboltz.samplers.start import ChainStates
from jboltz.samplers.tempering import ParallelTempering
from jboltz.samplers.traced_sampler import TracedSampler
from jboltz.units.bernoulli import Bernoulli
from jboltz.units.binomial import Binomial
from jboltz.units.composite import Copies, Joined
from jboltz.units.gaussian import Gaussian
from jboltz.units.noisy_relu import NoisyReLU
from jboltz.units.relu import ReLU
from jboltz.units.softmax import Softmax
from jboltz.units.spin import Spin

__all__ = [
    "DBM",
    "DBN",
    "RBM",
    "THREEFRY_13",
    "AncestralGibbs",
    "Annealed",
    "Batch",
    "Bernoulli",
    "Binomial",
    "Centred",
    "ChainStates",
    "ClampedGibbs",
    "ContrastiveDivergence",
    "Copies",
    "DBMParams",
    "Discriminative",
    "EnergyModel",
    "Estimator",
    "EvaluationData",
    "FastPersistentContrastiveDivergence",
    "FreeEnergyModel",
    "FromIndices",
    "Gaussian",
    "Gibbs",
    "GibbsLangevin",
    "HybridDiscriminative",
    "Joined",
    "LabelledDBN",
    "LayerFeatures",
    "MeanFieldPCD",
    "MissingDataEstimator",
    "NoisyReLU",
    "ParallelTempering",
    "PersistentContrastiveDivergence",
    "RBMParams",
    "ReLU",
    "Sampler",
    "Softmax",
    "Sparse",
    "SpikeAndSlab",
    "SpikeAndSlabParams",
    "Spin",
    "TracedEstimator",
    "TracedSampler",
    "TrainState",
    "Unit",
    "UpDown",
    "annealed_importance_sampling",
    "annealing_ladder",
    "binarise_by_threshold",
    "binarise_once",
    "classify",
    "contrastive_loss",
    "convergence_report",
    "dbm_bound",
    "dbn_bounds",
    "error_rate",
    "fit",
    "fit_many",
    "fit_stream",
    "greedy",
    "init_chains",
    "init_train_state",
    "log_likelihood",
    "make_train_step",
    "model_log_partition",
    "observe_visible",
    "observe_visible_mean",
    "pad_indices",
    "pseudo_log_likelihood",
    "r_hat",
    "reverse_ais_log_likelihood",
    "reverse_annealed_importance_sampling",
    "run_chains",
    "sample",
    "sample_moments",
    "to_blackjax",
    "train_epoch",
    "train_epochs",
    "unchanged",
]
