"""Products say how precise they are: float32 unless training asks for less."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jboltz
from jboltz.learning.step import Batch
from jboltz.products import full_precision, full_product, product
from jboltz.samplers.chains import run
from tests.helpers import errors_without_hook, random_params, rng_of

RBM = jboltz.RBM(jboltz.Bernoulli(40), jboltz.Bernoulli(30))


def draw(getkey):
    v = jnp.asarray(rng_of(getkey()).integers(0, 2, 40), jnp.float32)
    return random_params(RBM.init(getkey()), getkey()), v


def to_bfloat16(x):
    return np.asarray(jnp.asarray(x).astype(jnp.bfloat16), np.float64)


def test_in_bfloat16_weights_and_activities_are_rounded_and_sums_are_not(getkey):
    params, v = draw(getkey)
    gray = jnp.asarray(rng_of(getkey()).uniform(size=40), jnp.float32)
    with jax.default_matmul_precision("bfloat16"):
        for x in (v, gray):
            expected = to_bfloat16(x) @ to_bfloat16(params.weights)
            np.testing.assert_allclose(
                RBM.hidden_inputs(params, x), expected, rtol=1e-5, atol=1e-6
            )
        h = jnp.asarray(rng_of(getkey()).integers(0, 2, 30), jnp.float32)
        expected = to_bfloat16(params.weights) @ to_bfloat16(h)
        np.testing.assert_allclose(
            RBM.visible_inputs(params, h), expected, rtol=1e-5, atol=1e-6
        )


def test_weights_that_are_bfloat16_change_nothing(getkey):
    """Chains too: of binary states, bit for bit."""
    params, v = draw(getkey)
    weights = jnp.asarray(to_bfloat16(params.weights), jnp.float32)
    params, key = params.replace(weights=weights), getkey()
    sampler, chains = jboltz.Gibbs(RBM), []
    for name in ("float32", "bfloat16"):
        with jax.default_matmul_precision(name):
            start = sampler.init(params, v, key)
            chain, _ = run(sampler, params, start, key, num_steps=20)
        chains.append(chain.visible)
    np.testing.assert_array_equal(*chains)


def test_the_gradient_is_that_at_the_rounded_weights_and_is_not_rounded(getkey):
    params, v = draw(getkey)
    rounded = params.replace(
        weights=jnp.asarray(to_bfloat16(params.weights), jnp.float32)
    )
    with jax.default_matmul_precision("bfloat16"):
        got = jax.grad(RBM.free_energy)(params, v)
    expected = jax.grad(RBM.free_energy)(rounded, v)
    np.testing.assert_allclose(got.weights, expected.weights, rtol=1e-5, atol=1e-7)
    assert np.any(to_bfloat16(got.weights) != np.asarray(got.weights))


def test_a_step_of_bfloat16_is_one_of_rounded_weights(getkey):
    """And the default is float32, whatever the context around the step."""
    params, v = draw(getkey)
    estimator, optimizer = (
        jboltz.ContrastiveDivergence(RBM, jboltz.Gibbs(RBM)),
        optax.sgd(1.0),
    )
    state = jboltz.init_train_state(params, estimator, optimizer, getkey())
    batch, key = Batch(values=v[None]), getkey()

    def update(precision):
        step = jboltz.make_train_step(estimator, optimizer, **precision)
        return np.asarray(jax.jit(step)(state, batch, key)[0].params.weights)

    def expected(name):
        with jax.default_matmul_precision(name):
            gradient, _, _ = jax.jit(estimator.estimate)(params, (), batch, key)
        return params.weights - gradient.weights

    rounded = update({"precision": "bfloat16"})
    np.testing.assert_array_equal(rounded, expected("bfloat16"))
    with jax.default_matmul_precision("bfloat16"):
        exact = update({})
    np.testing.assert_array_equal(exact, expected("float32"))
    assert np.any(rounded != exact)


def test_full_precision_holds_whatever_is_around_it(getkey):
    x, y = (jnp.asarray(rng_of(getkey()).normal(size=(5, 5))) for _ in "xy")
    with jax.default_matmul_precision("bfloat16"):
        assert np.any(product(x, y) != full_product(x, y))
        np.testing.assert_array_equal(full_precision(product)(x, y), x @ y)


def test_other_precisions_are_refused():
    setup = "import jboltz as j, optax; rbm = j.RBM(j.Bernoulli(2), j.Bernoulli(1))"
    call = (
        "j.make_train_step(j.ContrastiveDivergence(rbm, j.Gibbs(rbm)), optax.sgd(1.0), "
        "precision='float16')"
    )
    expected = (
        "InvalidValue: `precision` is 'float16' but needs to be 'float32', "
        "'tensorfloat32' or 'bfloat16'; pass one of these names."
    )
    assert errors_without_hook(setup, [call]) == {call: expected}
