"""jboltz: Boltzmann machines in JAX.

Specs (what a thing is) are frozen dataclasses; parameters and states are pure pytrees.
Start with `jboltz.base`, the words and the four contracts.
"""

from jboltz.base import (
    Batch,
    EnergyModel,
    EnumerableUnit,
    Estimator,
    FreeEnergyModel,
    GainUnit,
    Sampler,
    Unit,
)
from jboltz.evaluation.annealing import (
    anneal,
    annealed_importance_sampling,
    clamped_annealed_importance_sampling,
    ladder,
    log_partition_along,
    raise_log_likelihood,
    reverse_annealed_importance_sampling,
)
from jboltz.evaluation.bounds import dbm_bound, dbn_bounds, vae_bounds
from jboltz.evaluation.classify import (
    ErrorRate,
    classify,
    classify_by_samples,
    error_rate,
)
from jboltz.evaluation.diagnostics import (
    FreeEnergyGap,
    autocorrelation_time,
    bulk_ess,
    free_energy_gap,
    r_hat,
    tail_ess,
    training_traces,
    verdict,
)
from jboltz.evaluation.examples import Examples, binarise_once, threshold
from jboltz.evaluation.features import (
    ReceptiveField,
    combined_filters,
    dbm_inputs,
    dbn_inputs,
    maximise_activation,
    principal_components,
    receptive_field,
)
from jboltz.evaluation.filters import colour_share, extent, orientation
from jboltz.evaluation.generation import (
    adversarial_accuracy,
    diversity,
    nearest_distance,
    precision_recall,
    sharpness,
)
from jboltz.evaluation.likelihood import MeanLogLikelihood, log_likelihood
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.evaluation.monitors import layer_monitors
from jboltz.evaluation.partition import log_partition, model_log_partition
from jboltz.evaluation.probe import LinearProbe, fit_linear_probe
from jboltz.evaluation.pseudo_likelihood import (
    pseudo_log_likelihood,
    stochastic_pseudo_log_likelihood,
)
from jboltz.evaluation.shuffled import shuffle_units
from jboltz.learning.centred import Centred, DataMeans, Midpoints, enhanced
from jboltz.learning.contrastive import (
    ContrastiveDivergence,
    HalfStepContrastiveDivergence,
    PersistentContrastiveDivergence,
)
from jboltz.learning.discriminative import Discriminative, Hybrid, beside_labels
from jboltz.learning.epoch import train_epoch, train_epochs
from jboltz.learning.fast import FastPersistentContrastiveDivergence, FastState
from jboltz.learning.imputed import Imputed
from jboltz.learning.indices import FromIndices, pad_indices
from jboltz.learning.many import fit_many
from jboltz.learning.mean_field import (
    MeanFieldPCD,
    mean_field,
    variational_free_energy,
)
from jboltz.learning.pretrain import LayerInput, greedy
from jboltz.learning.rows import as_given
from jboltz.learning.schedules import PiecewiseRate
from jboltz.learning.sparsity import (
    Sparse,
    SparseState,
    kullback_leibler,
    squared_distance,
)
from jboltz.learning.step import TrainState, init_train_state, make_train_step
from jboltz.learning.stream import fit_stream
from jboltz.learning.surrogate import contrast, contrastive_loss
from jboltz.learning.traced import Traced
from jboltz.learning.train import fit
from jboltz.learning.up_down import UpDown, UpDownParams, untie
from jboltz.models.annealed import Annealed, AnnealedParams
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.dbn import DBN
from jboltz.models.gauge import zero_sum_gauge
from jboltz.models.labelled import LabelledDBN, label_log_probabilities
from jboltz.models.rbm import RBM, RBMParams
from jboltz.models.spike_and_slab import SpikeAndSlab, SpikeAndSlabParams, SpikeSlab
from jboltz.models.spike_penalty import GershgorinPenalty, NoPenalty, NormPenalty
from jboltz.models.swapped import Swapped
from jboltz.nets.best import Best, keep_least
from jboltz.nets.classifier import (
    Classifier,
    classifier_of,
    from_linen_params,
    posterior,
    to_linen_params,
)
from jboltz.nets.finetune import (
    CrossEntropy,
    LabelledExamples,
    evaluate_classifier,
    keep_best,
    label_examples,
    per_layer,
    scale_images,
)
from jboltz.nets.hybrid import Coder, ConvNet, JoinedNet, fit_coder
from jboltz.nets.vae import VAE, NegativeELBO, importance_weighted_bound
from jboltz.random import THREEFRY_13
from jboltz.samplers.ancestral import AncestralGibbs, generate, generate_labelled
from jboltz.samplers.blackjax import to_blackjax
from jboltz.samplers.chains import init_chains, run, run_chains
from jboltz.samplers.draw import (
    Moments,
    moments,
    observe_picture,
    observe_visible,
    sample,
)
from jboltz.samplers.gibbs import ClampedGibbs, ClampedState, Gibbs, GibbsState
from jboltz.samplers.ladders import (
    adapt_ladder,
    choose_checkpoints,
    stack_params,
    with_ladder,
)
from jboltz.samplers.langevin import GibbsLangevin, OverRelaxed
from jboltz.samplers.observed import Observed
from jboltz.samplers.recognition import ClampedRecognition
from jboltz.samplers.start import Chains
from jboltz.samplers.tempering import (
    Ladder,
    ParallelTempering,
    TemperingState,
    TrajectoryTempering,
)
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.binomial import Binomial
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
    "THREEFRY_13",
    "VAE",
    "AncestralGibbs",
    "Annealed",
    "AnnealedParams",
    "AnnealedSpikeAndSlab",
    "Batch",
    "Bernoulli",
    "BernoulliParams",
    "Best",
    "Binomial",
    "Centred",
    "Chains",
    "ClampedGibbs",
    "ClampedRecognition",
    "ClampedState",
    "Classifier",
    "Coder",
    "ContrastiveDivergence",
    "ConvNet",
    "Copies",
    "CrossEntropy",
    "DBMParams",
    "DataMeans",
    "Discriminative",
    "EnergyModel",
    "EnumerableUnit",
    "ErrorRate",
    "Estimator",
    "Examples",
    "FastPersistentContrastiveDivergence",
    "FastState",
    "FreeEnergyGap",
    "FreeEnergyModel",
    "FromIndices",
    "GainUnit",
    "Gaussian",
    "GaussianParams",
    "GershgorinPenalty",
    "Gibbs",
    "GibbsLangevin",
    "GibbsState",
    "HalfStepContrastiveDivergence",
    "Hybrid",
    "Imputed",
    "Joined",
    "JoinedNet",
    "JoinedParams",
    "LabelledDBN",
    "LabelledExamples",
    "Ladder",
    "LayerInput",
    "LinearProbe",
    "LogEstimate",
    "MeanFieldPCD",
    "MeanLogLikelihood",
    "Midpoints",
    "Moments",
    "NegativeELBO",
    "NoPenalty",
    "NoisyReLU",
    "NoisyReLUParams",
    "NormPenalty",
    "Observed",
    "OverRelaxed",
    "ParallelTempering",
    "PersistentContrastiveDivergence",
    "PiecewiseRate",
    "RBMParams",
    "ReLU",
    "ReLUParams",
    "ReceptiveField",
    "Sampler",
    "Softmax",
    "SoftmaxParams",
    "Sparse",
    "SparseState",
    "SpikeAndSlab",
    "SpikeAndSlabParams",
    "SpikeSlab",
    "Spin",
    "SpinParams",
    "Swapped",
    "TemperingState",
    "Traced",
    "TrainState",
    "TrajectoryTempering",
    "Unit",
    "UpDown",
    "UpDownParams",
    "adapt_ladder",
    "adversarial_accuracy",
    "anneal",
    "annealed_importance_sampling",
    "as_given",
    "autocorrelation_time",
    "beside_labels",
    "binarise_once",
    "bulk_ess",
    "choose_checkpoints",
    "clamped_annealed_importance_sampling",
    "classifier_of",
    "classify",
    "classify_by_samples",
    "colour_share",
    "combined_filters",
    "contrast",
    "contrastive_loss",
    "dbm_bound",
    "dbm_inputs",
    "dbn_bounds",
    "dbn_inputs",
    "diversity",
    "enhanced",
    "error_rate",
    "evaluate_classifier",
    "extent",
    "fit",
    "fit_coder",
    "fit_linear_probe",
    "fit_many",
    "fit_stream",
    "free_energy_gap",
    "from_linen_params",
    "generate",
    "generate_labelled",
    "greedy",
    "importance_weighted_bound",
    "init_chains",
    "init_train_state",
    "keep_best",
    "keep_least",
    "kullback_leibler",
    "label_examples",
    "label_log_probabilities",
    "ladder",
    "layer_monitors",
    "log_likelihood",
    "log_partition",
    "log_partition_along",
    "make_train_step",
    "maximise_activation",
    "mean_field",
    "model_log_partition",
    "moments",
    "nearest_distance",
    "observe_picture",
    "observe_visible",
    "orientation",
    "pad_indices",
    "per_layer",
    "posterior",
    "precision_recall",
    "principal_components",
    "pseudo_log_likelihood",
    "r_hat",
    "raise_log_likelihood",
    "receptive_field",
    "reverse_annealed_importance_sampling",
    "run",
    "run_chains",
    "sample",
    "scale_images",
    "sharpness",
    "shuffle_units",
    "squared_distance",
    "stack_params",
    "stochastic_pseudo_log_likelihood",
    "tail_ess",
    "threshold",
    "to_blackjax",
    "to_linen_params",
    "train_epoch",
    "train_epochs",
    "training_traces",
    "untie",
    "vae_bounds",
    "variational_free_energy",
    "verdict",
    "with_ladder",
    "zero_sum_gauge",
]
