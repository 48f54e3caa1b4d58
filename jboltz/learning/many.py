"""Several models trained side by side, such as an ensemble or points of a grid."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jboltz.base import Batch, Metrics, State
from jboltz.checks import check_key, is_traced
from jboltz.errors import InvalidValue
from jboltz.learning.epoch import as_rows, train_epochs
from jboltz.learning.loop import as_pytree, check_loop
from jboltz.learning.rows import unchanged
from jboltz.learning.step import Prepare, TrainState, TrainStep, model_of


def fit_many(
    train_step: TrainStep,
    states: TrainState,
    data: State | Batch,
    keys: Key[Array, " runs"],
    *,
    batch_size: int,
    num_epochs: int,
    prepare: Prepare = unchanged,
) -> tuple[TrainState, Metrics]:
    """Trains one model for each of `states`, all in one compiled program.

    Run i equals `fit` from `states[i]` with `keys[i]`, up to rounding. Only states may
    differ between runs: parameters, chains, and the numbers of an optimizer that
    `optax.inject_hyperparams` built. Parameters are not checked to stay finite.

    Args:
      train_step: as in `fit`.
      states: states with a leading axis of runs, as `jax.vmap` makes them.
      data: as in `fit`, shared by all runs.
      keys: one key per run, (runs,).
      batch_size: the number of examples per update.
      num_epochs: the number of epochs.
      prepare: as in `fit`.

    Returns:
      The states, and the metrics, (runs, epochs, steps).

    Example:
      Four learning rates:

          optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)

          def start(rate, key):
              state = init_train_state(rbm.init(key), estimator, optimizer, key)
              return optax.tree.set(state, learning_rate=rate)

          rates = jnp.array([0.01, 0.03, 0.1, 0.3])
          states = jax.vmap(start)(rates, jax.random.split(key, 4))
    """
    check_key(keys, "keys", axes=1)
    if not is_traced(states, keys):
        shapes = {jnp.shape(x)[:1] for x in jax.tree.leaves(states)}
        if shapes != {keys.shape}:
            raise InvalidValue(
                f"`states` have the leading axes {shapes} but there are {len(keys)} "
                "`keys`; stack one state for each key, as `jax.vmap` does."
            )
        first = jax.tree.map(lambda x: np.asarray(x)[0], states)
        check_loop(train_step, first, keys[0], prepare=prepare)
    return _fit_many(
        as_pytree(train_step),
        states,
        as_rows(data, model_of(train_step), prepare),
        keys,
        as_pytree(prepare),
        batch_size=batch_size,
        num_epochs=num_epochs,
    )


@partial(jax.jit, static_argnames=("batch_size", "num_epochs"))
def _fit_many(train_step, states, data, keys, prepare, **sizes) -> Any:
    def run(state, key):
        return train_epochs(train_step, state, data, key, prepare=prepare, **sizes)

    return jax.vmap(run)(states, keys)
