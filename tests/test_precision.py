"""What every platform is given to multiply, and how precisely: programs are lowered for
it, and their products read.

No product is less precise than asked: in evaluation, and where energies decide whether
a draw is accepted, float32 whatever is around; in training, what the step names.
"""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
import jboltz.evaluation
import jboltz.nets.classifier
from jboltz.evaluation import (
    annealing,
    bounds,
    classify,
    conditional,
    diagnostics,
    features,
    fields,
    generation,
    likelihood,
    monitors,
    partition,
    pseudo_likelihood,
    reconstruction,
    scores,
    shuffled,
    visible,
)
from jboltz.learning.up_down import untie_weights
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.spike_and_slab import SpikeSlab
from jboltz.models.spike_penalty import GershgorinPenalty, NoPenalty, NormPenalty
from jboltz.nets import finetune, hybrid, vae
from jboltz.nets.finetune import CrossEntropy
from jboltz.samplers import ladders, langevin, tempering
from tests.lowering import lowered
from tests.units.cases import UNITS

B = jboltz.Bernoulli
KEY = jax.random.key(
    0, impl="rbg"
)  # One operation a draw, where threefry has hundreds.
V = jnp.asarray([[1.0, 0, 1], [0, 1, 1]])


def precisions_of(function, *shapes):
    """Of the products in the program of `function`, for every platform."""
    lines = lowered(function, *shapes).splitlines()
    is_product = re.compile(r"stablehlo\.(dot|convolution)").search
    return {precision_of(line) for line in lines if is_product(line)}


def precision_of(line):
    if line.count("bf16>") == 2:
        # Both operands are bfloat16, and the sums are not.
        assert line.endswith("f32>"), line
        return "BF16"
    if "algorithm" in line:
        assert "lhs_precision_type = bf16" in line, line
        return "BF16"
    names = re.search(r"precision\s*=\s*\[(?:#\S+ )?(\w+)>?, (?:#\S+ )?(\w+)>?\]", line)
    lhs, rhs = names.groups() if names else ("DEFAULT", "DEFAULT")
    assert lhs == rhs, line
    return lhs


class Foreign(jboltz.RBM):
    """A model from elsewhere, whose energy has a product that says nothing."""

    def free_energy(self, params, v):
        inputs = v @ params.weights
        energy = self.visible.energy(params.visible, v)
        return energy - self.hidden.log_normalizer(params.hidden, inputs)


RBM = jboltz.RBM(B(3), B(2))
FOREIGN = Foreign(B(3), B(2))
DBN = jboltz.DBN.chain(B(3), B(2), B(2))
DBM = jboltz.DBM((B(3), B(2), B(2)))
SSRBM = jboltz.SpikeAndSlab(3, 2)
LABELLED = jboltz.LabelledDBN.chain(B(3), B(2), B(2), num_classes=2)
JOINED = jboltz.RBM(jboltz.Joined(B(3), jboltz.Softmax(1, 2)), B(2))
ANNEALED = jboltz.Annealed(FOREIGN)
VAE = vae.VAE(3, (2,), 2)
CONVNET = hybrid.ConvNet((4, 4), 2, channels=(2,), kernels=(3,), num_dense=2)
BETAS = np.linspace(0, 1, 3)


def shapes_of(model):
    return jax.eval_shape(model.init, KEY)


def net_shapes(net, v, *more):
    return jax.eval_shape(net.init, KEY, v, *more)["params"]


def base_of(annealed):
    return annealed.init(KEY).base


def stacked(count):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), shapes_of(FOREIGN)
    )


def of(model, function, *args, **options):
    """A case: `function(model, params, *args)`, of which `params` is shapes alone."""
    return lambda params: function(model, params, *args, **options), shapes_of(model)


TEN = {"num_chains": 10}
POINTS = jnp.asarray(np.random.default_rng(0).normal(size=(7, 3)), jnp.float32)
TEN_STATES = jnp.tile(V, (5, 1))
EVALUATIONS = {
    "annealed_importance_sampling": of(
        ANNEALED.model,
        lambda _, p: annealing.annealed_importance_sampling(
            ANNEALED, p, base_of(ANNEALED), BETAS, KEY, **TEN
        ),
    ),
    "reverse_annealed_importance_sampling": of(
        ANNEALED.model,
        lambda _, p: annealing.reverse_annealed_importance_sampling(
            ANNEALED, p, base_of(ANNEALED), BETAS, TEN_STATES, KEY
        ),
    ),
    "reverse_ais_log_likelihood": of(
        ANNEALED.model,
        lambda _, p: annealing.reverse_ais_log_likelihood(
            ANNEALED, p, base_of(ANNEALED), BETAS, V, KEY, **TEN
        ),
    ),
    "clamped_annealed_importance_sampling": of(
        DBM, annealing.clamped_annealed_importance_sampling, BETAS, V, KEY, **TEN
    ),
    "log_partition_trajectory": (
        lambda a, b: annealing.log_partition_trajectory(FOREIGN, [a, b], [TEN_STATES]),
        *(shapes_of(FOREIGN),) * 2,
    ),
    "anneal": (
        lambda p: annealing.anneal(ANNEALED, p, V[0], KEY),
        jax.eval_shape(ANNEALED.init, KEY).replace(
            beta=jax.ShapeDtypeStruct((3,), jnp.float32)
        ),
    ),
    "dbn_bounds": of(DBN, bounds.dbn_bounds, V, 0.0, KEY),
    "dbm_bound": of(DBM, bounds.dbm_bound, V, 0.0),
    "vae_bounds": (
        lambda p: bounds.vae_bounds(VAE, p, V, KEY),
        net_shapes(VAE, V[0]),
    ),
    "classify": of(LABELLED, classify.classify, V),
    "conditional": of(FOREIGN, conditional.conditional, V[0], (0, 1)),
    "anomaly_scores": of(FOREIGN, scores.anomaly_scores, V),
    "log_probability": of(FOREIGN, visible.log_probability, jnp.zeros(()), V),
    "free_energy_gap": of(FOREIGN, diagnostics.free_energy_gap, V, V),
    "combined_filters": (
        lambda *W: features.combined_filters(W),
        *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((3, 2), (2, 2))),
    ),
    "dbn_inputs": of(DBN, features.dbn_inputs, V[0], depth=2),
    "maximise_activation": of(
        FOREIGN,
        lambda model, p: features.maximise_activation(
            lambda v: v @ p.weights,
            model.visible,
            p.visible,
            jnp.arange(2),
            KEY,
            norm=1.0,
        ),
    ),
    "encode_all": of(DBN, fields.encode_all, V),
    "dbn_log_odds": of(DBN, reconstruction.dbn_log_odds, V[0]),
    "vae_log_odds": (
        lambda p: reconstruction.vae_log_odds(VAE, p, V[0]),
        net_shapes(VAE, V[0]),
    ),
    "dbm_reconstruction_error": of(DBM, reconstruction.dbm_reconstruction_error, V),
    "principal_components": (features.principal_components, POINTS),
    "precision_recall": (generation.precision_recall, POINTS, POINTS),
    "adversarial_accuracy": (generation.adversarial_accuracy, POINTS, POINTS),
    "diversity": (generation.diversity, POINTS),
    "nearest_distance": (generation.nearest_distance, POINTS, POINTS),
    "log_likelihood": of(FOREIGN, likelihood.log_likelihood, V, 0.0),
    "per_example": (
        lambda W: likelihood.per_example(lambda v: v @ W, V, batch_size=2),
        jax.ShapeDtypeStruct((3, 2), jnp.float32),
    ),
    "layer_monitors": (
        lambda p: monitors.layer_monitors(DBN, p, V),
        shapes_of(DBN),
    ),
    "covariance_spectrum": (monitors.covariance_spectrum, POINTS, POINTS),
    "reconstruction_errors": (
        lambda p: monitors.reconstruction_errors(DBN, p, V),
        shapes_of(DBN),
    ),
    "log_partition": (
        lambda p: partition.log_partition(partial(FOREIGN.free_energy, p), 3),
        shapes_of(FOREIGN),
    ),
    "model_log_partition": of(DBM, partition.model_log_partition),
    "pseudo_log_likelihood": of(RBM, pseudo_likelihood.pseudo_log_likelihood, V),
    "stochastic_pseudo_log_likelihood": of(
        RBM, pseudo_likelihood.stochastic_pseudo_log_likelihood, V, KEY
    ),
    "shuffle_units": of(DBN, shuffled.shuffle_units, V, KEY),
}
# Products of numbers for papers in other rooms, where energies accept, and in what is
# compiled already.
ELSEWHERE = {
    "exciting_states": of(DBN, features.exciting_states, jnp.arange(2), 1.0, depth=2),
    "evaluate_classifier": (
        lambda p: finetune.evaluate_classifier(
            CONVNET, p, finetune.LabelledExamples(jnp.zeros((2, 16)), jnp.zeros(2, int))
        ),
        net_shapes(CONVNET, jnp.zeros(16)),
    ),
    "elbo": (lambda p: vae.elbo(VAE, p, V[0], KEY), net_shapes(VAE, V[0])),
    "log_weight": (lambda p: vae.log_weight(VAE, p, V[0], KEY), net_shapes(VAE, V[0])),
    "choose_checkpoints": (
        lambda p: ladders._acceptances(FOREIGN, p, jnp.stack([V, V])),
        stacked(2),
    ),
}
# Of the rest of the room the products are NumPy's, or there are none.
WITHOUT = {
    "annealing_ladder",
    "error_rate",
    "binarise_by_threshold",
    "binarise_once",
    "as_examples",
    "refuse_gray",
    "r_hat",
    "bulk_ess",
    "tail_ess",
    "autocorrelation_time",
    "training_traces",
    "convergence_report",
    "receptive_field",
    "filter_extent",
    "filter_orientation",
    "colour_share",
    "sharpness",
    "domain_of",
    "summary",
    "weighted_mean_and_error",
    "mean_with_error",
    "log_estimate",
    "relative_error",
    "interval",
    "checked",
    "update_norm",
    "spectrum_monitors",
    "sparsity_monitors",
    "num_states",
    "state_of",
    "to_arviz",
    "visible_shape",
    "fit_linear_probe",
    "predict",
    "check_num_chains",
    "rungs_of",
    "known",
    "library_of",
    "mean_over",  # of `per_example`
    "gaussian_log_likelihood",
    "missing_intervals_allowed",
    "chain_quality",
    "normalized",
    "spread",
    "verdicts",
    # These are made of those above, by `full_precision` where they add a product.
    "dbm_bound_gap",
    "dbn_bounds_by_annealing",
    "log_partitions",
    "sandwiched_log_partition",
    "known_log_partition",
    "draws",
    "tempered_chains",
    # Parts of the bounds and of the pseudo-likelihoods above.
    "dbn_log_weight",
    "site_alternatives",
    "site_log_probability",
    "site_terms",
    "pixel_errors",
    "sample_quality",
    "unit_forms",
    "pixel_filters",
    "exciting_patches",
    "class_errors",
}


@pytest.mark.parametrize("name", EVALUATIONS | ELSEWHERE)
def test_an_evaluation_multiplies_in_float32(name):
    function, *args = (EVALUATIONS | ELSEWHERE)[name]
    with jax.default_matmul_precision("bfloat16"):
        assert precisions_of(function, *args) == {"HIGHEST"}


def test_every_evaluation_is_in_the_table():
    names = set()
    for info in pkgutil.iter_modules(jboltz.evaluation.__path__, "jboltz.evaluation."):
        for name, function in vars(importlib.import_module(info.name)).items():
            is_own = getattr(function, "__module__", None) == info.name
            if is_own and inspect.isfunction(function) and not name.startswith("_"):
                names.add(name)
    assert names == {*EVALUATIONS} | WITHOUT


def all_of(model, v, h, without=""):
    """Everything that a model has: energies, inputs, means and draws."""

    def functions(params):
        yield model.energy(params, v, h)
        yield model.free_energy(params, v)
        yield model.sample_hidden(params, v, KEY)
        yield model.sample_visible(params, h, KEY)
        yield model.sample_start(params, KEY)
        for name in ("hidden_free_energy", "mean_visible_state"):
            if hasattr(model, name) and name != without:
                yield getattr(model, name)(params, h)
        for name in ("mean_hidden_state", "mean_activities"):
            if hasattr(model, name) and name != without:
                yield getattr(model, name)(params, v)
        if hasattr(model, "hidden_log_probability"):
            yield model.hidden_log_probability(params, v, h)
            yield model.visible_log_probability(params, v, h)

    return lambda params: list(functions(params)), shapes_of(model)


def of_unit(unit, params):
    x = unit.sample(params, jnp.zeros(unit.size), KEY)
    inputs = jnp.ones(unit.size)
    numbers = [unit.energy(params, x), unit.log_normalizer(params, inputs)]
    return [*numbers, unit.mean(params, inputs), unit.mean_state(params, inputs)]


def of_dbn(params):
    states = (V[0], *DBN.sample_layers_up(params[:-1], V[0], KEY))
    return (
        DBN.reconstruct(params, V[0], depth=2),
        DBN.sample_down(params, DBN.sample_up(params, V[0], KEY), KEY),
        DBN.log_probability_up(params[:-1], states),
        DBN.log_probability_down(params[:-1], states),
    )


def of_dbm(params):
    return DBM.start_at(params, V[0], KEY), DBM.given_data(params, V[0])


def of_penalty(penalty):
    model, spikes = jboltz.SpikeAndSlab(3, 2, penalty=penalty), jnp.ones(2)
    slabs = SpikeSlab(spikes=spikes, slabs=spikes)
    given = model.smallest_eigenvalue, getattr(penalty, "project", lambda params: ())

    def numbers(params):
        functions, _ = all_of(model, V[0], slabs, "hidden_free_energy")
        return (
            functions(params),
            model.hidden_free_energy(params, spikes),
            model.visible_given_spikes(params, spikes),
            [function(params) for function in given],
        )

    return numbers, shapes_of(model)


LIBRARY = {
    "units": (
        lambda records: list(map(of_unit, UNITS, records)),
        [jax.eval_shape(unit.init) for unit in UNITS],
    ),
    "RBM": all_of(RBM, V[0], jnp.ones(2)),
    "DBM": all_of(DBM, (V[0], jnp.ones(2)), (jnp.ones(2),), "mean_activities"),
    "DBM, from data": (of_dbm, shapes_of(DBM)),
    "DBN": (of_dbn, shapes_of(DBN)),
    "labels": (
        lambda params: LABELLED.label_log_probabilities(params, V[0]),
        shapes_of(LABELLED),
    ),
    "GershgorinPenalty": of_penalty(GershgorinPenalty()),
    "NormPenalty": of_penalty(NormPenalty()),
    "NoPenalty": of_penalty(NoPenalty()),
    "AnnealedSpikeAndSlab": all_of(
        AnnealedSpikeAndSlab(SSRBM),
        V[0],
        SpikeSlab(spikes=jnp.ones(2), slabs=jnp.ones(2)),
    ),
    "sample_moments": of(
        RBM,
        lambda model, params: jboltz.sample_moments(
            model,
            params,
            KEY,
            warm_up=1,
            num_samples=2,
            num_chains=2,
            with_covariance=True,
        ),
    ),
}


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library_multiplies_in_float32_when_nothing_is_said(name):
    function, *args = LIBRARY[name]
    assert precisions_of(function, *args) == {"HIGHEST"}


PCD = jboltz.PersistentContrastiveDivergence(RBM, jboltz.Gibbs(RBM), 2)
CD = jboltz.ContrastiveDivergence(RBM, jboltz.Gibbs(RBM))
CD_JOINED = jboltz.ContrastiveDivergence(JOINED, jboltz.Gibbs(JOINED))
PAIRS = (V, jnp.eye(2)[:, None])
ESTIMATORS = {
    "CD": (CD, shapes_of(RBM), V),
    "Centred PCD": (jboltz.Centred(PCD), shapes_of(RBM), V),
    "mean field": (
        jboltz.MeanFieldPCD(DBM, jboltz.Gibbs(DBM), 2),
        shapes_of(DBM),
        V,
    ),
    "tempering": (
        jboltz.PersistentContrastiveDivergence(
            RBM, jboltz.ParallelTempering(jboltz.Annealed(RBM), 2), 2
        ),
        shapes_of(RBM),
        V,
    ),
    "HybridDiscriminative": (
        jboltz.HybridDiscriminative(CD_JOINED, 1.0),
        shapes_of(JOINED),
        PAIRS,
    ),
    "UpDown": (
        jboltz.UpDown(LABELLED, discriminative=1.0),
        jax.eval_shape(lambda key: untie_weights(LABELLED.init(key)), KEY),
        PAIRS,
    ),
    "classifier": (
        CrossEntropy(CONVNET),
        net_shapes(CONVNET, jnp.zeros(16)),
        finetune.LabelledExamples(jnp.zeros((2, 16)), jnp.zeros(2, int)),
    ),
    "VAE": (vae.NegativeELBO(VAE), net_shapes(VAE, V[0]), V),
}
# In bfloat16 a product that says nothing is `DEFAULT`. Those of Flax say nothing.
STEPS = [(name, "bfloat16") for name in ESTIMATORS] + [
    (name, precision)
    for name in ("CD", "Centred PCD", "mean field", "classifier")
    for precision in ("float32", "tensorfloat32")
]
ALLOWED = {
    "float32": {"HIGHEST"},
    "tensorfloat32": {"HIGH", "HIGHEST"},
    "bfloat16": {"BF16", "HIGHEST"},
}


@pytest.mark.parametrize(("name", "precision"), STEPS)
def test_a_step_multiplies_as_it_says(name, precision):
    estimator, params, values = ESTIMATORS[name]
    optimizer = optax.sgd(0.1)
    step = jboltz.make_train_step(estimator, optimizer, precision=precision)

    def update(params):
        state = jboltz.init_train_state(params, estimator, optimizer, KEY)
        return step(state, jboltz.Batch(values=values), KEY)

    found = precisions_of(update, params)
    is_network = name in ("classifier", "VAE")
    if is_network and precision == "bfloat16":
        assert found == {"DEFAULT"}
    else:
        assert found <= ALLOWED[precision], found


GAUSSIAN = Foreign(jboltz.Gaussian(3), B(2))
ACCEPTING = {
    "tempering": (tempering.TrajectoryTempering(FOREIGN), stacked(2)),
    "Langevin": (langevin.GibbsLangevin(GAUSSIAN), shapes_of(GAUSSIAN)),
}


@pytest.mark.parametrize("name", ACCEPTING)
def test_draws_are_accepted_by_energies_in_float32(name):
    """Those of a model from elsewhere too, in a step of bfloat16."""
    sampler, params = ACCEPTING[name]

    def step(params):
        return sampler.step(params, sampler.init(params, V[0], KEY), KEY)

    with jax.default_matmul_precision("bfloat16"):
        assert precisions_of(step, params) == {"BF16", "HIGHEST"}


# Of these the products are NumPy's, or what a benchmark sets beside the library.
FREE = {"data/patches.py", "data/readers/fasta.py", "runs/patches.py"}
FREE |= {"evaluation/fields.py", "evaluation/probe.py", "models/couplings.py"}
BENCHMARK = "experiments/benchmark/"
PRODUCTS = {"dot", "matmul", "einsum", "tensordot", "vdot", "inner", "kron", "vecdot"}
PRODUCTS |= {"matvec", "vecmat", "dot_general", "convolve", "conv_general_dilated"}


def test_no_other_file_has_a_product_of_its_own():
    """It would say nothing of its precision. (`jnp.outer` sums nothing: it is none.)"""
    library = pathlib.Path(jboltz.__file__).parent
    found = set()
    for file in library.rglob("*.py"):
        name = file.relative_to(library).as_posix()
        if name in FREE or name == "products.py" or name.startswith(BENCHMARK):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            operator = getattr(node, "op", None)
            is_product = isinstance(node, ast.Attribute) and node.attr in PRODUCTS
            if is_product and ast.unparse(node.value) in ("jnp", "lax", "jax.lax"):
                found.add(f"{name}:{node.lineno}")
            if isinstance(operator, ast.MatMult):
                found.add(f"{name}:{node.lineno}")
    assert not found, f"take `product` or `full_product` of jboltz/products.py: {found}"
