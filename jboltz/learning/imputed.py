"""Training on examples with missing entries, which the model fills in.

The gradient of −log p(v_observed) is E[∂F(v)/∂θ | v_observed] − E[∂F(v)/∂θ]: the
gradient for complete examples, averaged over the missing entries. So one wrapper draws
the missing entries for any estimator.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Integer, Key

from jboltz import random
from jboltz.abilities import AugmentedModel, data_of
from jboltz.base import Batch, Metrics, Params, State
from jboltz.checks import cast_states
from jboltz.learning.batch import mask_of
from jboltz.learning.wrapping import StatelessWrapping
from jboltz.samplers.chains import check_num_steps, run
from jboltz.samplers.gibbs import ClampedGibbs


@dataclasses.dataclass(frozen=True)
class MissingDataEstimator(StatelessWrapping):
    """An estimator on examples whose missing entries are drawn from the model.

    `batch.mask` is True where a value was observed; elsewhere `batch.values` may be
    anything, such as NaN. A missing entry starts at `sample_start` of the model. Then
    `num_steps` Gibbs steps draw it given the observed entries; with more steps the
    gradient is closer to that of −log p(v_observed). Chains of CD start at the filled
    examples. A one-hot site is observed whole or not at all: the mask has one entry
    per site, or one per category.

    Args:
      estimator: the rule that gets the filled examples.
      num_steps: the Gibbs steps that draw the missing entries.

    Example:
      >>> from jboltz import RBM, ContrastiveDivergence, Gibbs, Softmax, Bernoulli
      >>> ratings = RBM(Softmax(sites=1682, num_categories=5), Bernoulli(100))
      >>> cd = ContrastiveDivergence(ratings, Gibbs(ratings))
      >>> estimator = MissingDataEstimator(cd)  # data: Batch(values=…, mask=…)
    """

    num_steps: int | Integer[Array, ""] = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_num_steps(self.num_steps, at_least=1)

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The metrics of the wrapped estimator on the filled examples."""
        key_gaps, key_estimate = random.split(key)
        complete = self.fill(params, batch, key_gaps)
        return self.estimator.estimate(params, state, complete, key_estimate)

    def fill(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Batch:
        """The batch with gaps filled; example i draws from `fold_in(key, i)`."""
        if batch.mask is None:
            return batch
        mask = mask_of(self.model, batch)
        keys = random.fold_in_rows(key, mask)
        values = jax.vmap(self._fill_one, in_axes=(None, 0, 0, 0))(
            params, cast_states(batch.values, params), mask, keys
        )
        return Batch(values=values, weights=batch.weights)

    def _fill_one(self, params, v, observed, key):
        key_start, key_above, key_init, key_run = random.split(key, 4)
        model, sampler = self.model, ClampedGibbs(self.model)
        start = model.sample_start(params, key_start)
        v = jax.tree.map(jnp.where, observed, v, data_of(model, start))
        is_more = isinstance(model, AugmentedModel)
        start = model.start_at(params, v, key_above) if is_more else v
        chain = sampler.init(params, start, key_init, clamp=observed)
        chain, _ = run(sampler, params, chain, key_run, num_steps=self.num_steps)
        return data_of(model, chain.visible)
