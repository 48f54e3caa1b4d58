"""Free energies of complex parameters, −log Σ_h exp(−E), against sums in NumPy.

A logarithm is known up to 2πi, so exp(−F) is compared; slopes by central differences.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import jboltz
from jboltz.models.spike_penalty import NormPenalty
from tests.helpers import draw_like, errors_without_hook, rng_of, states_of

BINARY, SPIN, ONE_HOT = jboltz.Bernoulli(2), jboltz.Spin(2), jboltz.Softmax(1, 3)
SSRBM = jboltz.SpikeAndSlab(2, 2, penalty=NormPenalty())


def draw_complex(model, getkey):
    shapes = jax.eval_shape(model.init, getkey())
    real, imaginary = (draw_like(shapes, getkey()) for _ in range(2))
    return jax.tree.map(lambda x, y: x + 0.7j * y, real, imaginary)


def assert_analytic(free_energy, total, params):
    """exp(−F) is `total`, and ∂F its logarithmic slope along any direction."""
    flat, unravel = ravel_pytree(params)
    value, slope = jax.jit(jax.value_and_grad(free_energy, holomorphic=True))(params)
    z, slope = total(params), np.asarray(ravel_pytree(slope)[0])
    np.testing.assert_allclose(np.exp(-value), z, rtol=1e-9)
    for index, step in enumerate(1e-6 * np.exp(1j * np.arange(len(slope)))):
        there, back = (total(unravel(flat.at[index].add(s * step))) for s in (1, -1))
        got = -(there - back) / (2 * step * z)
        np.testing.assert_allclose(got, slope[index], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "pair", [(BINARY, BINARY), (SPIN, BINARY), (ONE_HOT, SPIN)], ids=str
)
def test_of_an_rbm(pair, getkey, x64):
    """E(v, h) = −b·v − c·h − vᵀWh, both layers with states of their own."""
    model = jboltz.RBM(*pair)
    params = draw_complex(model, getkey)
    (v, *_), h = (np.asarray(states_of(unit)[0])[::-1] for unit in pair)
    state, v, h = v, v.ravel(), h.reshape(len(h), -1)

    def total(params):
        b, c = np.ravel(params.visible.bias), np.ravel(params.hidden.bias)
        return np.sum(np.exp(v @ b + h @ c + v @ np.asarray(params.weights) @ h.T))

    def free_energy(params):
        return model.free_energy(params, jnp.asarray(state))

    assert_analytic(free_energy, total, params)


def test_of_a_dbm(getkey, x64):
    model = jboltz.DBM((BINARY, SPIN, BINARY))
    params = draw_complex(model, getkey)
    bottom, top = np.array([1.0, 0.0]), np.array([1.0, 1.0])
    h = np.asarray(states_of(SPIN)[0])

    def total(params):
        b, c, d = (np.asarray(unit.bias) for unit in params.units)
        W, U = map(np.asarray, params.weights)
        rest = bottom @ b + top @ d
        return np.sum(np.exp(rest + h @ (c + bottom @ W + U @ top)))

    def free_energy(params):
        return model.free_energy(params, (jnp.asarray(bottom), jnp.asarray(top)))

    assert_analytic(free_energy, total, params)


def test_of_a_spike_and_slab_rbm(getkey, x64):
    """Its energy as in the docstring, the slabs integrated by trapezoids."""
    params = draw_complex(SSRBM, getkey)
    x = rng_of(getkey()).normal(size=2)
    s = np.linspace(-16, 16, 2001)

    def total(params):
        p = jax.tree.map(np.asarray, params)
        alpha, visible = np.exp(p.log_slab_precision), np.exp(p.log_visible_precision)
        phi = np.exp(p.log_penalty) + np.sum(p.weights**2, axis=0) / alpha
        total = 0
        for h in itertools.product((0, 1), repeat=2):
            exponent = -0.5 * np.sum(visible * x**2) + p.visible_bias @ x
            factor = np.exp(exponent)
            for i, on in enumerate(h):
                a, mu = alpha[i], p.slab_mean[i]
                e = 0.5 * a * s**2 - (x @ p.weights[:, i] + a * mu) * s * on
                e = e + on * (a * mu**2 - p.spike_bias[i] + 0.5 * phi[i] * x @ x)
                factor = factor * np.sum(np.exp(-e)) * (s[1] - s[0])
            total = total + factor
        return total

    def free_energy(params):
        return SSRBM.free_energy(params, jnp.asarray(x))

    assert_analytic(free_energy, total, params)


def test_what_is_not_analytic_and_what_draws_is_refused():
    setup = (
        "import jax, jax.numpy as jnp, jboltz\n"
        "key, v, h = jax.random.key(0), jnp.ones(2), jnp.ones(2)\n"
        "def cast(model):\n"
        "    return jax.tree.map(lambda x: x + 0j, model.init(key))\n"
        "rbm = jboltz.RBM(jboltz.Bernoulli(2), jboltz.Bernoulli(2))\n"
        "relu = jboltz.RBM(jboltz.Bernoulli(2), jboltz.ReLU(2))\n"
        "grbm = jboltz.RBM(jboltz.Gaussian(2), jboltz.Bernoulli(2))\n"
        "from jboltz.models.spike_penalty import NormPenalty\n"
        "norm = jboltz.SpikeAndSlab(2, 2, penalty=NormPenalty())\n"
        "gershgorin = jboltz.SpikeAndSlab(2, 2)\n"
        "slab = jboltz.models.spike_and_slab.SpikeSlab(spikes=h, slabs=h)\n"
    )
    calls = [
        "rbm.sample_hidden(cast(rbm), v, key)",
        "rbm.sample_start(cast(rbm), key)",
        "grbm.sample_visible(cast(grbm), h, key)",
        "norm.sample_hidden(cast(norm), v, key)",
        "norm.sample_visible(cast(norm), slab, key)",
        "relu.free_energy(cast(relu), v)",
        "gershgorin.free_energy(cast(gershgorin), v)",
        "norm.hidden_free_energy(cast(norm), h)",
    ]
    for call, error in errors_without_hook(setup, calls).items():
        assert error.startswith("InvalidType: `params"), (call, error)
        assert "complex64" in error, (call, error)
