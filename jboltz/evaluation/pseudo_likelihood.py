"""The pseudo-likelihood of an RBM: each site given all other sites, without log Z.

PL(v) = Σ_i log p(v_i | rest), p(v_i | rest) = exp(−F(v)) / Σ_x exp(−F(v with x at i)),
where x runs over the values of site i, which `alternatives` of the visible unit gives;
for a real site the sum is an integral. Only differences of F are computed, as F of a
large model is too large to subtract in float32.

Reference:
  Besag (1975), Statistical analysis of non-lattice data.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Key

from jboltz import random
from jboltz.abilities import TwoLayerModel
from jboltz.base import EnumerableUnit, Params, State, log_normalizer_gain
from jboltz.checks import check_key, check_params, require
from jboltz.errors import InvalidType
from jboltz.evaluation.examples import Data, as_examples
from jboltz.evaluation.likelihood import (
    MeanLogLikelihood,
    domain_of,
    mean_over,
    per_example,
    summary,
)
from jboltz.models.annealed import check_exact
from jboltz.products import full_product, product

_FAR = 1e12
"""A factor for inputs that saturates every unit of bounded activity."""


def pseudo_log_likelihood(
    model: TwoLayerModel, params: Params, data: Data, *, batch_size: int = 100
) -> MeanLogLikelihood:
    """The mean over examples of Σ_i log p(v_i | rest), in nats.

    Each value of each site costs one row of the weights and one activation of the
    hidden layer. Real sites take dozens to hundreds of values, more with larger
    weights.

    Args:
      model: an RBM.
      params: its parameters.
      data: states of the visible units, or `EvaluationData`.
      batch_size: the number of examples computed at a time.

    Raises:
      TypeError: the visible unit does not enumerate the values of a site.
      ValueError: data are gray for binary units; or visible units are real and hidden
        units have unbounded activity.

    Example:
      >>> from jboltz import RBM, Bernoulli
      >>> rbm = RBM(Bernoulli(4), Bernoulli(3))
      >>> params = jax.tree.map(jnp.zeros_like, rbm.init(jax.random.key(0)))
      >>> round(float(pseudo_log_likelihood(rbm, params, np.eye(4)).mean), 4)
      -2.7726
    """
    params = jax.tree.map(jnp.asarray, params)
    table = site_alternatives(model, params)
    sites = jnp.arange(model.visible.shape[0])

    def all_sites(v):
        given_rest = site_log_probability(model, params, table, v)
        return jnp.sum(jax.lax.map(given_rest, sites))

    examples = as_examples(data, domain_of(model))
    return mean_over(
        "pseudo-log-likelihood", all_sites, examples, 0.0, batch_size=batch_size
    )


def stochastic_pseudo_log_likelihood(
    model: TwoLayerModel,
    params: Params,
    data: Data,
    key: Key[Array, ""],
    *,
    batch_size: int = 1000,
) -> MeanLogLikelihood:
    """An unbiased estimate of `pseudo_log_likelihood` from one random site per example.

    Example n draws its site from `fold_in(key, n)`. The standard error includes the
    choice of sites. It raises the errors of `pseudo_log_likelihood`.
    """
    check_key(key)
    params = jax.tree.map(jnp.asarray, params)
    table = site_alternatives(model, params)
    num_sites = model.visible.shape[0]

    def one_site(example):
        v, key = example
        # A uniform in [0, 1) times `num_sites` may round up to `num_sites`.
        site = jnp.floor(num_sites * random.uniform(key, ())).astype(jnp.int32)
        site = jnp.minimum(site, num_sites - 1)
        return num_sites * site_log_probability(model, params, table, v)(site)

    examples = as_examples(data, domain_of(model))
    keys = random.fold_in_range(key, len(examples.values))
    values = per_example(one_site, (examples.values, keys), batch_size=batch_size)
    return summary("stochastic pseudo-log-likelihood", values, examples, 0.0)


def site_log_probability(
    model: TwoLayerModel,
    params: Params,
    table: tuple[Float[Array, "levels sites _"], Float[Array, "levels sites"]],
    v: State,
) -> Callable[[Integer[Array, ""]], Float[Array, ""]]:
    """The function site ↦ log p(v at site | v elsewhere), in nats.

    Args:
      table: the values of a site that are summed over, from `site_alternatives`.
    """
    activities, log_weights = table
    inputs = model.hidden_inputs(params, v)
    activity, energy = site_terms(model, params, v)
    (_, own), (weights,) = model.parts(params)
    blocks = weights.reshape(*activity.shape, model.hidden.size)

    def given_rest(site: Integer[Array, ""]) -> Float[Array, ""]:
        def gain(other):
            # Only this site differs, so its rows of the weights suffice.
            change = product(other - activity[site], blocks[site])
            return log_normalizer_gain(model.hidden, own, inputs, change)

        terms = jax.vmap(gain)(activities[:, site])
        return -jax.nn.logsumexp(terms + (log_weights[:, site] + energy[site]))

    return given_rest


def site_terms(
    model: TwoLayerModel, params: Params, v: State
) -> tuple[Float[Array, "sites _"], Float[Array, " sites"]]:
    """The activity of each site, and its term of the energy."""
    (own, _), _ = model.parts(params)
    unit: Any = model.visible
    return unit.activity(own, v).reshape(unit.shape[0], -1), unit.energies(own, v)


def site_alternatives(
    model: TwoLayerModel, params: Params
) -> tuple[Float[Array, "levels sites _"], Float[Array, "levels sites"]]:
    """The activities of all values of each site, and their log weights minus energies.

    The values cover all inputs that the hidden layer can send: d/ds Γ_h(I + s W_i) =
    W_i · E[a_h] rises with s, so its limits bound the inputs.
    """
    require(model, TwoLayerModel, "a pseudo-likelihood")
    check_exact(model)
    check_params(model, params)
    unit, hidden = model.visible, model.hidden
    (own, of_hidden), (weights,) = model.parts(params)
    if not isinstance(unit, EnumerableUnit):
        raise InvalidType(
            f"{unit} does not enumerate the values of a site, but a pseudo-likelihood "
            "sums over them; take Bernoulli, Spin, Softmax or Gaussian units "
            "(`EnumerableUnit`)."
        )

    def farthest(sign):
        def along(row):
            return full_product(row, hidden.mean(of_hidden, sign * _FAR * row))

        return jax.vmap(along)(weights)

    lowest, highest = farthest(-1), farthest(1)
    states, log_weights = unit.alternatives(own, lowest, highest)
    activities, energies = jax.vmap(lambda x: site_terms(model, params, x))(states)
    return activities, log_weights - energies
