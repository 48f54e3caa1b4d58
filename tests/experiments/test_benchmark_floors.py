"""The floors: no product is left out, and every library takes the same ones."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.experiments.benchmark import floors, peers

FLOORS = {
    "CD-1": (floors.Floor(floors.cd, (96, 64), 32, 7), 5 * 96 * 64),
    "Gibbs": (floors.Floor(floors.sweep, (96, 64), 32, 7), 2 * 96 * 64),
    # Of the second layer one up from the data, and five of CD-1.
    "pretraining": (
        floors.Floor(partial(floors.pretraining, 1), (96, 64, 80), 32, 3, ()),
        96 * 64 + 5 * 64 * 80,
    ),
    # One up from the data, two a sweep.
    "mean field": (
        floors.Floor(partial(floors.mean_field, 2), (96, 64, 80), 32, 3),
        96 * 64 + 4 * 64 * 80,
    ),
    # Up once, 2 a mean-field sweep, one up, 4 a Gibbs step, 4 outer ones.
    "DBM": (
        floors.Floor(partial(floors.dbm, 2, 3), (96, 64, 80), 32, 3, (0, 1)),
        (1 + 2 * 3 + 2) * 96 * 64 + (4 + 1 + 2 * 3 + 2) * 64 * 80,
    ),
    # Of each layer one up, one for its gradient, and one down but for the first.
    "net": (
        floors.Floor(floors.net, (96, 64, 80, 10), 32, 3, ()),
        2 * 96 * 64 + 3 * 64 * 80 + 3 * 80 * 10,
    ),
}


@pytest.mark.parametrize(("floor", "amount"), FLOORS.values(), ids=FLOORS)
def test_no_product_is_left_out(floor, amount):
    """Nor by the compiler, whose count is that of one pass of the loop."""
    arrays = jax.tree.map(jnp.asarray, floor.arrays())
    compiled: Any = jax.jit(partial(floors.steps, floor)).lower(*arrays).compile()
    assert "while(" in compiled.as_text()
    flops = compiled.cost_analysis()["flops"]
    assert flops == pytest.approx(2 * 32 * amount, rel=0.02)


@pytest.mark.parametrize(("floor", "_"), FLOORS.values(), ids=FLOORS)
def test_every_library_takes_the_same_products(floor, _):
    expected = floors.by_xla([floor])()
    works = [floors.in_python([floor])]
    if peers.takes_part("torch"):
        works.append(peers.build("in_torch.products", [floor]))
    for work in works:
        for x, y in zip(work(), expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-2)


def test_a_network_learns_by_the_gradient():
    floor, _ = FLOORS["net"]
    weights, _, batches = floor.arrays()

    def score(weights):
        v = batches[-1]
        for W in weights:
            v = v @ W
        return jnp.sum(v**2) / 2

    found = floors.in_python([floor])()
    for x, y in zip(found, jax.grad(score)(weights), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-3)
