"""`train_epoch` and `train_epochs`: what `fit` does, as pure functions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import jboltz
from jboltz import Batch
from tests.learning.cases import BATCH_SIZE, DATA, TRAIN_STEP, bit_for_bit, same, start

epoch = partial(jboltz.train_epoch, TRAIN_STEP, batch_size=BATCH_SIZE)


def two_epochs(state, key, first_epoch=0):
    return jboltz.train_epochs(
        TRAIN_STEP,
        state,
        DATA,
        key,
        batch_size=BATCH_SIZE,
        num_epochs=2,
        first_epoch=first_epoch,
    )


def by_fit(state, key, num_epochs=2, data=DATA):
    state, histories = jboltz.fit(
        TRAIN_STEP, state, data, key, batch_size=BATCH_SIZE, num_epochs=num_epochs
    )
    names = histories[0]
    return state, {name: np.stack([h[name] for h in histories]) for name in names}


def test_a_run_under_jit_is_fit_and_goes_on(getkey):
    """To the bit: the same steps, on rows that another sort has put in order."""
    start_state, key, run = start(getkey()), getkey(), jax.jit(two_epochs)
    state, first = run(start_state, key, 0)
    bit_for_bit((state, first), by_fit(start_state, key))
    state, second = run(state, key, 2)
    expected, history = by_fit(start_state, key, 4)
    bit_for_bit(state, expected)
    contrasts = np.concatenate([first["contrast"], second["contrast"]])
    np.testing.assert_array_equal(contrasts, history["contrast"])


def test_an_epoch_is_that_of_fit_with_its_key(getkey):
    """Without `jit`, where the order is NumPy's; with weights."""
    weights = np.linspace(0.5, 3.0, len(DATA), dtype=np.float32)
    state, key, data = start(getkey()), getkey(), Batch(values=DATA, weights=weights)
    expected, history = by_fit(state, key, 1, data)
    state, metrics = epoch(state, data, jax.random.fold_in(key, 0))
    same(state, expected)
    same(metrics["contrast"][None], history["contrast"])


def test_machines_trained_side_by_side_are_those_trained_alone(getkey):
    """`vmap` over parameters, chains, momenta and keys, on each of two devices."""
    keys = jax.random.split(getkey(), 4)
    states = [start(key) for key in keys]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *states)
    mesh = jax.make_mesh((2,), ("machines",), axis_types=(AxisType.Auto,))
    split = PartitionSpec("machines")
    together = jax.shard_map(
        jax.vmap(two_epochs),
        mesh=mesh,
        in_specs=(split, split),
        out_specs=split,
        check_vma=False,
    )
    found = jax.device_get(jax.jit(together)(stacked, keys))
    assert found[1]["contrast"].shape == (4, 2, 3)
    for index, (state, key) in enumerate(zip(states, keys, strict=True)):
        same(jax.tree.map(lambda x, i=index: x[i], found), by_fit(state, key))


def test_a_batch_larger_than_the_data_is_refused(getkey):
    with pytest.raises(ValueError, match="`batch_size` is 8 but the data hold 5 "):
        epoch(start(getkey()), DATA[:5], getkey())
