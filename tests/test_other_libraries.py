"""Models inside the programs of other libraries, each where it is installed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from tests.helpers import binary_states, draw_like, rng_of

RBM = jboltz.RBM(jboltz.Bernoulli(4), jboltz.Bernoulli(3))
CD = jboltz.ContrastiveDivergence(RBM, jboltz.Gibbs(RBM))
OPTIMIZER = optax.adam(0.1)


@pytest.fixture
def case(getkey):
    """Parameters, examples, a key, and what a step of Adam makes of them."""
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey())
    v = jnp.asarray(rng_of(getkey()).integers(0, 2, (8, 4)), jnp.float32)
    key = getkey()
    gradient, _, _ = CD.estimate(params, (), jboltz.Batch(values=v), key)
    updates, _ = OPTIMIZER.update(gradient, OPTIMIZER.init(params), params)
    return params, v, key, optax.apply_updates(params, updates)


def assert_same(got, expected):
    """Of any structures with the same leaves."""
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_nnx(case):
    from flax import nnx

    params, v, key, expected = case

    class Model(nnx.Module):
        def __init__(self, params):
            self.rbm = nnx.data(jax.tree.map(nnx.Param, params))

        def params(self):
            return jax.tree.map(
                lambda x: x[...],
                self.rbm,
                is_leaf=lambda x: isinstance(x, nnx.Variable),
            )

    model = Model(params)
    optimizer = nnx.Optimizer(model, OPTIMIZER, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        def loss(model):
            return jboltz.contrastive_loss(CD, model.params(), v, key)

        optimizer.update(model, nnx.value_and_grad(loss)(model)[1])

    step(model, optimizer)
    assert_same(model.params(), expected)


def test_linen(case):
    from flax import linen as nn

    params, v, key, expected = case

    class Model(nn.Module):
        @nn.compact
        def __call__(self, v, key):
            rbm = self.param("rbm", lambda _: params)
            return jboltz.contrastive_loss(CD, rbm, v, key)

    model = Model()
    variables = model.init(jax.random.key(0), v, key)
    gradient = jax.grad(model.apply)(variables, v, key)
    updates, _ = OPTIMIZER.update(gradient, OPTIMIZER.init(variables), variables)
    assert_same(optax.apply_updates(variables, updates), expected)


def test_equinox(case):
    eqx = pytest.importorskip("equinox")
    params, v, key, expected = case

    class Model(eqx.Module):
        rbm: jboltz.RBMParams

        def __call__(self, v, key):
            return jboltz.contrastive_loss(CD, self.rbm, v, key)

    model = Model(params)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda model: model(v, key)))(model)
    updates, _ = OPTIMIZER.update(gradient, OPTIMIZER.init(model), model)
    assert_same(eqx.apply_updates(model, updates), expected)


def test_numpyro(case):
    """A free energy as a factor: the density is that of the model, but for log Z."""
    numpyro = pytest.importorskip("numpyro")
    params, v, _, _ = case

    def model(v):
        free_energy = jax.vmap(RBM.free_energy, in_axes=(None, 0))(params, v)
        numpyro.factor("rbm", -free_energy)

    density, _ = numpyro.infer.util.log_density(model, (v,), {}, {})
    each = [RBM.free_energy(params, row) for row in v]
    np.testing.assert_allclose(density, -np.sum(each), rtol=1e-5)


def test_distrax(case):
    """The conditional of an RBM is a distribution of Distrax."""
    distrax = pytest.importorskip("distrax")
    params, v, _, _ = case
    logits = RBM.hidden_inputs(params, v[0]) + params.hidden.bias
    hidden = distrax.Independent(distrax.Bernoulli(logits), 1)
    for h in binary_states(3):
        expected = RBM.hidden_log_probability(params, v[0], h)
        np.testing.assert_allclose(hidden.log_prob(h), expected, rtol=1e-4)


def test_nuts_of_blackjax(getkey):
    """Its draws have the moments of a Gaussian–Gaussian model, by its precision."""
    blackjax = pytest.importorskip("blackjax")
    model = jboltz.RBM(jboltz.Gaussian(2), jboltz.Gaussian(1))
    weights = jnp.array([[0.6], [-0.4]])
    zeros = jax.tree.map(jnp.zeros_like, model.init(getkey()))
    params = zeros.replace(weights=weights)

    def log_density(v):
        return -model.free_energy(params, v)

    kernel = blackjax.nuts(log_density, 0.8, jnp.ones(2))

    def body(state, key):
        state, _ = kernel.step(key, state)
        return state, state.position

    _, draws = jax.jit(lambda state, keys: jax.lax.scan(body, state, keys))(
        kernel.init(jnp.zeros(2)), jax.random.split(getkey(), 2000)
    )
    # F(v) = |v|²/2 − |vᵀ W|²/2, where all variances are 1.
    expected = np.linalg.inv(np.eye(2) - weights @ weights.T)
    # 5 standard errors of as many draws as 1000 independent ones.
    band = 5 * expected.max() * np.sqrt(2 / 1000)
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=band)
