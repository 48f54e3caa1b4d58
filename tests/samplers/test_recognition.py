"""The kernels of a DBN leave the joint of all its layers, or what is free of it, as it
is: every configuration is enumerated."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.models.dbn import DBN
from jboltz.samplers.chains import run_chains
from jboltz.samplers.gibbs import ClampedState, GibbsState
from jboltz.samplers.recognition import ClampedRecognition
from jboltz.units.bernoulli import Bernoulli
from tests.helpers import assert_no_drift, binary_states, draw_like

SIZES = (2, 1, 1, 1)
NET = DBN.chain(*map(Bernoulli, SIZES))
NUM_CHAINS = 30_000


@dataclasses.dataclass(frozen=True)
class TakesEveryProposal(ClampedRecognition):
    """Sampled passes upwards as they come: what in-painting by `encode` would be."""

    def _log_weight(self, params, hidden):
        return 0 * super()._log_weight(params, hidden)


def log_joint(params):
    """Every (v, h¹, h², h³) as a row, and log p of each: NumPy's sums."""
    rows = np.asarray(binary_states(sum(SIZES)), np.float64)
    layers = np.split(rows, np.cumsum(SIZES)[:-1], axis=1)
    log_p = 0.0
    for index, layer in enumerate(params):
        W, b = np.asarray(layer.weights), np.asarray(layer.visible.bias)
        below, above = layers[index : index + 2]
        field = b + above @ W.T
        if index < len(params) - 1:  # p(below | above)
            log_p += (below * field - np.logaddexp(0, field)).sum(1)
        else:  # the top RBM
            log_p += (below * field).sum(1) + above @ np.asarray(layer.hidden.bias)
    return jnp.asarray(rows, jnp.float32), jnp.asarray(log_p, jnp.float32)


def draw_params(getkey, chosen=slice(None)):
    """Parameters as large as leaves the rarest configuration 500 of the chains."""
    params = draw_like(jax.eval_shape(NET.init, getkey()), getkey(), scale=1.5)
    while NUM_CHAINS * jax.nn.softmax(log_joint(params)[1][chosen]).min() < 501:
        params = jax.tree.map(lambda x: 0.95 * x, params)
    return params


def assert_stays(sampler, params, key, chosen=slice(None), clamp=None):
    rows, log_p = (x[chosen] for x in log_joint(params))

    def kernel(rows, key, num_steps):
        v, *hidden = jnp.split(rows, np.cumsum(SIZES)[:-1].tolist(), axis=1)
        states = GibbsState(visible=v, hidden=tuple(hidden))
        if clamp is not None:
            held = jnp.tile(clamp, (len(rows), 1))
            states = ClampedState(visible=v, hidden=tuple(hidden), clamp=held)
        steps = jnp.asarray(num_steps)
        states, _ = run_chains(sampler, params, states, key, num_steps=steps)
        return jnp.concatenate([states.visible, *states.hidden], axis=1)

    assert_no_drift(kernel, rows, log_p, key, num_chains=NUM_CHAINS)


HELD = {"chosen": slice(16, 32), "clamp": jnp.asarray([True, False])}  # v₀ = 1


def test_passes_upwards_alone_drift(getkey):
    params = draw_params(getkey, HELD["chosen"])
    with pytest.raises(AssertionError, match="drift after"):
        assert_stays(TakesEveryProposal(NET), params, getkey(), **HELD)


def test_where_the_way_up_is_the_posterior_every_candidate_weighs_the_same(getkey):
    """A second RBM that is the first upside down makes the DBN that RBM: q(h¹ | v) is
    p(h¹ | v), and the weights are constant."""
    net = DBN.chain(Bernoulli(4), Bernoulli(3), Bernoulli(4))
    first = draw_like(jax.eval_shape(net.init, getkey()), getkey(), scale=2.0)[0]
    second = first.replace(
        visible=first.hidden, hidden=first.visible, weights=first.weights.T
    )
    weigh = jax.vmap(
        lambda h: ClampedRecognition(net)._log_weight((first, second), (h,))
    )
    log_weights = weigh(binary_states(3))
    np.testing.assert_allclose(log_weights, log_weights[0], atol=1e-5)
