"""A sparsity target: a penalty on the mean activity of each hidden unit."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz.abilities import TwoLayerModel
from jboltz.base import Batch, Leaf, Metrics, Params, State, record
from jboltz.checks import dtype_of, require
from jboltz.errors import InvalidValue
from jboltz.learning.batch import complete, weighted_mean
from jboltz.learning.wrapping import Wrapping

Penalty = Callable[[Float[Array, ""], float], Float[Array, ""]]
"""(mean activity of a unit, target) -> the penalty in nats."""


def kullback_leibler(q: Float[Array, ""], target: float) -> Float[Array, ""]:
    """KL(ρ ‖ q) = ρ ln(ρ/q) + (1 − ρ) ln((1 − ρ)/(1 − q)), infinite at q = 0 and 1.

    If a mean activity rounds to 0 or 1, the gradient is not finite.

    Reference:
      Nair & Hinton (2009), 3D object recognition with deep belief nets.
    """
    on = jax.scipy.special.rel_entr(target, q)
    return on + jax.scipy.special.rel_entr(1 - target, 1 - q)


def squared_distance(q: Float[Array, ""], target: float) -> Float[Array, ""]:
    """½ (q − ρ)², finite everywhere.

    Reference:
      Lee, Ekanadham & Ng (2008), Sparse deep belief net model for visual area V2.
    """
    return 0.5 * (q - target) ** 2


@record
class SparseState:
    """The state of the wrapped estimator, and the running mean activities."""

    inner: State
    activities: Leaf  # (hidden,) in [0, 1]


@dataclasses.dataclass(frozen=True)
class Sparse(Wrapping):
    """The gradient of an RBM from `estimator`, plus the gradient of a sparsity penalty.

    The penalty is

        λ Σ_j φ(q_j, ρ),    q_j = the mean over the data of p(h_j = 1 | v),

    with `strength` λ, `target` ρ and `penalty` φ. Its gradient, in all parameters, is
    estimated as λ Σ_j φ′(q̄_j) ∇q_j, where ∇q_j is from the batch, and q̄ is a running
    average over earlier batches. It is therefore unbiased given q̄, for any batch size.
    Then q̄ moves towards the means of the batch by a share `rate`.

    The hidden units have to be binary. `Centred` may be inside this estimator, and
    `MissingDataEstimator` around it.

    Args:
      estimator: the rule that the penalty is added to.
      target: ρ, the mean activity that is wanted, between 0 and 1.
      strength: λ, the weight of the penalty.
      rate: the share by which the running average moves in every batch.
      penalty: φ, a function of q and ρ.

    Reference:
      Hinton (2012), A practical guide to training restricted Boltzmann machines,
      section 11.

    Example:
      >>> from jboltz import RBM, Bernoulli, ContrastiveDivergence, Gibbs
      >>> rbm = RBM(Bernoulli(784), Bernoulli(500))
      >>> cd = ContrastiveDivergence(rbm, Gibbs(rbm))
      >>> Sparse(cd, target=0.1, strength=0.1).penalty.__name__
      'squared_distance'
    """

    target: float
    strength: float
    rate: float = 0.1
    penalty: Penalty = squared_distance

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.model, TwoLayerModel, "a penalty on mean activities")
        for name, value, needed, is_valid in (
            ("target", self.target, "between 0 and 1", 0 < self.target < 1),
            ("strength", self.strength, "finite, from 0", 0 <= self.strength < 1e38),
            ("rate", self.rate, "above 0 and at most 1", 0 < self.rate <= 1),
        ):
            if not is_valid:
                raise InvalidValue(
                    f"`{name}` is {value} but needs to be {needed}; for no sparsity "
                    "take the estimator alone."
                )
        domain = self.model.hidden.domain
        if not domain.is_binary:
            raise InvalidValue(
                f"The hidden units {self.model.hidden} are of the domain '{domain}' "
                "but a mean activity from 0 to 1 needs units of the unit interval; "
                "take `Bernoulli`, or no sparsity target."
            )

    def init(self, params: Params, key: Key[Array, ""]) -> SparseState:
        """The running means start at the mean activities without weights."""
        hidden = self.model.hidden
        zeros = jnp.zeros(hidden.size, dtype_of(params))
        (_, own), _ = self.model.parts(params)
        return SparseState(
            inner=self.estimator.init(params, key),
            activities=hidden.mean(own, zeros),
        )

    def estimate(
        self, params: Params, state: SparseState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, SparseState, Metrics]:
        """Adds the metric `sparsity_penalty`, λ Σ_j φ(q̄_j, ρ) at the updated q̄."""
        batch = complete(batch, params)
        gradient, inner, metrics = self.estimator.estimate(
            params, state.inner, batch, key
        )

        def means(params):
            each = jax.vmap(self.model.mean_hidden_state, in_axes=(None, 0))
            average = jax.vmap(weighted_mean, in_axes=(1, None))
            return average(each(params, batch.values), batch.weights)

        q, pull_back = jax.vjp(means, params)
        (sparse,) = pull_back(jax.grad(self._total)(state.activities))
        activities = state.activities + self.rate * (q - state.activities)
        return (
            jax.tree.map(jnp.add, gradient, sparse),
            SparseState(inner=inner, activities=activities),
            metrics | {"sparsity_penalty": self._total(activities)},
        )

    def _total(self, q: Float[Array, " hidden"]) -> Float[Array, ""]:
        each = jax.vmap(self.penalty, in_axes=(0, None))(q, self.target)
        return self.strength * jnp.sum(each)
