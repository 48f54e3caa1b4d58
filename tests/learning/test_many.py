"""Machines trained side by side are those that are trained alone, in one program."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jboltz
from tests.learning.cases import BATCH_SIZE, DATA, ESTIMATOR, MODEL, same

OPTIMIZER = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.9)
TRACES = []


def counted(rows, key):
    TRACES.append(key)
    return jboltz.unchanged(rows, key)


def start(rate, key):
    state = jboltz.init_train_state(MODEL.init(key), ESTIMATOR, OPTIMIZER, key)
    return optax.tree.set(state, learning_rate=rate)


def row(index, x):
    return x[index]


def test_a_sweep_is_its_single_runs_and_compiles_once(getkey):
    step = jboltz.make_train_step(ESTIMATOR, OPTIMIZER)
    rates, keys = np.geomspace(0.01, 1, 16), jax.random.split(getkey(), 16)
    states = jax.vmap(start)(jnp.asarray(rates, float), keys)
    options = {"batch_size": BATCH_SIZE, "num_epochs": 2}
    counts = []
    for sweep in (states, jax.tree.map(jnp.flip, states)):
        found, metrics = jboltz.fit_many(
            step, sweep, DATA, keys, prepare=counted, **options
        )
        counts.append(len(TRACES))
    assert counts[0] == counts[1]
    assert metrics["contrast"].shape == (16, 2, 3)
    found, metrics = jboltz.fit_many(step, states, DATA, keys, **options)
    for run in (0, 15):
        own, after = (jax.tree.map(partial(row, run), x) for x in (states, found))
        alone, history = jboltz.fit(step, own, DATA, keys[run], **options)
        same(after, alone)
        for epoch in range(2):
            same(metrics["contrast"][run, epoch], history[epoch]["contrast"])
