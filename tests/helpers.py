"""What tests of several folders share."""

import itertools
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def enable_x64():
    """A context in which jax computes in float64; it moved between jax versions."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64 as enable

    return enable()


def random_params(tree, key, scale=0.5):
    """A tree of normal draws in the shapes (and dtypes) of `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure,
        [
            scale * jax.random.normal(k, x.shape, x.dtype)
            for k, x in zip(keys, leaves, strict=True)
        ],
    )


def binary_states(num_units):
    """All 2ⁿ states of n binary units, (2ⁿ, n)."""
    states = list(itertools.product((0.0, 1.0), repeat=num_units))
    return jnp.asarray(states).reshape(-1, num_units)


def standard_errors(draws, expected):
    """Distance of the mean of `draws` (axis 0) from `expected`, in standard errors."""
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    return np.abs(np.mean(draws, axis=0) - expected) / error


def assert_no_drift(
    kernel, states, log_p, key, *, num_chains=20_000, steps=(1, 4, 16)
):
    """The kernel leaves p invariant: chains drawn exactly from p stay at p.

    Immune to mixing time. Each state's count is binomial, so |z| < 5 for every state
    and every length fails by chance with probability < 1e-6 a comparison (n·p ≥ 500).
    """
    p = jax.nn.softmax(log_p)
    assert float(num_chains * p.min()) >= 500, "too few chains for the normal band"
    key, key_draw = jax.random.split(key)
    x = states[jax.random.choice(key_draw, len(states), (num_chains,), p=p)]
    sd = jnp.sqrt(num_chains * p * (1 - p))
    for num_steps in steps:
        key, key_run = jax.random.split(key)
        x = kernel(x, key_run, num_steps)
        counts = jnp.sum(jnp.all(x[:, None] == states[None], axis=-1), axis=0)
        worst = float(jnp.max(jnp.abs(counts - num_chains * p) / sd))
        assert worst < 5, f"drift after {num_steps} steps: max |z| = {worst:.1f}"


def mnist_dir():
    """The folder with the four MNIST files, or a skip that says how to name one."""
    default = pathlib.Path(__file__).parents[2] / "shared" / "data" / "mnist"
    folder = pathlib.Path(os.environ.get("JBOLTZ_MNIST_DIR", default))
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        pytest.skip("needs the MNIST files: set JBOLTZ_MNIST_DIR to their folder")
    return folder
