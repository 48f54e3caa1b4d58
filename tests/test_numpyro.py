"""An RBM's visible state as a distribution of NumPyro."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from tests.helpers import binary_states, draw_like

pytest.importorskip("numpyro")

import numpyro

from jboltz.numpyro import VisibleState

B = jboltz.Bernoulli
RBM = jboltz.RBM(B(3), B(2))


def params_of(model, getkey):
    return draw_like(jax.eval_shape(model.init, getkey()), getkey())


def test_it_is_normalised_over_any_leading_axes(getkey):
    params = params_of(RBM, getkey)
    visible = VisibleState(RBM, params)
    states = binary_states(3)
    log_p = visible.log_prob(states.reshape(2, 4, 3))
    assert log_p.shape == (2, 4)
    assert visible.event_shape == (3,)
    assert visible.batch_shape == ()
    np.testing.assert_allclose(jnp.exp(log_p).sum(), 1, rtol=1e-5)
    given = VisibleState(RBM, params, log_partition=0.0)
    expected = -jax.vmap(RBM.free_energy, (None, 0))(params, states)
    np.testing.assert_allclose(given.log_prob(states), expected, rtol=1e-6)


def test_its_samples_follow_it(getkey):
    """Counts of states are binomial, 5σ."""
    params = params_of(RBM, getkey)
    visible = VisibleState(RBM, params, warm_up=30)
    drawn = visible.sample(jax.random.PRNGKey(3), (50, 80))
    assert drawn.shape == (50, 80, 3)
    states = binary_states(3)
    p = np.asarray(jnp.exp(visible.log_prob(states)), np.float64)
    same = (np.asarray(drawn).reshape(-1, 1, 3) == np.asarray(states)).all(-1)
    z = (same.mean(0) - p) / np.sqrt(p * (1 - p) / 4000)
    assert np.abs(z).max() < 5


def test_it_goes_through_jit_and_vmap(getkey):
    params, states = params_of(RBM, getkey), binary_states(3)
    visible = VisibleState(RBM, params)
    got = jax.jit(lambda visible, v: visible.log_prob(v))(visible, states)
    np.testing.assert_allclose(got, visible.log_prob(states), rtol=1e-6)


@pytest.mark.parametrize(
    ("unit", "state", "is_discrete"),
    [
        (B(2), [0.0, 1.0], True),
        (jboltz.Spin(2), [-1.0, 1.0], True),
        (jboltz.Binomial(2, 3), [0.0, 3.0], True),
        (jboltz.Softmax(1, 2), [[0.0, 1.0]], True),
        (jboltz.Gaussian(2), [-3.0, 0.2], False),
        (jboltz.ReLU(2), [0.0, 0.2], False),
    ],
    ids=lambda x: type(x).__name__,
)
def test_its_support_is_that_of_the_unit(unit, state, is_discrete, getkey):
    model = jboltz.RBM(unit, B(2))
    visible = VisibleState(model, model.init(getkey()), log_partition=0.0)
    assert visible.support(jnp.asarray(state))
    assert visible.support.is_discrete == is_discrete
    assert not visible.support(jnp.asarray(state) + 7.5) or not is_discrete


def test_nuts_draws_real_states(getkey):
    """Means of a Gaussian–Bernoulli machine, exact by a sum over hidden states."""
    model = jboltz.RBM(jboltz.Gaussian(2), B(2))
    params = params_of(model, getkey)

    def program():
        numpyro.sample("v", VisibleState(model, params, log_partition=0.0))

    mcmc = numpyro.infer.MCMC(
        numpyro.infer.NUTS(program),
        num_warmup=300,
        num_samples=4000,
        progress_bar=False,
    )
    mcmc.run(getkey())
    drawn = np.asarray(mcmc.get_samples()["v"], np.float64)
    mean, spread, weights = np.zeros(2), np.zeros(2), []
    for h in itertools.product((0.0, 1.0), repeat=2):
        h = jnp.asarray(h)
        p = np.exp(-float(model.hidden_free_energy(params, h)))
        centre = np.asarray(model.mean_visible_state(params, h), np.float64)
        mean, spread = mean + p * centre, spread + p * centre**2
        weights.append(p)
    mean = mean / sum(weights)
    variance = np.exp(params.visible.log_variance)
    spread = spread / sum(weights) - mean**2 + variance
    # 5 standard errors of as many draws as 1000 independent ones.
    assert (np.abs(drawn.mean(0) - mean) < 5 * np.sqrt(spread / 1000)).all()


def test_what_it_cannot_be_is_refused(getkey):
    joined = jboltz.RBM(jboltz.Joined(B(2), B(2)), B(2))
    with pytest.raises(TypeError, match="is a tuple of arrays"):
        VisibleState(joined, joined.init(getkey()))
    params = RBM.init(getkey())
    with pytest.raises(ValueError, match="`warm_up` is -1"):
        VisibleState(RBM, params, warm_up=-1)
    with pytest.raises(ValueError, match=r"`value` has shape \(2, 2\) but"):
        VisibleState(RBM, params_of(RBM, getkey)).log_prob(jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"`value` .* is gray"):
        VisibleState(RBM, params).log_prob(jnp.full(3, 0.5))
    big = jboltz.RBM(B(40), B(40))
    with pytest.raises(ValueError, match="enumeration takes at most"):
        VisibleState(big, big.init(getkey()))
