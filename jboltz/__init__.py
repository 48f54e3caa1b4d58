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
`PersistentContrastiveDivergence`, `PresentOnly`, `Sparse`, `TracedEstimator`,
`TrainState`, `UpDown`, `unchanged`, `contrastive_loss`, `fit`, `fit_many`,
`fit_stream`, `greedy`, `init_train_state`, `make_train_step`, `pad_indices`,
`train_epoch`, `train_epochs`.

Evaluation: `EvaluationData`, `annealed_importance_sampling`, `binarise_once`,
`classify`, `dbm_bound`, `dbn_bounds`, `error_rate`, `annealing_ladder`,
`log_likelihood`, `model_log_partition`, `pseudo_log_likelihood`, `r_hat`,
`reverse_ais_log_likelihood`, `reverse_annealed_importance_sampling`,
`binarise_by_threshold`, `convergence_report`, `conditional`, `anomaly_scores`,
`sandwiched_log_partition`, `to_arviz`.

A model in one file: `save`, `load`.
"""

import lazy_loader

# A name is imported when it is first used, so that a program can answer to signals
# while it imports JAX. The names are in __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
