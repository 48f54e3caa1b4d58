"""The names of `jboltz`, each from where it is defined."""

from . import (
    base as base,
    domains as domains,
    errors as errors,
    evaluation as evaluation,
    io as io,
    learning as learning,
    models as models,
    nets as nets,
    samplers as samplers,
    units as units,
    weights as weights,
)
from .base import (
    Batch as Batch,
    EnergyModel as EnergyModel,
    Estimator as Estimator,
    FreeEnergyModel as FreeEnergyModel,
    Sampler as Sampler,
    Unit as Unit,
)
from .evaluation.annealing import (
    annealed_importance_sampling as annealed_importance_sampling,
    annealing_ladder as annealing_ladder,
    reverse_ais_log_likelihood as reverse_ais_log_likelihood,
    reverse_annealed_importance_sampling as reverse_annealed_importance_sampling,
)
from .evaluation.arviz import to_arviz as to_arviz
from .evaluation.bounds import dbm_bound as dbm_bound, dbn_bounds as dbn_bounds
from .evaluation.classify import classify as classify, error_rate as error_rate
from .evaluation.conditional import conditional as conditional
from .evaluation.diagnostics import (
    convergence_report as convergence_report,
    r_hat as r_hat,
)
from .evaluation.examples import (
    EvaluationData as EvaluationData,
    binarise_by_threshold as binarise_by_threshold,
    binarise_once as binarise_once,
)
from .evaluation.likelihood import log_likelihood as log_likelihood
from .evaluation.partition import model_log_partition as model_log_partition
from .evaluation.pseudo_likelihood import pseudo_log_likelihood as pseudo_log_likelihood
from .evaluation.sandwich import sandwiched_log_partition as sandwiched_log_partition
from .evaluation.scores import anomaly_scores as anomaly_scores
from .io import load as load, save as save
from .learning.centred import Centred as Centred
from .learning.contrastive import (
    ContrastiveDivergence as ContrastiveDivergence,
    PersistentContrastiveDivergence as PersistentContrastiveDivergence,
)
from .learning.discriminative import (
    Discriminative as Discriminative,
    HybridDiscriminative as HybridDiscriminative,
)
from .learning.epoch import train_epoch as train_epoch, train_epochs as train_epochs
from .learning.fast import (
    FastPersistentContrastiveDivergence as FastPersistentContrastiveDivergence,
)
from .learning.imputed import MissingDataEstimator as MissingDataEstimator
from .learning.indices import FromIndices as FromIndices, pad_indices as pad_indices
from .learning.many import fit_many as fit_many
from .learning.mean_field import MeanFieldPCD as MeanFieldPCD
from .learning.present import PresentOnly as PresentOnly
from .learning.pretrain import LayerFeatures as LayerFeatures, greedy as greedy
from .learning.rows import unchanged as unchanged
from .learning.sparsity import Sparse as Sparse
from .learning.step import (
    TrainState as TrainState,
    init_train_state as init_train_state,
    make_train_step as make_train_step,
)
from .learning.stream import fit_stream as fit_stream
from .learning.contrastive import contrastive_loss as contrastive_loss
from .learning.traced import TracedEstimator as TracedEstimator
from .learning.train import fit as fit
from .learning.up_down import UpDown as UpDown
from .models.annealed import Annealed as Annealed
from .models.dbm import DBM as DBM, DBMParams as DBMParams
from .models.dbn import DBN as DBN
from .models.labelled import LabelledDBN as LabelledDBN
from .models.rbm import RBM as RBM, RBMParams as RBMParams
from .models.spike_and_slab import (
    SpikeAndSlab as SpikeAndSlab,
    SpikeAndSlabParams as SpikeAndSlabParams,
)
from .random import THREEFRY_13 as THREEFRY_13
from .samplers.ancestral import AncestralGibbs as AncestralGibbs
from .samplers.blackjax import to_blackjax as to_blackjax
from .samplers.chains import init_chains as init_chains, run_chains as run_chains
from .samplers.draw import (
    observe_visible as observe_visible,
    observe_visible_mean as observe_visible_mean,
    sample as sample,
    sample_moments as sample_moments,
)
from .samplers.gibbs import ClampedGibbs as ClampedGibbs, Gibbs as Gibbs
from .samplers.langevin import GibbsLangevin as GibbsLangevin
from .samplers.start import ChainStates as ChainStates
from .samplers.tempering import ParallelTempering as ParallelTempering
from .samplers.traced_sampler import TracedSampler as TracedSampler
from .units.bernoulli import Bernoulli as Bernoulli
from .units.binomial import Binomial as Binomial
from .units.composite import Copies as Copies, Joined as Joined
from .units.gaussian import Gaussian as Gaussian
from .units.noisy_relu import NoisyReLU as NoisyReLU
from .units.relu import ReLU as ReLU
from .units.softmax import Softmax as Softmax
from .units.spin import Spin as Spin
