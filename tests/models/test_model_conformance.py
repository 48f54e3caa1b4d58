"""Every model keeps the contract: its draws are those of its energy, and F sums it.

The identities hold for any energy, so nothing here knows what a model is made of.
"""

import copy
import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.base import EnergyModel, FreeEnergyModel
from tests.helpers import classes_with, rows_of, standard_errors
from tests.models.cases import MODELS, draw_params

NUM_DRAWS = 20_000
each_model = pytest.mark.parametrize("name", MODELS)


def test_every_model_is_in_the_cases():
    types = {cls for cls in classes_with("sample_hidden") if hasattr(cls, "energy")}
    assert types == {type(model) for model in MODELS.values()}


@each_model
def test_it_is_a_spec_with_two_conditionals(name):
    model = MODELS[name]
    assert isinstance(model, EnergyModel)
    again = copy.deepcopy(model)
    assert again == model
    assert hash(again) == hash(model)


@partial(jax.jit, static_argnums=(0, 1))
def draw(model, side, params, key):
    """One state of a layer, and draws of the other given it; their energies, and the
    derivatives of those in the parameters and, where they are real, in the draws."""
    key_v, key_h, key = jax.random.split(key, 3)
    v = model.sample_start(params, key_v)
    h = model.sample_hidden(params, v, key_h)
    sample = model.sample_hidden if side == "hidden" else model.sample_visible
    given = v if side == "hidden" else h

    def energy(params, x):
        pair = (v, x) if side == "hidden" else (x, h)
        return model.energy(params, *pair)

    draws = jax.vmap(sample, in_axes=(None, None, 0))(
        params, given, jax.random.split(key, NUM_DRAWS)
    )
    of_each = partial(jax.vmap, in_axes=(None, 0))
    found = of_each(jax.value_and_grad(energy, argnums=(0, 1)))(params, draws)
    return given, draws, *found


@each_model
def test_the_slope_of_a_free_energy_is_the_mean_of_the_energys(name, getkey):
    """∂F(v)/∂θ = E[∂E(v, h)/∂θ | v], by draws of `sample_hidden`."""
    model = MODELS[name]
    if not isinstance(model, FreeEnergyModel):
        return
    params = draw_params(model, getkey)
    v, _, _, (slopes, _) = draw(model, "hidden", params, getkey())
    expected = jax.jit(jax.grad(model.free_energy))(params, v)
    for slope, exact in zip(
        jax.tree.leaves(slopes), jax.tree.leaves(expected), strict=True
    ):
        slope = np.asarray(slope, np.float64)
        # Where the slope does not depend on h there is no spread, but its rounding.
        spread = slope.std(axis=0) / np.sqrt(NUM_DRAWS) + 1e-6
        assert np.max(np.abs(slope.mean(axis=0) - exact) / spread, initial=0) < 5


@each_model
@pytest.mark.parametrize("side", ["visible", "hidden"])
def test_draws_of_a_layer_are_as_frequent_as_its_energy_says(name, side, getkey):
    """Of states, exp(−E) to one another; of numbers, by parts E[∂E/∂x] = 0 and
    E[x ∂E/∂x] = 1."""
    model = MODELS[name]
    params = draw_params(model, getkey)
    _, draws, energies, (_, slopes) = draw(model, side, params, getkey())
    x, energies = np.asarray(rows_of(draws)), np.asarray(energies, np.float64)
    is_whole = (x == np.round(x)).all(axis=0)
    if is_whole.all():
        _, first, counts = np.unique(x, axis=0, return_index=True, return_counts=True)
        p = np.exp(energies[first].min() - energies[first])
        p /= p.sum()
        z = (counts - NUM_DRAWS * p) / np.sqrt(NUM_DRAWS * p * (1 - p))
        assert len(p) > 1
        assert np.abs(z[NUM_DRAWS * p > 25]).max() < 5
    real = ~is_whole
    slopes = np.asarray(rows_of(slopes))[:, real]
    if real.any():
        assert standard_errors(slopes, 0.0).max() < 5
        assert standard_errors(x[:, real] * slopes, 1.0).max() < 5


@dataclasses.dataclass(frozen=True)
class ForgetsTheBias(jboltz.RBM):
    def sample_hidden(self, params, v, key):
        hidden = jax.tree.map(jnp.zeros_like, params.hidden)
        return super().sample_hidden(params.replace(hidden=hidden), v, key)


def test_a_wrong_conditional_is_found(getkey, monkeypatch):
    rbm = MODELS["rbm"]
    monkeypatch.setitem(MODELS, "wrong", ForgetsTheBias(rbm.visible, rbm.hidden))
    with pytest.raises(AssertionError):
        test_the_slope_of_a_free_energy_is_the_mean_of_the_energys("wrong", getkey)
    with pytest.raises(AssertionError):
        test_draws_of_a_layer_are_as_frequent_as_its_energy_says(
            "wrong", "hidden", getkey
        )
