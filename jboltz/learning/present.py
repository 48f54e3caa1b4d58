"""Contrastive divergence for examples in which sites may be absent.

An item that a user has not rated is no part of the machine of this user: its bias and
its weights do not enter the energy. That is another model than the one of
`MissingDataEstimator`, which sums over the values of a site that was not observed.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Key

from jboltz import random
from jboltz.abilities import TwoLayerModel
from jboltz.base import Batch, Metrics, Params, State
from jboltz.checks import cast_states, require
from jboltz.learning.batch import mask_of, refuse_mask, weighted_mean
from jboltz.samplers.chains import check_num_steps, run
from jboltz.samplers.gibbs import ClampedGibbs


@dataclasses.dataclass(frozen=True)
class PresentOnly:
    """CD-k in which each example has a machine of its own, of its present sites.

    All machines share the parameters. `batch.mask` is True where a site is present,
    with one entry per site; elsewhere `batch.values` may be anything, such as NaN.

    An absent site has the activity 0 in both phases: the hidden units do not see it,
    and its term of F(v) cancels. `conditional` with `present` predicts a rating.

    Args:
      model: the model that is trained, with one visible and one hidden layer, such as
        an RBM.
      num_steps: k, the number of Gibbs steps from an example to the end of its chain.

    Raises:
      TypeError: `model` has other layers than these.
      ValueError: `num_steps` is less than 1.

    Reference:
      Salakhutdinov, Mnih & Hinton (2007), Restricted Boltzmann machines for
      collaborative filtering.

    Example:
      >>> from jboltz import RBM, Bernoulli, Softmax
      >>> ratings = RBM(Softmax(sites=1682, num_categories=5), Bernoulli(100))
      >>> estimator = PresentOnly(ratings)  # data: Batch(values=…, mask=…)
    """

    model: TwoLayerModel
    num_steps: int | Integer[Array, ""] = 1

    def __post_init__(self) -> None:
        require(self.model, TwoLayerModel, "sites that may be absent")
        check_num_steps(self.num_steps, at_least=1)

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        del params, key
        return ()

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The metric `reconstruction_error` is mean((v − v_k)²) over present numbers.

        The chain of example i draws from `fold_in(key, i)`.
        """
        present = _present(self.model, batch)
        v = jax.tree.map(lambda x, m: jnp.where(m, x, 0), batch.values, present)
        v = cast_states(v, params)
        keys = random.fold_in_rows(key, v)
        negative = jax.vmap(self._chain, (None, 0, 0, 0))(params, v, present, keys)

        def contrast(params):
            free_energy = jax.vmap(self.model.free_energy, in_axes=(None, 0))
            difference = free_energy(params, v) - free_energy(params, negative)
            return weighted_mean(difference, batch.weights)

        errors = jax.vmap(_error)(v, negative, present)
        metrics = {"reconstruction_error": weighted_mean(errors, batch.weights)}
        (visible, hidden), weights = self.model.parts(jax.grad(contrast)(params))
        # The two phases of an absent site cancel up to rounding, which would be a full
        # step of an optimizer like Adam.
        somewhere = jax.tree.map(lambda here: here.any(axis=0), present)
        units = _where_present(visible, somewhere), hidden
        return self.model.from_parts(units, weights), state, metrics

    def _chain(self, params, v, present, key):
        """The visible state of a chain that starts at `v` and holds what is absent."""
        key_init, key_run = random.split(key)
        sampler, absent = ClampedGibbs(self.model), jax.tree.map(jnp.invert, present)
        chain = sampler.init(params, v, key_init, clamp=absent)
        chain, _ = run(sampler, params, chain, key_run, num_steps=self.num_steps)
        return chain.visible


def _present(model: TwoLayerModel, batch: Batch) -> State:
    """The mask of the batch in the shape of its values."""
    if isinstance(batch, Batch) and batch.mask is not None:
        return mask_of(model, batch)
    refuse_mask(batch)  # It refuses a bare array too.
    return jax.tree.map(lambda x: jnp.ones(x.shape, jnp.bool_), batch.values)


def _where_present(gradient: Params, present: State) -> Params:
    """The gradient in a visible unit, with 0 at the sites that are not present."""
    if not isinstance(present, tuple):
        return jax.tree.map(
            lambda g: jnp.where(present, g, 0) if g.shape == present.shape else g,
            gradient,
        )
    parts, structure = jax.tree.flatten(gradient, is_leaf=lambda x: x is not gradient)
    if len(parts) != len(present):
        return gradient
    return structure.unflatten(map(_where_present, parts, present))


def _error(v: State, negative: State, present: State) -> Float[Array, ""]:
    """The mean squared difference over the present numbers of one example."""
    squares = jax.tree.map(lambda x, y: jnp.sum((x - y) ** 2), v, negative)
    count = sum(jnp.sum(here) for here in jax.tree.leaves(present))
    return sum(jax.tree.leaves(squares)) / jnp.maximum(count, 1)
