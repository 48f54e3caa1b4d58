"""Every rung is the joint that it says: sums over all states of its energy alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.base import FreeEnergyModel
from jboltz.models.annealed import Annealed
from jboltz.models.swapped import Swapped
from tests.helpers import (
    draw_like,
    states_of,
)
from tests.units.cases import EXACT_UNITS, is_enumerable, unit_name

BETAS = (0.0, 0.3, 1.0)

RBMS = [
    jboltz.RBM(unit, jboltz.Bernoulli(2) if unit != EXACT_UNITS[0] else unit)
    for unit in EXACT_UNITS
] + [
    jboltz.RBM(jboltz.Bernoulli(2), unit)
    for unit in EXACT_UNITS
    if not is_enumerable(unit)
]
DBMS = [
    jboltz.DBM((jboltz.Bernoulli(3), jboltz.Bernoulli(2), jboltz.Softmax(1, 3))),
    jboltz.DBM(tuple(jboltz.Bernoulli(n) for n in (3, 2, 2, 2))),
]
MODELS = [*RBMS, *DBMS, *map(Swapped, DBMS)]


def name(model):
    if isinstance(model, Swapped):
        return "swapped " + name(model.model)
    return "-".join(map(unit_name, model.units))


each_model = pytest.mark.parametrize("model", MODELS, ids=name)


def states_of_block(units):
    """All states of a unit or of a tuple of units, with their log-weights."""
    if not isinstance(units, tuple):
        return states_of(units)
    parts = [states_of(unit) for unit in units]
    index = np.indices([len(log_weights) for _, log_weights in parts])
    index = index.reshape(len(parts), -1)
    states = tuple(x[i] for (x, _), i in zip(parts, index, strict=True))
    return states, sum(w[i] for (_, w), i in zip(parts, index, strict=True))


def draw_case(model, getkey, scale=0.3):
    """An annealed model and its record, without β; nothing at its initial value."""
    annealed = Annealed(model)
    return annealed, draw_like(jax.eval_shape(annealed.init, getkey()), getkey(), scale)


@partial(jax.jit, static_argnums=0)
def facts(annealed, params, betas, v, log_v, h, log_h):
    """What each rung says, and what its energy and those of both ends say."""

    def of_one(beta):
        rung = params.replace(beta=beta)
        energy = jax.vmap(partial(annealed.energy, rung), in_axes=(None, 0))
        energies = jax.vmap(energy, in_axes=(0, None))(v, h)
        return {
            "energies": energies,
            "free_energy": jax.vmap(partial(annealed.free_energy, rung))(v),
            "minus_log_sum": -jax.nn.logsumexp(log_h[None] - energies, axis=1),
            "log_z": jax.nn.logsumexp(log_v[:, None] + log_h[None] - energies),
        }

    own = jax.vmap(partial(annealed.model.energy, params.params), in_axes=(None, 0))
    out = jax.lax.map(of_one, betas)
    return {
        **out,
        "own": jax.vmap(own, in_axes=(0, None))(v, h),
        "base_log_partition": annealed.base_log_partition(params),
    }


@each_model
def test_a_rung_is_between_the_base_and_the_model(model, getkey, x64):
    annealed, params = draw_case(model, getkey)
    assert isinstance(annealed, FreeEnergyModel)
    visible, hidden = model.blocks(model.units)
    v, h = states_of_block(visible), states_of_block(hidden)
    out = facts(annealed, params, jnp.asarray(BETAS), *v, *h)
    close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9)
    close(out["free_energy"], out["minus_log_sum"])
    base, rung, own = out["energies"]
    close(own, out["own"])
    close(rung, 0.7 * base + 0.3 * own)
    close(out["log_z"][0], out["base_log_partition"])

    # The layers of the base are independent: each with its own record alone.
    def energy_of(units, records, x):
        if not isinstance(units, tuple):
            return jax.vmap(partial(units.energy, records))(x)
        terms = zip(units, records, x, strict=True)
        return sum(jax.vmap(partial(u.energy, p))(y) for u, p, y in terms)

    records = model.blocks(params.base)
    own_energies = map(energy_of, (visible, hidden), records, (v[0], h[0]))
    close(base, np.add.outer(*map(np.asarray, own_energies)))
