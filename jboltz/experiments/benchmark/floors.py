"""The floors: the matrix products that a task cannot do without, and nothing else.

A floor is a step, written with `@` and `.T`, so that XLA, NumPy and PyTorch take the
same one. What a step computes is carried on: no compiler can hoist, merge or drop it.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from jboltz.experiments.benchmark.works import Work

Step: TypeAlias = Callable[[Sequence[Any], Any, Any], tuple[Any, Any]]
"""Weights of all layers, state, batch → the next state, and other products."""


@dataclass(frozen=True)
class Floor:
    """Some number of steps of products."""

    step: Step
    """Pickled: a function of a module."""
    layers: tuple[int, ...]
    num_rows: int
    num_steps: int
    state: tuple[int, ...] = (0,)
    """The layers of which the state has `num_rows` rows each. Without a state, every
    step has `num_rows` rows of the first layer of its own."""

    def arrays(self) -> tuple[Any, Any, Any]:
        """Weights, state and batches, as arrays of NumPy."""
        rng = np.random.default_rng(0)
        rows = partial(rng.standard_normal, dtype=np.float32)
        # Orthonormal: v W Wᵀ neither grows nor vanishes, however often it is taken.
        shapes = itertools.pairwise(self.layers)
        weights = tuple(scipy.linalg.polar(rows(shape))[0] for shape in shapes)
        state = tuple(rows((self.num_rows, self.layers[i])) for i in self.state)
        if self.state:
            return weights, state, None
        return weights, (), rows((self.num_steps, self.num_rows, self.layers[0]))


def by_xla(floors: Sequence[Floor]) -> Work:
    # A program a floor: in one program, two could run at the same time.
    programs = []
    for floor in floors:
        arrays = jax.tree.map(jnp.asarray, floor.arrays())
        programs.append((jax.jit(partial(steps, floor)), arrays))

    def work():
        outcomes = [jax.block_until_ready(run(*arrays)) for run, arrays in programs]
        return tuple(jax.tree.leaves(outcomes))

    return work


def steps(floor: Floor, weights: Any, state: Any, batches: Any) -> Any:
    """All steps of a floor in one loop of XLA: the last state and products."""

    def body(carry, x):
        return floor.step(weights, carry[0], x), None

    first = None if batches is None else batches[0]
    shapes = jax.eval_shape(floor.step, weights, state, first)[1]
    zeros = jax.tree.map(jnp.zeros_like, shapes)
    return jax.lax.scan(body, (state, zeros), batches, length=floor.num_steps)[0]


def in_python(
    floors: Sequence[Floor], convert: Callable[[np.ndarray], Any] = np.asarray
) -> Work:
    """The steps in a loop of Python, by the BLAS of NumPy or of another library."""
    starts = [jax.tree.map(convert, floor.arrays()) for floor in floors]

    def work():
        outcome = []
        for floor, (weights, state, batches) in zip(floors, starts, strict=True):
            products = ()
            for i in range(floor.num_steps):
                x = None if batches is None else batches[i]
                state, products = floor.step(weights, state, x)
            outcome += [*state, *products]
        return tuple(outcome)

    return work


def cd(weights: Any, state: Any, x: Any) -> tuple[Any, Any]:
    """The five products of a CD-1 update."""
    del x
    (W,), (v,) = weights, state
    h = v @ W
    v_k = h @ W.T
    h_k = v_k @ W
    return (v_k,), (v.T @ h, v_k.T @ h_k)


def sweep(weights: Any, state: Any, x: Any) -> tuple[Any, Any]:
    """The two products of a Gibbs sweep."""
    del x
    (W,), (v,) = weights, state
    h = v @ W
    return (h @ W.T,), (h,)


def pretraining(layer: int, weights: Any, state: Any, x: Any) -> tuple[Any, Any]:
    """The products that send a batch up to a layer, and the five of CD-1."""
    for W in weights[:layer]:
        x = x @ W
    v_k, products = cd(weights[layer : layer + 1], (x,), None)
    return state, v_k + products


def mean_field(num_sweeps: int, weights: Any, state: Any, x: Any) -> tuple[Any, Any]:
    """Up from the data once, then up and down between the hidden layers a sweep."""
    del x
    (W0, W1), (v,) = weights, state
    h, top = v @ W0, None
    for _ in range(num_sweeps):
        top = h @ W1
        h = top @ W1.T
    return (v,), (h, top)


def dbm(
    num_sweeps: int, num_gibbs: int, weights: Any, state: Any, x: Any
) -> tuple[Any, Any]:
    """The products of a joint update: mean field, Gibbs steps, and statistics.

    A Gibbs step takes both layers down and up. Statistics are an outer product a layer
    and phase.
    """
    (W0, W1), (v, h) = weights, state
    _, (m, _) = mean_field(num_sweeps, weights, (v,), x)
    top, y, z = m @ W1, v, h
    y_top = top
    for _ in range(num_gibbs):
        y, y_top = z @ W0.T, z @ W1
        z = 0.5 * (y @ W0 + y_top @ W1.T)
    return (y, z), (v.T @ m, m.T @ top, y.T @ z, z.T @ y_top)


def net(weights: Any, state: Any, x: Any) -> tuple[Any, Any]:
    """The products of an update of a network: of each layer one up, one for its
    gradient, and, but for the first, one down."""
    states = [x]
    for W in weights:
        states.append(states[-1] @ W)
    down, gradients = states.pop(), []
    for W in weights[:0:-1]:
        gradients.append(states.pop().T @ down)
        down = down @ W.T
    gradients.append(states.pop().T @ down)
    return state, tuple(reversed(gradients))
