"""log Z from below and from above, by annealing in both directions."""

from typing import Any

import jax
import numpy as np
from flax import struct
from jaxtyping import Array, ArrayLike, Key

from jboltz import random
from jboltz.abilities import AnnealedModel, AugmentedModel, LayeredModel
from jboltz.base import Params, State, record
from jboltz.checks import check_count, check_key, is_traced
from jboltz.errors import InvalidType
from jboltz.evaluation.annealing import (
    annealed_importance_sampling,
    annealing_ladder,
    reverse_annealed_importance_sampling,
)
from jboltz.evaluation.examples import Data, as_examples
from jboltz.evaluation.likelihood import domain_of
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.evaluation.log_partitions import missing_intervals_allowed, tempered_chains
from jboltz.evaluation.settings import Tempering
from jboltz.models.annealed import Annealed


@record
class Sandwich:
    """log Z enclosed by annealing from the base (low) and from the model (high).

    `log_partition` is (estimate, lower, upper) as `log_likelihood` takes it: the mean
    of both directions, and the outer ends of their intervals.
    """

    log_partition: tuple[Any, Any, Any]  # nats
    forward: LogEstimate
    reverse: LogEstimate
    round_trips: Any  # of all tempered chains, from the base to the model and back
    advice: str = struct.field(pytree_node=False)


def sandwiched_log_partition(
    model: LayeredModel | AnnealedModel,
    params: Params,
    data: Data,
    key: Key[Array, ""],
    *,
    betas: ArrayLike | None = None,
    num_chains: int = 100,
    num_replicas: int = 20,
    num_steps: int = 1000,
) -> Sandwich:
    """Both bounds of log Z, in nats, their interval, and advice in words.

    The forward chains anneal from a base that is fitted to `data`, and are too low on
    average. The reverse chains start from tempered chains of the model, and are too
    high on average where the tempered chains have mixed. It runs on the host, not under
    `jit`.

    Args:
      model: an RBM, a DBM, or an `AnnealedModel` such as `AnnealedSpikeAndSlab(model)`.
      data: training examples; the tempered chains start at some of them.
      betas: the rungs of both directions, by default `annealing_ladder()`, 14 500.
      num_chains: chains in each direction.
      num_replicas: replicas of each tempered chain, which has its own ladder.
      num_steps: steps of the tempered chains, after as many steps of warm-up.

    Raises:
      ValueError: data are gray for binary units; the ladder does not increase from 0 to
        1; parameters do not fit the model or have an infinite Z.

    Example:
      >>> import numpy as np
      >>> from jboltz import RBM, Bernoulli, annealing_ladder
      >>> rbm = RBM(Bernoulli(4), Bernoulli(3))
      >>> params, data = rbm.init(jax.random.key(0)), np.eye(4)
      >>> found = sandwiched_log_partition(
      ...     rbm,
      ...     params,
      ...     data,
      ...     jax.random.key(1),
      ...     betas=annealing_ladder(0.01),
      ...     num_replicas=3,
      ...     num_steps=50,
      ... )
      >>> bool(abs(found.log_partition[0] - 7 * np.log(2)) < 0.1)  # small weights
      True
    """
    if is_traced(params, data, key):
        raise InvalidType(
            "`sandwiched_log_partition` was called under `jit` or `vmap` but adapts "
            "its ladder on the host; call it outside, or call "
            "`annealed_importance_sampling` inside."
        )
    check_key(key)
    annealed = model if isinstance(model, AnnealedModel) else Annealed(model)
    num_chains = check_count("num_chains", num_chains, at_least=2)
    tempering = Tempering(
        num_replicas=check_count("num_replicas", num_replicas, at_least=2),
        tempering_steps=check_count("num_steps", num_steps, at_least=1),
    )
    examples = as_examples(data, domain_of(annealed.model))
    base = annealed.fit_base(examples.values)
    rungs = annealing_ladder() if betas is None else betas
    key_start, key_temper, key_forward, key_reverse = random.split(key, 4)
    starts = _starts(annealed.model, params, examples.values, num_chains, key_start)
    chains, metrics = tempered_chains(
        annealed, params, base, starts, tempering, key_temper
    )
    with missing_intervals_allowed():
        forward = annealed_importance_sampling(
            annealed, params, base, rungs, key_forward, num_chains=num_chains
        )
        reverse = reverse_annealed_importance_sampling(
            annealed, params, base, rungs, chains.visible, key_reverse
        )
    round_trips = int(np.sum(metrics["round_trips"]))
    lower = np.minimum(forward.lower, reverse.lower)
    upper = np.maximum(forward.upper, reverse.upper)
    return Sandwich(
        log_partition=((forward.value + reverse.value) / 2, lower, upper),
        forward=forward,
        reverse=reverse,
        round_trips=round_trips,
        advice=_advice(forward, reverse, round_trips, num_chains),
    )


def _starts(model, params, values, num_chains, key):
    """Visible states at randomly chosen examples."""
    key_rows, key_above = random.split(key)
    count = len(jax.tree.leaves(values)[0])
    rows = jax.random.randint(key_rows, (num_chains,), 0, count)
    starts: State = jax.tree.map(lambda x: x[rows], values)
    if not isinstance(model, AugmentedModel):
        return starts
    keys = random.fold_in_rows(key_above, starts)
    return jax.vmap(model.start_at, (None, 0, 0))(params, starts, keys)


def _advice(
    forward: LogEstimate, reverse: LogEstimate, round_trips: int, num_chains: int
) -> str:
    """A sentence on whether the two directions can be trusted."""
    gap = float(reverse.value - forward.value)
    if not np.isfinite([forward.lower, reverse.upper]).all():
        ess = f"{forward.effective_samples:.1f} and {reverse.effective_samples:.1f}"
        return (
            f"There is no interval: the two directions have {ess} effective samples "
            f"of {num_chains}. Take a ladder with more rungs, such as "
            "`betas=annealing_ladder(10)`."
        )
    if reverse.upper < forward.lower:
        return (
            f"The tempered chains are not the model's: the estimate from above is "
            f"{-gap:.2f} nats below the one from below. Take more `num_steps` and more "
            "`num_replicas`."
        )
    if reverse.lower > forward.upper:
        return (
            f"The ladder is too short: the two directions are {gap:.2f} nats apart, "
            "more than their errors. Take more rungs, such as "
            "`betas=annealing_ladder(10)`."
        )
    if round_trips < num_chains:
        return (
            f"The two directions agree, {gap:.2f} nats apart, but the tempered chains "
            f"made {round_trips} round trips, fewer than one each, so that the bound "
            "from above may be too low. Take more `num_steps` or more `num_replicas`."
        )
    return (
        f"The two directions agree within their errors, {gap:.2f} nats apart, and the "
        f"tempered chains made {round_trips} round trips."
    )
