"""What tests of several folders share."""

import dataclasses
import importlib
import inspect
import itertools
import multiprocessing
import os
import pathlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.errors import MissingPackage


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


def assert_no_drift(kernel, states, log_p, key, *, num_chains=20_000, steps=(1, 4, 16)):
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


def states_of(unit):
    """All states of a small unit, or quadrature nodes: (states, log weights).

    Of a unit whose state is a tuple, a tuple of arrays, every part with every other.

    Σ exp(log_weights + log_f(states)) is Σ_x f(x), or ∫ dx f(x) by Gauss–Legendre
    nodes over ±24 (from 0 for a non-negative unit): exact to 1e-12 for densities whose
    standard deviation is between 0.5 and 2.5 and whose mean is within ±6.
    """
    states, log_weights = _states(unit.shape, unit.domain)
    return jax.tree.map(jnp.asarray, states), jnp.asarray(log_weights)


def _states(shape, domain):
    if domain.parts:
        pairs = zip(shape, domain.parts, strict=True)
        parts = [_states(*pair) for pair in pairs]
        index = np.indices([len(log_weights) for _, log_weights in parts])
        index = index.reshape(len(parts), -1)
        states = (
            jax.tree.map(lambda x, i=i: x[i], part)
            for (part, _), i in zip(parts, index, strict=True)
        )
        weights = (w[i] for (_, w), i in zip(parts, index, strict=True))
        return tuple(states), sum(weights)
    components = int(np.prod(domain.site_shape(shape)))
    if domain.num_states < np.inf:
        axis = domain.values(np.arange(domain.num_states)).astype(float)
        log_weights = np.zeros(len(axis))
    else:
        nodes, weights = np.polynomial.legendre.leggauss(256)
        low, high = np.clip(domain.bounds, -24, 24)
        axis = low + (high - low) * (nodes + 1) / 2
        log_weights = np.log(weights * (high - low) / 2)
    assert len(axis) ** components < 1e5, f"{shape} is too large to enumerate"
    grid = np.array(list(itertools.product(axis, repeat=components)))
    total = np.array(list(itertools.product(log_weights, repeat=components))).sum(1)
    return grid.reshape(-1, *shape), total


def zeros_of(shape):
    """A state of zeros, of a unit's `shape`."""
    if any(isinstance(part, tuple) for part in shape):
        return tuple(map(zeros_of, shape))
    return jnp.zeros(shape)


def rows_of(states):
    """The states, whatever their shape, as rows of numbers."""
    leaves = jax.tree.leaves(states)
    return jnp.concatenate([x.reshape(len(x), -1) for x in leaves], axis=1)


# Processes that come from one which has imported jboltz, and not the suite's hook.
_BARE = multiprocessing.get_context("forkserver")
_BARE.set_forkserver_preload(["jboltz", __name__])


def errors_without_hook(setup, calls):
    """What each call raises where signatures are not checked, as "Type: message".

    The suite's import hook would answer before jboltz does, so the calls run in a
    process of their own, with the names of all rooms: `setup` once, then each
    expression of `calls`.
    """
    with _BARE.Pool(1) as pool:
        return pool.apply(_errors, (setup, list(calls)))


def classes_with(method):
    """Every dataclass of the library that has this method, programs excepted."""
    found = set()
    for info in pkgutil.walk_packages(jboltz.__path__, "jboltz."):
        if not info.name.startswith("jboltz.experiments"):
            try:
                module = importlib.import_module(info.name)
            except MissingPackage:  # of an extra that is not installed
                continue
            found |= {
                cls
                for _, cls in inspect.getmembers(module, dataclasses.is_dataclass)
                if cls.__module__ == info.name and hasattr(cls, method)
            }
    return found


def _names_of_rooms():
    """The public names of the rooms, which the front page need not have."""
    names = {}
    for room in ("units", "models", "samplers", "learning", "nets", "evaluation"):
        package = importlib.import_module(f"jboltz.{room}")
        for info in pkgutil.iter_modules(package.__path__, f"jboltz.{room}."):
            module = vars(importlib.import_module(info.name))
            names |= {k: x for k, x in module.items() if not k.startswith("_")}
    return names


def _errors(setup, calls):
    names, errors = _names_of_rooms(), dict.fromkeys(calls, "nothing raised")
    exec(setup, names)
    for expression in calls:
        try:
            eval(expression, names)
        except Exception as error:
            errors[expression] = f"{type(error).__name__}: {error}"
    return errors


def rng_of(key):
    """A NumPy generator seeded by a key: no threefry to compile for every shape."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def draw_like(tree, key, scale=0.5):
    """`random_params` by NumPy; `tree` may be shapes, as of `jax.eval_shape`."""
    rng = rng_of(key)
    return jax.tree.map(
        lambda x: jnp.asarray(scale * rng.normal(size=x.shape), x.dtype), tree
    )
