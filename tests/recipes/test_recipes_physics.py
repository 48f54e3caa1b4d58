"""Recipes: models of physics that are Boltzmann machines, each with an exact check."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

import jboltz
from jboltz.weights import params_from

Spin = jboltz.Spin


def all_spins(size):
    return np.array(list(itertools.product((-1.0, 1.0), repeat=size)))


def test_the_square_of_a_real_neural_quantum_state(getkey, x64):
    """ψ(s) = exp(a·s) Π_j 2cosh(b_j + (sᵀW)_j); two tied hidden layers make |ψ|²."""
    n, m = 4, 3
    rng = np.random.default_rng(0)
    a, b, W = rng.normal(size=n), rng.normal(size=m), rng.normal(size=(n, m))

    # The recipe.
    squared = jboltz.RBM(Spin(n), jboltz.Copies(Spin(m), 2))
    params = params_from(squared, W, 2 * a, b)

    s = all_spins(n)
    log_psi = s @ a + np.log(2 * np.cosh(b + s @ W)).sum(1)
    log_p = -jax.vmap(squared.free_energy, (None, 0))(params, jnp.asarray(s))
    np.testing.assert_allclose(log_p, 2 * log_psi, rtol=1e-12)
    # And so its Gibbs chains sample |ψ|², and log Z is log ⟨ψ|ψ⟩.
    log_z = jboltz.model_log_partition(squared, params)
    np.testing.assert_allclose(log_z, np.logaddexp.reduce(2 * log_psi), rtol=1e-12)


def test_an_ising_model_on_a_checkerboard(x64):
    """p(s) ∝ exp(K Σ s s′ + B Σ s) on a torus: white sites see black sites alone."""
    length, K, field = 4, 0.4, 0.1

    # The recipe.
    white, black = (
        [site for site in np.ndindex(length, length) if sum(site) % 2 == colour]
        for colour in (0, 1)
    )
    W = np.zeros((len(white), len(black)))
    for i, (x, y) in enumerate(white):
        for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            other = ((x + step[0]) % length, (y + step[1]) % length)
            W[i, black.index(other)] += K
    ising = jboltz.RBM(Spin(len(white)), Spin(len(black)))
    biases = np.full(len(white), field)
    params = params_from(ising, W, biases, biases)

    s = all_spins(length**2).reshape(-1, length, length)
    bonds = (s * np.roll(s, 1, 1) + s * np.roll(s, 1, 2)).sum((1, 2))
    log_p = K * bonds + field * s.sum((1, 2))
    log_z = jboltz.model_log_partition(ising, params)
    np.testing.assert_allclose(log_z, np.logaddexp.reduce(log_p), rtol=1e-12)
    # The energy of one state: a Gibbs step updates all sites of a colour at once.
    rng = np.random.default_rng(1)
    one = rng.choice([-1.0, 1.0], (length, length))
    v, h = (jnp.asarray([one[site] for site in sites]) for sites in (white, black))
    bonds = (one * np.roll(one, 1, 0) + one * np.roll(one, 1, 1)).sum()
    energy = -K * bonds - field * one.sum()
    np.testing.assert_allclose(ising.energy(params, v, h), energy, rtol=1e-12)


def test_sherrington_kirkpatrick_by_gaussian_hidden_units(x64):
    """p(s) ∝ exp(β Σ_{i<j} J_ij s_i s_j): integrating h out leaves ½|Lᵀs|²."""
    n, beta = 8, 0.7
    rng = np.random.default_rng(2)
    J = np.triu(rng.normal(size=(n, n)) / np.sqrt(n), 1)
    J = J + J.T

    # The recipe: a diagonal makes βJ positive definite, and adds a constant to log p.
    shift = 1e-6 - np.linalg.eigvalsh(beta * J)[0]
    L = np.linalg.cholesky(beta * J + shift * np.eye(n))
    glass = jboltz.RBM(Spin(n), jboltz.Gaussian(n))
    params = params_from(glass, L, np.zeros(n), np.zeros(n))
    constant = n * (shift + np.log(2 * np.pi)) / 2

    s = all_spins(n)
    log_p = beta * np.einsum("ki,ij,kj->k", s, J, s) / 2
    found = -jax.vmap(glass.free_energy, (None, 0))(params, jnp.asarray(s))
    np.testing.assert_allclose(found - constant, log_p, atol=1e-10)
    log_z = jboltz.model_log_partition(glass, params) - constant
    np.testing.assert_allclose(log_z, np.logaddexp.reduce(log_p), rtol=1e-10)
