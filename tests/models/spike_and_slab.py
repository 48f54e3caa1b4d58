"""The oracle of the spike-and-slab RBM.

A table of exp(−E) over two spikes, two slabs and two pixels, on a grid of equal steps,
whose sums are integrals to 1e-10 for Gaussian mixtures of this width.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz import SpikeAndSlab
from jboltz.models.spike_and_slab import SpikeSlab
from jboltz.models.spike_penalty import GershgorinPenalty, NoPenalty, NormPenalty
from tests.helpers import binary_states, draw_like

CLOSED_FORM, AUTODIFF = 1e-9, 1e-7  # relative, in float64
PENALTIES = [GershgorinPenalty(), NormPenalty(), NoPenalty()]
MODELS = [
    SpikeAndSlab(2, 2, penalty=penalty, kappa=kappa)
    for penalty, kappa in zip(PENALTIES, (1.0, 0.5, 1.0), strict=True)
]


def name(spec):
    return type(getattr(spec, "penalty", spec)).__name__


each_model = pytest.mark.parametrize("model", MODELS, ids=name)
each_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=name)


def close(got, expected, atol=CLOSED_FORM):
    np.testing.assert_allclose(got, expected, rtol=CLOSED_FORM, atol=atol)


def all_close(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=AUTODIFF, atol=AUTODIFF), tree, other
    )


def draw_params(model, key):
    """Nothing at its initial value; standard deviations about ½, for the grid."""
    params = draw_like(jax.eval_shape(model.init, key), key, scale=0.2)
    return dataclasses.replace(
        params,
        weights=4 * params.weights,
        slab_mean=0.5 + params.slab_mean,
        spike_bias=1 + params.spike_bias,
        log_slab_precision=1.2 + params.log_slab_precision,
        log_visible_precision=1.2 + params.log_visible_precision,
    )


# The oracle.

STEP, REACH = 0.36, 4.68
AXIS = np.arange(-REACH, REACH + STEP / 2, STEP)
GRID = np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), axis=-1).reshape(-1, 2)
SPIKES = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
GIVEN = STEP * np.array([[1, -3], [2, 1], [0, 0]])  # points of the grid


def log_table(model, params, v):
    """log of exp(−E) ds (a slab's grid cell), of each v, spikes and slabs."""

    def of(v, spikes, slabs):
        return -model.energy(params, v, SpikeSlab(spikes=spikes, slabs=slabs))

    over = jax.vmap(jax.vmap(jax.vmap(of, (None, None, 0)), (None, 0, None)), (0,) * 3)
    count = len(v)
    spikes = jnp.broadcast_to(jnp.asarray(SPIKES), (count, *SPIKES.shape))
    slabs = jnp.broadcast_to(jnp.asarray(GRID), (count, *GRID.shape))
    return over(v, spikes, slabs) + 2 * np.log(STEP)


def batched(function, params):
    return jax.vmap(partial(function, params))


@partial(jax.jit, static_argnums=0)
def facts(model, params):
    """What the table says, and what the model says, in one program."""
    grid, spikes = jnp.asarray(GRID), jnp.asarray(SPIKES)
    rows = jnp.asarray([index_of(x) for x in GIVEN])
    log_cell = 2 * np.log(STEP)

    def by_table(params):
        table = log_table(model, params, grid)
        return jax.nn.logsumexp(table) + log_cell, table

    def by_visible(params):
        free_energy = batched(model.free_energy, params)(grid)
        return jax.nn.logsumexp(-free_energy) + log_cell, free_energy

    def by_hidden(params):
        free_energy = batched(model.hidden_free_energy, params)(spikes)
        return jax.nn.logsumexp(-free_energy), free_energy

    def data_by_table(params):
        table = log_table(model, params, grid[rows])
        return -jax.nn.logsumexp(table, axis=(1, 2)).sum()

    def data(params):
        return batched(model.free_energy, params)(grid[rows]).sum()

    log_z = [
        jax.value_and_grad(f, has_aux=True)(params)
        for f in (by_table, by_visible, by_hidden)
    ]
    (integrated, table), free_energy, hidden_free_energy = (x[0] for x in log_z)
    return {
        "log_z": [value for (value, _), _ in log_z],
        "log_z_gradient": [gradient for _, gradient in log_z],
        "data_gradient": (jax.grad(data_by_table)(params), jax.grad(data)(params)),
        "log_p": table + log_cell - integrated,
        "free_energy": free_energy[1],
        "hidden_free_energy": hidden_free_energy[1],
        "mean_hidden": batched(model.mean_hidden_state, params)(grid[rows]),
        "visible_given_spikes": batched(model.visible_given_spikes, params)(spikes),
        "mean_visible": batched(model.mean_visible_state, params)(
            SpikeSlab(spikes=spikes, slabs=grid[rows][jnp.asarray([0, 1, 0, 1])])
        ),
    }


def index_of(x):
    """Where x is on the grid."""
    distance = np.abs(GRID - x).sum(axis=1)
    assert distance.min() < 1e-9
    return distance.argmin()


def penalty_matrix(model, params):
    """Φ_i,jj as the papers have it, (num_visible, num_hidden)."""
    params = jax.device_get(params)
    W, alpha = params.weights, np.exp(params.log_slab_precision)
    if isinstance(model.penalty, NoPenalty):
        return np.zeros_like(W)
    extra = np.exp(params.log_penalty)
    if isinstance(model.penalty, NormPenalty):
        return np.ones_like(W) * (extra + (W**2).sum(0) / alpha)
    return extra + np.abs(W) * np.abs(W).sum(0) / alpha


def precision_given(model, params, h):
    """Λ + Σ h_i (Φ_i − w_i w_iᵀ/α_i), densely."""
    params, h = jax.device_get((params, h))
    W, alpha = params.weights, np.exp(params.log_slab_precision)
    diagonal = np.exp(params.log_visible_precision) + penalty_matrix(model, params) @ h
    return np.diag(diagonal) - (W * h / alpha) @ W.T


def smallest(model, params):
    """The smallest eigenvalue of the precision over all spikes."""
    states = np.asarray(binary_states(model.num_hidden))
    return min(np.linalg.eigvalsh(precision_given(model, params, h))[0] for h in states)
