"""Real layers with a finite Z are told from others: by the precision of all states."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import jboltz
from jboltz.domains import Reals
from jboltz.models.couplings import check_couplings
from jboltz.models.swapped import SwappedLayers
from tests.helpers import draw_like, rng_of

G, B = jboltz.Gaussian, jboltz.Bernoulli

NORMAL = {
    "copies": jboltz.RBM(jboltz.Copies(G(2), 3), G(2)),
    "joined": jboltz.RBM(jboltz.Joined(G(2), jboltz.Softmax(1, 2)), G(2)),
    "DBM": jboltz.DBM((G(2), G(3), G(2), G(2))),
    "DBM with a binary layer": SwappedLayers(jboltz.DBM((G(2), G(2), B(2), G(2)))),
}


@pytest.mark.parametrize("model", NORMAL.values(), ids=NORMAL)
def test_normal_layers_are_refused_where_their_precision_is_not_positive(
    model, getkey, x64
):
    """The energy is quadratic, so its second differences are the precision."""
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 0.4)
    v = jax.eval_shape(model.sample_start, params, getkey())
    h = jax.eval_shape(model.sample_hidden, params, v, getkey())
    zero, unravel = ravel_pytree(jax.tree.map(lambda x: np.zeros(x.shape), (v, h)))
    units = jax.tree.leaves(model.blocks(model.units))
    domains = [domain for unit in units for domain in unit.domain.leaves]
    arrays = zip(jax.tree.leaves((v, h)), domains, strict=True)
    real = [np.full(x.size, domain == Reals()) for x, domain in arrays]
    steps = np.eye(len(zero))[np.concatenate(real)]

    @jax.jit
    def energies(params, x):
        return jax.vmap(lambda x: model.energy(params, *unravel(x)))(x)

    refused = []
    for scale in (0.1, 0.4, 1.0, 4.0):
        scaled = scale_weights(params, scale)
        pairs = (steps[:, None] + steps[None]).reshape(-1, len(zero))
        both = np.asarray(energies(scaled, pairs)).reshape(len(steps), -1)
        one = np.asarray(energies(scaled, steps))
        none = np.asarray(energies(scaled, zero[None]))
        precision = both - one[:, None] - one[None] + none
        refused.append(is_refused(model, scaled))
        assert refused[-1] == (np.linalg.eigvalsh(precision)[0] <= 0)
    assert refused[0] is False
    assert refused[-1] is True


def scale_weights(params, scale):
    def of_leaf(path, x):
        return scale * x if "weights" in jax.tree_util.keystr(path) else x

    return jax.tree_util.tree_map_with_path(of_leaf, params)


def is_refused(model, params):
    try:
        model.check_normalizable(params)
    except ValueError as error:
        return "need less than 1 between them" in str(error)
    return False


@pytest.mark.parametrize("visible", [jboltz.ReLU(2), G(2)], ids=["ReLU", "Gaussian"])
def test_non_negative_layers_are_refused_where_a_direction_is_unbounded(
    visible, getkey
):
    """Against all pairs of directions of two by two units, by their angles."""
    model, rng = jboltz.RBM(visible, jboltz.ReLU(2)), rng_of(getkey())
    like = jax.eval_shape(model.init, getkey())
    quarter = np.linspace(0, np.pi / 2, 200)
    whole = quarter if isinstance(visible, jboltz.ReLU) else np.linspace(0, 7, 800)
    y, z = (np.stack([np.cos(t), np.sin(t)]) for t in (whole, quarter))
    seen = []
    for _ in range(15):
        params = draw_like(like, jax.random.key(rng.integers(2**31)), 1.0)
        scales = [
            np.asarray(unit.activity_scale(record))
            for unit, record in zip(model.units, model.parts(params)[0], strict=True)
        ]
        K = scales[0][:, None] * np.asarray(params.weights) * scales[1]
        largest = (y.T @ K @ z).max()
        if abs(largest - 1) > 0.01:
            seen.append(is_refused(model, params))
            assert seen[-1] == (largest > 1)
    assert {*seen} == {True, False}


def test_bounded_neighbours_keep_every_model_proper(getkey):
    for model in (jboltz.RBM(G(2), B(2)), jboltz.DBM((B(2), jboltz.ReLU(2), B(2)))):
        params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 50.0)
        assert not is_refused(model, params)


def test_only_the_top_of_a_dbn_needs_a_finite_z(getkey):
    model = jboltz.DBN.chain(G(2), G(2), B(2))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), 3.0)
    assert not is_refused(model, params)
    top = jboltz.DBN.chain(B(2), G(2), G(2))
    params = draw_like(jax.eval_shape(top.init, getkey()), getkey(), 3.0)
    assert is_refused(top, params)


def test_the_edge_is_at_one(x64):
    unit = G(1)
    check = partial(check_couplings, (unit, unit), (unit.init(),) * 2)
    check((jnp.full((1, 1), 1 - 1e-9),))
    with pytest.raises(ValueError, match="by up to 1 standard"):
        check((jnp.ones((1, 1)),))
