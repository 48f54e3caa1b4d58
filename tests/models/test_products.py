"""Products of bfloat16: operands are rounded, sums and derivatives are not."""

import jax
import jax.numpy as jnp
import numpy as np

import jboltz
from tests.helpers import errors_without_hook, random_params, rng_of

EXACT = jboltz.RBM(jboltz.Bernoulli(40), jboltz.Bernoulli(30))
ROUNDED = jboltz.RBM(*EXACT.units, products="bfloat16")


def draw(getkey):
    v = jnp.asarray(rng_of(getkey()).integers(0, 2, 40), jnp.float32)
    return random_params(EXACT.init(getkey()), getkey()), v


def to_bfloat16(x):
    return np.asarray(jnp.asarray(x).astype(jnp.bfloat16), np.float64)


def test_weights_and_activities_are_rounded_and_sums_are_not(getkey):
    params, v = draw(getkey)
    gray = jnp.asarray(rng_of(getkey()).uniform(size=40), jnp.float32)
    for x in (v, gray):
        expected = to_bfloat16(x) @ to_bfloat16(params.weights)
        np.testing.assert_allclose(
            ROUNDED.hidden_inputs(params, x), expected, rtol=1e-5, atol=1e-6
        )
    h = jnp.asarray(rng_of(getkey()).integers(0, 2, 30), jnp.float32)
    expected = to_bfloat16(params.weights) @ to_bfloat16(h)
    np.testing.assert_allclose(
        ROUNDED.visible_inputs(params, h), expected, rtol=1e-5, atol=1e-6
    )


def test_weights_that_are_bfloat16_change_nothing(getkey):
    """Chains too: of binary states, bit for bit."""
    params, v = draw(getkey)
    weights = jnp.asarray(to_bfloat16(params.weights), jnp.float32)
    params, key = params.replace(weights=weights), getkey()
    for model in (EXACT, ROUNDED):
        sampler = jboltz.Gibbs(model)
        chain, _ = jboltz.run(
            sampler, params, sampler.init(params, v, key), key, num_steps=20
        )
        if model is EXACT:
            expected = chain
    np.testing.assert_array_equal(chain.visible, expected.visible)


def test_the_gradient_is_that_at_the_rounded_weights_and_is_not_rounded(getkey):
    params, v = draw(getkey)
    rounded = params.replace(
        weights=jnp.asarray(to_bfloat16(params.weights), jnp.float32)
    )
    got = jax.grad(ROUNDED.free_energy)(params, v)
    expected = jax.grad(EXACT.free_energy)(rounded, v)
    np.testing.assert_allclose(got.weights, expected.weights, rtol=1e-5, atol=1e-7)
    assert np.any(to_bfloat16(got.weights) != np.asarray(got.weights))


def test_other_products_are_refused():
    setup = "import jboltz as j"
    call = "j.RBM(j.Bernoulli(2), j.Bernoulli(1), products='float16')"
    expected = (
        "ValueError: `products` is 'float16' but needs to be 'float32' or 'bfloat16'."
    )
    assert errors_without_hook(setup, [call]) == {call: expected}
