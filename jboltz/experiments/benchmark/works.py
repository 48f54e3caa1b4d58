"""What a contestant is given and returns, and what several of them do alike."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np
from flax import struct
from jaxtyping import Array, Key

from jboltz.experiments.benchmark.sizes import Sizes

Arrays: TypeAlias = tuple[Any, Any, Any]
"""Weights (visible, hidden), visible biases and hidden biases, as arrays of JAX, NumPy
or PyTorch."""

Outcome: TypeAlias = tuple[Any, ...]
"""Arrays of jboltz, NumPy or PyTorch."""

Work: TypeAlias = Callable[[], Outcome]
"""All of the work that a contestant is timed for. It has finished when it returns, and
it returns what it computed, so that the work can be checked."""


@struct.dataclass
class Job:
    """What every contestant of a task is given."""

    arrays: tuple[Arrays, ...]  # to start from, RBM by RBM; empty for deep networks
    rows: np.ndarray  # (images, pixels), stored as uint8 or as float in [0, 1]
    sizes: Sizes = struct.field(pytree_node=False)
    seed: int = struct.field(pytree_node=False)


def key(job: Job, impl: Any = None) -> Key[Array, ""]:
    """The key of jboltz's draws, made where it is used: keys cannot be pickled."""
    return jax.random.key(job.seed, impl=impl)


def num_updates(sizes: Sizes) -> int:
    """The updates of an epoch; the last one may have fewer images."""
    return -(-sizes.num_examples // sizes.batch_size)


def gray(rows: np.ndarray) -> np.ndarray:
    """Stored images as float32 in [0, 1]."""
    return rows.astype(np.float32) / 255 if rows.dtype == np.uint8 else rows


def first_rows(rows: np.ndarray, number: int) -> np.ndarray:
    """The first `number` images; they are repeated where there are fewer."""
    return rows[np.arange(number) % len(rows)]


def binary_images(job: Job, number: int) -> np.ndarray:
    """The first `number` images; a pixel is 1 with the probability of its gray."""
    images = gray(first_rows(job.rows, number))
    uniforms = np.random.default_rng(job.seed).random(images.shape, np.float32)
    return (uniforms < images).astype(np.float32)
