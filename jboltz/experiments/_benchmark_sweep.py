"""The sweep of `benchmark`: training and sampling of many sizes, beside their products.

At each size a call takes as many updates, or sweeps, as its products are expected to
fill `seconds` with.
"""

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz.base import Estimator
from jboltz.experiments import _benchmark_cd as cd
from jboltz.experiments import _benchmark_common as common
from jboltz.experiments import _benchmark_gibbs as gibbs
from jboltz.experiments import _benchmark_timing as timing
from jboltz.experiments._benchmark_timing import Work
from jboltz.learning.contrastive import (
    ContrastiveDivergence,
    PersistentContrastiveDivergence,
)
from jboltz.models.rbm import RBM
from jboltz.runs import progress as _run
from jboltz.samplers.gibbs import Gibbs
from jboltz.units.bernoulli import Bernoulli

MOST_PARTS = 1000
"""Updates or sweeps a call; where few rows meet many weights the products take longer
than at the rate of large ones, and still no longer than a second or so."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The sizes of the task `sweep`."""

    num_hidden: tuple[int, ...] = (200, 500, 1024, 4096)
    """Hidden units."""
    batch_sizes: tuple[int, ...] = (64, 256, 1024, 4096)
    """Examples an update, of CD-1 and PCD-1, at each number of hidden units."""
    num_chains: tuple[int, ...] = (1, 16, 128, 1024, 16384)
    """Chains, of Gibbs sampling, at each number of hidden units."""
    seconds: float = 0.25
    """What the products of a call are to take, about, by as many updates or sweeps as
    that needs."""
    budget: float = 2.5
    """Seconds: a size of which the products of a single update or sweep are expected to
    take longer is left out, and named in the results."""


def check(sweep: Sweep) -> None:
    """Refuses sizes and times that make no sense.

    Raises:
      ValueError: a size below 1, or no time at all.
    """
    for name in ("num_hidden", "batch_sizes", "num_chains"):
        values = getattr(sweep, name)
        if min(values, default=1) < 1:
            raise ValueError(
                f"`sweep.{name}` is {values} but sizes need to be at least 1."
            )
    for name in ("seconds", "budget"):
        value = getattr(sweep, name)
        if not 0 < value < float("inf"):
            raise ValueError(
                f"`sweep.{name}` is {value} but needs to be a finite time above 0."
            )


@dataclasses.dataclass(frozen=True)
class _Task:
    """What is measured at a size."""

    build: Callable[..., Work]  # (model, rows, key, num_rows, num_parts)
    floor: Callable[..., Work]  # (model, num_rows, num_parts)
    num_products: int  # a part, each of all rows with all weights
    part: str
    amounts: Callable[[int, int], dict[str, int]]  # visible, hidden: of a row and part


def measure(
    sweep: Sweep, rows: np.ndarray, key: Key[Array, ""], *, rounds: int, seed: int
) -> dict[str, Any]:
    """The records of all sizes, task by task, and what was left out."""
    rate, left_out = product_rate(rows.shape[1]), []
    _run.say(f"sweep: large products run at {rate / 1e9:.0f} Gflop/s")
    records: dict[str, Any] = {name: [] for name in TASKS}
    sizes = {"CD-1": sweep.batch_sizes, "PCD-1": sweep.batch_sizes}
    sizes |= {"Gibbs": sweep.num_chains}
    for index, (name, task) in enumerate(TASKS.items()):
        key_task = jax.random.fold_in(key, index)
        for num_hidden, num_rows in itertools.product(sweep.num_hidden, sizes[name]):
            model = RBM(Bernoulli(rows.shape[1]), Bernoulli(num_hidden))
            flops = 2 * task.num_products * num_rows * rows.shape[1] * num_hidden
            expected = flops / rate
            label = f"{name}, {num_hidden} hidden units × {num_rows} rows"
            if expected > sweep.budget:
                line = f"{label}: the products of a {task.part} take {expected:.2g} s"
                _run.say(f"sweep: left out is {line}")
                left_out.append(line)
                continue
            parts = min(max(round(sweep.seconds / expected), 1), MOST_PARTS)
            works = {
                "jboltz": task.build(model, rows, key_task, num_rows, parts),
                "products": task.floor(model, num_rows, parts),
            }
            contestants = timing.beside_products(label, works, rounds, seed=seed)
            timing.add_milliseconds(contestants, task.part, parts)
            amounts = task.amounts(rows.shape[1], num_hidden)
            amounts = {k: x * parts * num_rows for k, x in amounts.items()}
            timing.add_rates(contestants, **amounts)
            about = {"num_hidden": num_hidden, "num_rows": num_rows, "parts": parts}
            records[name].append({**about, "contestants": contestants})
    return {"tasks": records, "left_out": left_out, "product_flops_per_second": rate}


def product_rate(num_visible: int) -> float:
    """Floating-point operations a second of one large product of the sweep's kind."""
    weights, v = common.orthonormal((num_visible, 512), 1024)
    product = jax.jit(jnp.matmul)

    def work():
        return (jax.block_until_ready(product(v, weights)),)

    work()
    seconds = min(timing.timed(work)[1] for _ in range(5))
    return 2 * v.shape[0] * weights.size / seconds


def _training(
    rule: Callable[[RBM, int], Estimator],
    model: RBM,
    rows: np.ndarray,
    key: Key[Array, ""],
    batch_size: int,
    num_steps: int,
) -> Work:
    """An epoch of as many rows as make `num_steps` batches."""
    key_params, key_train = jax.random.split(key)
    examples = rows[np.arange(batch_size * num_steps) % len(rows)]
    return cd.by_jboltz(
        model,
        rule(model, batch_size),
        model.init(key_params),
        examples,
        key_train,
        batch_size=batch_size,
    )


def _sampling(
    model: RBM,
    rows: np.ndarray,
    key: Key[Array, ""],
    num_chains: int,
    num_sweeps: int,
) -> Work:
    key_params, key_chains = jax.random.split(key)
    starts = common.binarised(
        common.as_float(rows[np.arange(num_chains) % len(rows)]), seed=0
    )
    return gibbs.by_jboltz(
        model, model.init(key_params), starts, key_chains, num_sweeps=num_sweeps
    )


def _cd(model: RBM, batch_size: int) -> Estimator:
    del batch_size
    return ContrastiveDivergence(model, Gibbs(model))


def _pcd(model: RBM, batch_size: int) -> Estimator:
    return PersistentContrastiveDivergence(model, Gibbs(model), num_chains=batch_size)


def _connections(num_visible: int, num_hidden: int) -> dict[str, int]:
    return {"connections": num_visible * num_hidden}


TASKS = {
    "CD-1": _Task(partial(_training, _cd), cd.by_products, 5, "step", _connections),
    "PCD-1": _Task(partial(_training, _pcd), cd.by_products, 5, "step", _connections),
    "Gibbs": _Task(_sampling, gibbs.by_products, 2, "sweep", gibbs.amounts),
}
