"""CD, half-step CD and PCD: the right gradient, from the right draws."""

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jboltz
from jboltz import Batch, Bernoulli, Gaussian
from jboltz.domains import Reals
from jboltz.learning.batch import weighted_mean
from jboltz.learning.contrastive import HalfStepContrastiveDivergence
from jboltz.units.bernoulli import BernoulliParams
from jboltz.units.gaussian import GaussianParams
from tests.helpers import binary_states, errors_without_hook, random_params

MACHINES = {
    "Bernoulli-Bernoulli": jboltz.RBM(Bernoulli(5), Bernoulli(4)),
    "Gaussian-Bernoulli": jboltz.RBM(Gaussian(5), Bernoulli(4)),
    "Bernoulli-Gaussian": jboltz.RBM(Bernoulli(5), Gaussian(4)),
}
BINARY = MACHINES["Bernoulli-Bernoulli"]
NUM_EXAMPLES, NUM_CHAINS = 6, 3
ESTIMATORS = {
    "CD": jboltz.ContrastiveDivergence,
    "half step": HalfStepContrastiveDivergence,
    "PCD": partial(jboltz.PersistentContrastiveDivergence, num_chains=NUM_CHAINS),
}
every_machine = pytest.mark.parametrize("machine", MACHINES)
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)
of_data_chains = pytest.mark.parametrize("name", ["CD", "half step"])

same = partial(chex.assert_trees_all_close, rtol=2e-5, atol=1e-6)


def make(name, model=BINARY, **options):
    return ESTIMATORS[name](model, jboltz.Gibbs(model), **options)


@partial(jax.jit, static_argnums=0)
def estimate(estimator, params, state, batch, key):
    return estimator.estimate(params, state, batch, key)


def data_for(model, key):
    x = jax.random.normal(key, (NUM_EXAMPLES, *model.visible.shape))
    return x if model.visible.domain == Reals() else jnp.round(jax.nn.sigmoid(x))


@partial(jax.jit, static_argnames=("model", "num_steps"))
def chains_from_data(model, params, values, key, num_steps):
    """The chains of CD, from the documented keys."""
    sampler = jboltz.Gibbs(model)
    key_init, key_run = jax.random.split(key)
    chains = jboltz.init_chains(sampler, params, values, key_init)
    return jboltz.run_chains(sampler, params, chains, key_run, num_steps=num_steps)[0]


# The statistics −∂E/∂θ in numpy, from the energy E_v + E_h − a_v(v)ᵀ W a_h(h): −b·x
# with a(x) = x for Bernoulli units, ½(x − μ)²/σ² with a(x) = x/σ² for Gaussian ones.


def known_layer(params, x, inputs):
    """−∂E/∂θ of a unit at the states x, (batch, size)."""
    if isinstance(params, BernoulliParams):
        return BernoulliParams(bias=x)
    precision, error = np.exp(-params.log_variance), x - params.mean
    return GaussianParams(
        mean=error * precision,
        log_variance=0.5 * error**2 * precision - x * precision * inputs,
    )


def averaged_layer(params, inputs):
    """E[−∂E/∂θ | I] of a unit, and E[a(x) | I]."""
    if isinstance(params, BernoulliParams):
        p = 1 / (1 + np.exp(-params.bias - inputs))
        return BernoulliParams(bias=p), p
    precision, mean = np.exp(-params.log_variance), params.mean + inputs
    statistics = GaussianParams(
        mean=inputs * precision,
        log_variance=0.5 * (1 + inputs**2 * precision) - mean * precision * inputs,
    )
    return statistics, mean * precision


def activity(params, x):
    return x if isinstance(params, BernoulliParams) else x / np.exp(params.log_variance)


def given_visible(params, v):
    """E[−∂E/∂θ | v] of every v, (batch, …)."""
    params, v = jax.tree.map(partial(np.asarray, dtype=np.float64), (params, v))
    a_v = activity(params.visible, v)
    hidden, a_h = averaged_layer(params.hidden, a_v @ params.weights)
    return jboltz.RBMParams(
        visible=known_layer(params.visible, v, a_h @ params.weights.T),
        hidden=hidden,
        weights=a_v[:, :, None] * a_h[:, None, :],
    )


def given_hidden(params, h):
    """E[−∂E/∂θ | h] of every h, (batch, …)."""
    params, h = jax.tree.map(partial(np.asarray, dtype=np.float64), (params, h))
    a_h = activity(params.hidden, h)
    visible, a_v = averaged_layer(params.visible, a_h @ params.weights.T)
    return jboltz.RBMParams(
        visible=visible,
        hidden=known_layer(params.hidden, h, a_v @ params.weights),
        weights=a_v[:, :, None] * a_h[:, None, :],
    )


def average(tree, weights=None):
    return jax.tree.map(lambda x: np.average(x, axis=0, weights=weights), tree)


def gradient_of(data_average, model_average):
    """Of the mean negative log-likelihood."""
    return jax.tree.map(lambda d, m: m - d, data_average, model_average)


@every_machine
def test_cd_is_the_difference_of_explicit_statistics(machine, getkey):
    """⟨−∂E/∂θ⟩ at v_k less that at the data, the hidden layer averaged in both."""
    model = MACHINES[machine]
    params = random_params(model.init(getkey()), getkey())
    v, key = data_for(model, getkey()), getkey()
    estimator = make("CD", model, num_steps=2)
    gradient, state, metrics = estimate(estimator, params, (), Batch(values=v), key)

    v_k = chains_from_data(model, params, v, key, 2).visible
    positive, negative = given_visible(params, v), given_visible(params, v_k)
    same(gradient, gradient_of(average(positive), average(negative)))
    assert state == ()
    same(metrics, {"reconstruction_error": np.mean((v - v_k) ** 2)})


@every_machine
def test_half_step_cd_is_the_difference_of_explicit_statistics(machine, getkey):
    """At the hidden state one kernel step earlier, the visible layer averaged."""
    model = MACHINES[machine]
    params = random_params(model.init(getkey()), getkey())
    v, key = data_for(model, getkey()), getkey()
    estimator = make("half step", model, num_steps=2)
    gradient, state, metrics = estimate(estimator, params, (), Batch(values=v), key)

    h = chains_from_data(model, params, v, key, 1).hidden
    positive, negative = given_visible(params, v), given_hidden(params, h)
    same(gradient, gradient_of(average(positive), average(negative)))
    assert state == ()
    means = jax.vmap(partial(model.mean_visible_state, params))(h)
    same(metrics, {"reconstruction_error": np.mean((v - means) ** 2)})


@every_machine
def test_pcd_divides_each_phase_by_its_own_count(machine, getkey):
    """Six examples beside three chains, which go on from where they were."""
    model = MACHINES[machine]
    params = random_params(model.init(getkey()), getkey())
    v, key = data_for(model, getkey()), getkey()
    estimator = make("PCD", model, num_steps=2)
    before = estimator.init(params, getkey())
    gradient, chains, metrics = estimate(
        estimator, params, before, Batch(values=v), key
    )

    sampler = jboltz.Gibbs(model)
    expected, _ = jboltz.run_chains(sampler, params, before, key, num_steps=2)
    same(chains, expected)
    assert chains.visible.shape == (NUM_CHAINS, 5)
    positive, negative = given_visible(params, v), given_visible(params, chains.visible)
    same(gradient, gradient_of(average(positive), average(negative)))
    free_energy = jax.vmap(partial(model.free_energy, params))
    contrast = np.mean(free_energy(v)) - np.mean(free_energy(chains.visible))
    np.testing.assert_allclose(metrics["contrast"], contrast, rtol=1e-4, atol=1e-5)


# What the estimators average to, on a machine of 2⁴ visible states.

SMALL = jboltz.RBM(Bernoulli(4), Bernoulli(3))
V, H = np.asarray(binary_states(4)), np.asarray(binary_states(3))
ROWS = np.array([3, 5, 12, 15])
NUM_DRAWS = 20_000


def small_machine(key, scale=1.0):
    return random_params(SMALL.init(key), key, scale)


def probability(states, p):
    """p(state) of every state, under every row of means: (rows, states)."""
    p = np.asarray(p)[:, None]
    return np.prod(np.where(states == 1, p, 1 - p), axis=-1)


def up_and_down(params):
    """p(h | v), (2⁴, 2³), and p(v | h), (2³, 2⁴)."""
    up, down = (
        given_visible(params, V).hidden.bias,
        given_hidden(params, H).visible.bias,
    )
    return probability(H, up), probability(V, down)


@jax.jit
def likelihood_gradient(params):
    """Of the mean negative log-likelihood, by autodiff through the enumerated Z."""

    def loss(params):
        free_energy = jax.vmap(partial(SMALL.free_energy, params))(jnp.asarray(V))
        return jnp.mean(free_energy[ROWS]) + jax.nn.logsumexp(-free_energy)

    return jax.grad(loss)(params)


def moments(statistics, p):
    """Mean and variance of a table of statistics under p."""
    first = average(statistics, p)
    second = average(jax.tree.map(np.square, statistics), p)
    return first, jax.tree.map(lambda x, y: x - y**2, second, first)


def worst(tree, other, variance):
    """The largest distance of the two in standard errors of NUM_DRAWS draws."""
    leaves = zip(*map(jax.tree.leaves, (tree, other, variance)), strict=True)
    return max(np.max(np.abs(x - y) / np.sqrt(v / NUM_DRAWS)) for x, y, v in leaves)


@pytest.mark.parametrize("name", ["CD", "PCD"])
def test_long_chains_give_the_gradient_of_the_log_likelihood(name, getkey):
    """The chains are independent and have forgotten their start, so the standard error
    is that of draws from the model."""
    num_steps = 40
    params = small_machine(getkey())
    up, down = up_and_down(params)
    forgotten = np.linalg.matrix_power(up @ down, num_steps)
    p = forgotten[0]
    np.testing.assert_allclose(forgotten, np.tile(p, (16, 1)), atol=1e-6)
    _, variance = moments(given_visible(params, V), p)

    estimator = jboltz.ContrastiveDivergence(SMALL, jboltz.Gibbs(SMALL), num_steps)
    values = np.tile(V[ROWS], (NUM_DRAWS // 4, 1))
    if name == "PCD":
        estimator = jboltz.PersistentContrastiveDivergence(
            SMALL, jboltz.Gibbs(SMALL), NUM_DRAWS, num_steps
        )
        values = V[ROWS]
    state = estimator.init(params, getkey())
    batch = Batch(values=jnp.asarray(values))
    gradient, _, _ = estimate(estimator, params, state, batch, getkey())
    assert worst(gradient, likelihood_gradient(params), variance) < 5


def exact_expectation(name, params, rows, share):
    """Of k = 1 by the transition matrix, and the variance of NUM_DRAWS draws, which
    are spread evenly over the rows and weighted by their share."""
    up, down = up_and_down(params)
    if name == "CD":
        table, conditional = given_visible(params, V), (up @ down)[rows]
    else:
        table, conditional = given_hidden(params, H), up[rows]
    means, variances = zip(*[moments(table, p) for p in conditional], strict=True)
    model_average = jax.tree.map(lambda *x: np.tensordot(share, x, 1), *means)
    data_average = average(given_visible(params, V[rows]), share)
    variance = jax.tree.map(
        lambda *x: np.tensordot(len(rows) * share**2, x, 1), *variances
    )
    return gradient_of(data_average, model_average), variance


def estimate_of_rows(name, params, rows, share, key):
    repeats = NUM_DRAWS // len(rows)
    batch = Batch(
        values=jnp.asarray(np.tile(V[rows], (repeats, 1))),
        weights=jnp.asarray(np.tile(share, repeats), jnp.float32),
    )
    return estimate(make(name, SMALL), params, (), batch, key)[0]


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 0.5, 3, 0)], ids=str)
@of_data_chains
def test_cd_1_averages_to_its_exact_expectation(name, weights, getkey):
    """Which is not the gradient of the log-likelihood."""
    params = small_machine(getkey(), scale=1.5)
    share = np.array(weights) / sum(weights)
    expected, variance = exact_expectation(name, params, ROWS, share)
    gradient = estimate_of_rows(name, params, ROWS, share, getkey())
    assert worst(gradient, expected, variance) < 5
    if weights == (1, 1, 1, 1):
        assert worst(expected, likelihood_gradient(params), variance) > 2 * 5


@of_data_chains
def test_cd_1_is_unbiased_at_equilibrium(name, getkey):
    """Where the data are distributed as the model is, no parameter moves."""
    params = small_machine(getkey())
    rows = np.arange(16)
    free_energy = jax.vmap(partial(SMALL.free_energy, params))(jnp.asarray(V))
    p = np.asarray(jax.nn.softmax(-free_energy))
    expected, variance = exact_expectation(name, params, rows, p)
    zero = jax.tree.map(np.zeros_like, expected)
    chex.assert_trees_all_close(expected, zero, atol=1e-5)
    gradient = estimate_of_rows(name, params, rows, p, getkey())
    assert worst(gradient, zero, variance) < 5


def test_chains_of_pcd_start_at_draws_from_the_visible_biases(getkey):
    """Whatever the weights are: p(v = 1) = σ(b); and then h ~ p(h | v)."""
    params = small_machine(getkey())
    estimator = make("PCD", SMALL, num_chains=NUM_DRAWS)
    chains = jax.device_get(estimator.init(params, getkey()))
    p = np.asarray(jax.nn.sigmoid(params.visible.bias))
    error = np.sqrt(p * (1 - p) / NUM_DRAWS)
    assert np.max(np.abs(chains.visible.mean(axis=0) - p) / error) < 5
    p = given_visible(params, chains.visible).hidden.bias
    error = np.sqrt(np.sum(p * (1 - p), axis=0)) / NUM_DRAWS
    assert np.max(np.abs(np.mean(chains.hidden - p, axis=0)) / error) < 5


# Weights, masks and the number of steps.


@of_data_chains
def test_weights_of_cd_weigh_an_example_and_its_chain(name, getkey):
    """Repeated rows would have chains of their own: the same in the mean only, and
    exactly where all chains draw the same (`test_weights`)."""
    params = random_params(BINARY.init(getkey()), getkey())
    v, key = data_for(BINARY, getkey()), getkey()
    weights = jnp.array([2.0, 0.0, 1.0, 3.0, 0.5, 1.0])
    batch = Batch(values=v, weights=weights)
    gradient, _, _ = estimate(make(name), params, (), batch, key)

    chains = chains_from_data(BINARY, params, v, key, 1 if name == "CD" else 0)
    positive = given_visible(params, v)
    if name == "CD":
        negative = given_visible(params, chains.visible)
    else:
        negative = given_hidden(params, chains.hidden)
    same(gradient, average(gradient_of(positive, negative), weights))


def test_only_the_ratios_of_weights_count():
    """And a mean has the type of what it is of, whatever the weights are."""
    x = jnp.arange(6, dtype=jnp.float16)
    equal = weighted_mean(x, jnp.full(6, 0.3, jnp.float32))
    assert equal == weighted_mean(x, None) == 2.5
    assert equal.dtype == jnp.float16


@of_data_chains
def test_draws_of_an_example_do_not_depend_on_the_batch_size(name, getkey):
    """The first examples are a batch of their own once the others weigh nothing."""
    params = random_params(BINARY.init(getkey()), getkey())
    v, key = data_for(BINARY, getkey()), getkey()
    weights = jnp.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    same(
        estimate(make(name), params, (), Batch(values=v[:4]), key)[0],
        estimate(make(name), params, (), Batch(values=v, weights=weights), key)[0],
    )


@pytest.mark.parametrize("num_steps", [0, -1])
@every_estimator
def test_fewer_than_one_step_is_refused(name, num_steps):
    message = f"`num_steps` is {num_steps} but a chain needs at least 1"
    with pytest.raises(ValueError, match=message):
        make(name, num_steps=num_steps)


@every_estimator
def test_a_sampler_of_another_model_is_refused(name):
    other = jboltz.RBM(Bernoulli(2), Bernoulli(2))
    with pytest.raises(ValueError, match=r"`sampler` is of RBM.*make both of one"):
        dataclasses.replace(make(name), sampler=jboltz.Gibbs(other))


@pytest.mark.parametrize("num_chains", [0, -2])
def test_fewer_than_one_chain_is_refused(num_chains):
    message = f"`num_chains` is {num_chains} but needs to be"
    with pytest.raises(ValueError, match=message):
        make("PCD", num_chains=num_chains)


def test_a_number_of_steps_that_is_no_integer_is_refused():
    setup = (
        "import jax.numpy as jnp, jboltz as j\n"
        "m = j.RBM(j.Bernoulli(5), j.Bernoulli(4))\n"
        "s = j.Gibbs(m)"
    )
    starts = (
        "j.ContrastiveDivergence(m, s, ",
        "HalfStepContrastiveDivergence(m, s, ",
        "j.PersistentContrastiveDivergence(m, s, 2, ",
    )
    values = ("1.0", "2.5", "True", "'1'", "jnp.ones(())")
    calls = [f"{start}{value})" for start in starts for value in values]
    for call, error in errors_without_hook(setup, calls).items():
        assert error.startswith("InvalidType: `num_steps` is "), (call, error)
        assert "must be an int or an integer array" in error


@jax.jit
def with_traced_num_steps(params, batch, key, num_steps):
    return {
        name: make(name, num_steps=num_steps).estimate(params, (), batch, key)
        for name in ("CD", "half step")
    }


def test_a_traced_number_of_steps_takes_the_same_steps(getkey):
    params = random_params(BINARY.init(getkey()), getkey())
    batch, key = Batch(values=data_for(BINARY, getkey())), getkey()
    weights = []
    for k in (1, 3):
        traced = with_traced_num_steps(params, batch, key, jnp.asarray(k))
        for name, result in traced.items():
            static = estimate(make(name, num_steps=k), params, (), batch, key)
            same(result, static)
            weights.append(static[0].weights)
    assert np.any(weights[0] != weights[2])
    assert np.any(weights[1] != weights[3])


def test_a_schedule_of_k_compiles_once(getkey):
    """k grows with the updates taken: `state.step` is an array."""
    optimizer = optax.sgd(0.1)
    num_traces = 0

    @jax.jit
    def scheduled(state, batch, key):
        nonlocal num_traces
        num_traces += 1
        estimator = make("PCD", num_steps=1 + state.step // 2)
        return jboltz.make_train_step(estimator, optimizer)(state, batch, key)

    params = random_params(BINARY.init(getkey()), getkey())
    ours = jboltz.init_train_state(params, make("PCD"), optimizer, getkey())
    theirs, batch = ours, Batch(values=data_for(BINARY, getkey()))
    for k in (1, 1, 2, 2):
        key = getkey()
        ours, _ = scheduled(ours, batch, key)
        by_hand = jboltz.make_train_step(make("PCD", num_steps=k), optimizer)
        theirs, _ = jax.jit(by_hand)(theirs, batch, key)
    same(ours, theirs)
    assert num_traces == 1


@pytest.mark.parametrize("name", ["CD", "PCD"])
def test_a_batch_split_over_devices_makes_the_same_updates(name, getkey):
    """Equal to rounding: chains are split as the batch is and draw what they drew."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    replicated = NamedSharding(mesh, PartitionSpec())
    estimator = make(name, **({"num_chains": 16} if name == "PCD" else {}))
    optimizer = optax.sgd(0.1, momentum=0.9)
    params = random_params(BINARY.init(getkey()), getkey())
    one = jboltz.init_train_state(params, estimator, optimizer, getkey())
    many = jax.device_put(one, replicated)
    many = many.replace(estimator_state=jax.device_put(one.estimator_state, split))
    train_step = jax.jit(jboltz.make_train_step(estimator, optimizer))
    for _ in range(4):
        key = getkey()
        values = jnp.round(jax.random.uniform(getkey(), (24, 5)))
        one, _ = train_step(one, Batch(values=values), key)
        many, _ = train_step(many, Batch(values=jax.device_put(values, split)), key)
    assert len(many.params.weights.sharding.device_set) == 8
    if name == "PCD":
        assert many.estimator_state.visible.sharding.spec == split.spec
    same(jax.device_get(many), jax.device_get(one))
