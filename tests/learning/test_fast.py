"""Fast weights: PCD, but for where the chains move."""

from functools import partial

import chex
import jax
import jax.numpy as jnp

import jboltz
from jboltz import Batch, Bernoulli
from jboltz.base import Estimator
from tests.helpers import draw_like, errors_without_hook, rng_of

RBM = jboltz.RBM(Bernoulli(5), Bernoulli(4))
PCD = jboltz.PersistentContrastiveDivergence(RBM, jboltz.Gibbs(RBM), 3, 2)
make = partial(jboltz.FastPersistentContrastiveDivergence, RBM, jboltz.Gibbs(RBM), 3, 2)

same = partial(chex.assert_trees_all_close, rtol=2e-5, atol=1e-6)


@partial(jax.jit, static_argnums=0)
def estimate(estimator, params, state, batch, key):
    return estimator.estimate(params, state, batch, key)


def test_chains_are_driven_and_the_gradient_is_that_of_the_model(getkey):
    """At θ alone, of chains that moved under θ + θ_f; and θ_f takes the gradient up."""
    estimator = make(fast_rate=0.3, decay=0.9)
    assert isinstance(estimator, Estimator)
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey())
    fast = draw_like(params, getkey())
    batch = Batch(values=jnp.asarray(rng_of(getkey()).integers(0, 2, (6, 5)), float))
    key, start = getkey(), estimator.init(params, getkey())
    same(start.fast, jax.tree.map(jnp.zeros_like, params))
    state = start.replace(fast=fast)
    gradient, after, metrics = estimate(estimator, params, state, batch, key)

    driven = jax.tree.map(jnp.add, params, fast)
    _, chains, _ = estimate(PCD, driven, start.chains, batch, key)
    same(after.chains, chains)

    @jax.jit
    def contrast(params):
        free_energy = jax.vmap(partial(RBM.free_energy, params))
        return jnp.mean(free_energy(batch.values)) - jnp.mean(
            free_energy(chains.visible)
        )

    value, expected = jax.value_and_grad(contrast)(params)
    same((gradient, metrics), (expected, {"contrast": value}))
    same(after.fast, jax.tree.map(lambda f, g: 0.9 * f - 0.3 * g, fast, expected))


def test_without_a_fast_rate_it_is_pcd(getkey):
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey())
    batch = Batch(values=jnp.asarray(rng_of(getkey()).integers(0, 2, (6, 5)), float))
    estimator, key, key_start = make(fast_rate=0.0), getkey(), getkey()
    ours, theirs = estimator.init(params, key_start), PCD.init(params, key_start)
    got, after, _ = estimate(estimator, params, ours, batch, key)
    expected, chains, _ = estimate(PCD, params, theirs, batch, key)
    same((got, after.chains), (expected, chains))


def test_rates_that_do_not_decay_are_refused():
    setup = (
        "from jboltz import *\nrbm = RBM(Bernoulli(4), Bernoulli(3))\n"
        "make = lambda *a, **o: FastPersistentContrastiveDivergence(rbm, Gibbs(rbm), "
        "*a, **o)\n"
    )
    expected = {
        "make(3, fast_rate=-0.1)": "`fast_rate` is -0.1 and `decay` 0.95 but",
        "make(3, decay=1.0)": "`fast_rate` is 0.1 and `decay` 1.0 but",
        "make(0)": "`num_chains` is 0",
        "make(3, 0)": "`num_steps` is 0",
    }
    errors = errors_without_hook(setup, expected)
    for call, message in expected.items():
        assert errors[call].startswith(f"InvalidValue: {message}"), (call, errors[call])
