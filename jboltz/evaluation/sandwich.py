"""log Z from below and from above, by annealing in both directions."""

import dataclasses
from typing import Any

import jax
import numpy as np
from flax import struct
from jaxtyping import Array, Key

from jboltz import random
from jboltz.abilities import AnnealedModel, LayeredModel
from jboltz.base import Params, record
from jboltz.checks import check_key, check_type
from jboltz.evaluation.examples import Data, as_examples
from jboltz.evaluation.likelihood import domain_of
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.evaluation.log_partitions import log_partitions, tempered_chains
from jboltz.evaluation.settings import Tempering
from jboltz.models.annealed import Annealed
from jboltz.samplers.gibbs import Gibbs
from jboltz.samplers.start import start_chains

SETTINGS = Tempering(ladder_check=0.0)


@record
class Sandwich:
    """log Z between an estimate from the base (low) and one from the model (high)."""

    #: (mean of both estimates, outer ends of their intervals), in nats
    log_partition: tuple[Any, Any, Any]
    forward: LogEstimate  #: of log Z, from the base to the model
    reverse: LogEstimate  #: of log Z, from the model to the base
    #: a sentence on whether the two estimates can be trusted
    advice: str = struct.field(pytree_node=False)


def sandwiched_log_partition(
    model: LayeredModel | AnnealedModel,
    params: Params,
    data: Data,
    key: Key[Array, ""],
    *,
    settings: Tempering = SETTINGS,
) -> Sandwich:
    """Both bounds of log Z in nats, their interval, and advice in words.

    Chains that anneal from a base fitted to `data` are too low on average. Chains that
    start from tempered chains of the model, and anneal back to the base, are too high
    on average if the tempered chains have mixed.

    Args:
      model: an RBM, a DBM, or an `AnnealedModel` such as `AnnealedSpikeAndSlab(model)`.
      params: the parameters of the model itself, not those of its annealed form.
      data: training examples; the tempered chains start at some of them.
      key: it decides at which examples chains start, and all their draws.
      settings: the rungs, chains, replicas and steps; by default 14 500 rungs, 100
        chains each way, and 1 000 steps of 20 replicas after as many of warm-up. A
        longer ladder, `ladder_check`, is used only by `log_partitions`.

    Returns:
      A `Sandwich`. `log_likelihood` takes its `log_partition`.

    Raises:
      ValueError: data are gray for binary units; parameters do not fit the model or
        have an infinite Z.
    """
    check_key(key)
    check_type("settings", settings, Tempering, "pass `Tempering(ladder_scale=…)`")
    annealed = model if isinstance(model, AnnealedModel) else Annealed(model)
    values = as_examples(data, domain_of(annealed.model)).values
    base, num_chains = annealed.fit_base(values), settings.annealed_chains
    key_rows, key_start, key_temper, key_z = random.split(key, 4)
    num_examples = len(jax.tree.leaves(values)[0])
    rows = jax.random.randint(key_rows, (num_chains,), 0, num_examples)
    start = jax.tree.map(lambda x: x[rows], values)
    gibbs = Gibbs(annealed.model)
    starts = start_chains(gibbs, params, key_start, num_chains, start, None).states
    chains, metrics = tempered_chains(
        annealed, params, base, starts.visible, settings, key_temper
    )
    once = dataclasses.replace(settings, ladder_check=0.0)
    found = log_partitions(annealed, params, base, chains.visible, once, key_z)
    forward, reverse = found["AIS"], found["reverse AIS"]
    return Sandwich(
        log_partition=(
            (forward.value + reverse.value) / 2,
            np.minimum(forward.lower, reverse.lower),
            np.maximum(forward.upper, reverse.upper),
        ),
        forward=forward,
        reverse=reverse,
        advice=_advice(forward, reverse, int(np.sum(metrics["round_trips"]))),
    )


def _advice(forward: LogEstimate, reverse: LogEstimate, round_trips: int) -> str:
    """A sentence on whether the two directions can be trusted."""
    gap = float(reverse.value - forward.value)
    apart = f"the estimate from above is {gap:+.2f} nats from the one from below"
    if not np.isfinite([forward.lower, reverse.upper]).all():
        found = f"{forward.effective_samples:.1f} and {reverse.effective_samples:.1f}"
        return (
            f"There is no interval: the two directions have {found} effective samples. "
            "Take a longer ladder, by `ladder_scale`."
        )
    if reverse.lower > forward.upper:
        return f"The ladder is too short: {apart}. Take a larger `ladder_scale`."
    if reverse.upper < forward.lower or round_trips < len(forward.log_weights):
        return (
            f"The tempered chains may not follow the model: {apart}, after "
            f"{round_trips} round trips, of which each chain should make one. Take "
            "more `tempering_steps` or more `num_replicas`."
        )
    return f"Both agree within their errors: {apart}."
