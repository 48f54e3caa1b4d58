"""Mean field: the variational positive phase of a deep Boltzmann machine.

The posterior of each hidden layer is approximated by its unit at inputs I_l, which come
from the mean activities of its neighbours. The negative phase has persistent chains.

Reference:
  Salakhutdinov & Hinton (2009), Deep Boltzmann machines.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz.base import Batch, Leaf, Metrics, State, record
from jboltz.errors import InvalidValue
from jboltz.learning.batch import complete, mean_squared_error, weighted_mean
from jboltz.learning.contrastive import PersistentChains
from jboltz.models.dbm import DBM, DBMParams, inputs_of
from jboltz.products import full_product, product


@record
class Posterior:
    """q(h) = Π_l q_l(x_l), where q_l is p(x_l | I_l) of the unit at its inputs I_l."""

    inputs: tuple[Leaf, ...]  # one (size,) per hidden layer, I_l
    activities: tuple[Leaf, ...]  # one (size,) per hidden layer, E_q[a_l]
    residual: Leaf  # () largest change of an activity in the last sweep
    num_sweeps: Leaf  # () int32


def mean_field(
    dbm: DBM,
    params: DBMParams,
    v: State,
    *,
    tolerance: float = 1e-4,
    max_sweeps: int = 50,
) -> Posterior:
    """The factorial posterior of the hidden layers given `v`, by coordinate ascent.

    It starts from `mean_activities`. A sweep updates the odd layers, then the even
    layers, so that the bound never falls. It is not differentiable, and need not be:
    the bound is stationary in q, so its gradient holds q fixed.

    Args:
      tolerance: the largest change of a mean activity at which to stop.
      max_sweeps: the largest number of sweeps.
    """
    _check_ascent(tolerance, max_sweeps)
    first = dbm.mean_activities(params, v)
    num_layers = len(first)
    below = product(first[0], params.weights[0])
    order = [*range(1, num_layers, 2), *range(2, num_layers, 2)]

    def inputs(activities, index):
        if index > 1:
            return inputs_of(params, activities, index)
        # The data do not change, so their product is computed once.
        if num_layers == 2:
            return below
        return below + product(params.weights[1], activities[2])

    def sweep(carry):
        old, _, _, count = carry
        new, all_inputs = dict(enumerate(old, start=1)), {}
        for index in order:
            all_inputs[index] = inputs(new, index)
            unit, unit_params = dbm.units[index], params.units[index]
            new[index] = unit.mean(unit_params, all_inputs[index])
        activities = tuple(new[index] for index in range(1, num_layers))
        moved = [jnp.max(jnp.abs(x - y)) for x, y in zip(activities, old, strict=True)]
        ordered = tuple(all_inputs[index] for index in range(1, num_layers))
        return activities, ordered, jnp.max(jnp.stack(moved)), count + 1

    def goes_on(carry):
        _, _, residual, count = carry
        return (residual > tolerance) & (count < max_sweeps)

    zeros = tuple(jnp.zeros_like(a) for a in first[1:])
    infinity = jnp.full((), jnp.inf, below.dtype)
    start = (first[1:], zeros, infinity, jnp.zeros((), jnp.int32))
    activities, all_inputs, residual, count = jax.lax.while_loop(goes_on, sweep, start)
    return Posterior(
        inputs=all_inputs, activities=activities, residual=residual, num_sweeps=count
    )


def variational_free_energy(
    dbm: DBM, params: DBMParams, v: State, q: Posterior
) -> Float[Array, ""]:
    """E_q[E(v, h)] − H(q), an upper bound on the free energy of `v`, in nats.

    With m_l = E_q[a_l] it is

        E_v(v) − Σ_l [Γ_l(I_l) − I_l·m_l] − a_v(v)ᵀ W₀ m₁ − Σ_l m_lᵀ W_l m_{l+1}.

    Its negative minus log Z is the evidence lower bound on log p(v). The gradient of
    the bound holds a converged `q` fixed.
    """
    units, unit_params = dbm.units[1:], params.units[1:]
    entropy_and_own = sum(
        unit.log_normalizer(p, inputs) - full_product(inputs, m)
        for unit, p, inputs, m in zip(
            units, unit_params, q.inputs, q.activities, strict=True
        )
    )
    a = (dbm.units[0].activity(params.units[0], v), *q.activities)
    coupling = sum(
        full_product(product(a[index], W), a[index + 1])
        for index, W in enumerate(params.weights)
    )
    return dbm.units[0].energy(params.units[0], v) - entropy_and_own - coupling


@dataclasses.dataclass(frozen=True)
class MeanFieldPCD(PersistentChains):
    """Mean field for the positive phase, persistent chains for the negative phase.

    It is the gradient of the mean variational free energy of the data minus the mean
    free energy of the chains' even layers, with q and the chains held fixed.

    Args:
      model: the DBM that is trained.
      sampler: the kernel of the chains, such as `Gibbs(model)`.
      num_chains: the number of chains.
      num_steps: the kernel steps per update.
      tolerance: mean field stops when no mean moves by more than this.
      max_sweeps: the largest number of sweeps of mean field.

    Reference:
      Salakhutdinov & Hinton (2009), Deep Boltzmann machines, section 2.
    """

    model: DBM
    tolerance: float = 1e-4
    max_sweeps: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_ascent(self.tolerance, self.max_sweeps)

    def init(self, params: DBMParams, key: Key[Array, ""]) -> State:
        """Chains that start at `model.sample_start`."""
        return self.start(params, key)

    def chains_of(self, state: State) -> State:
        return state

    def estimate(
        self, params: DBMParams, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[DBMParams, State, Metrics]:
        """The metrics are `reconstruction_error`, mean((v − E[v | q])²); `contrast`, as
        in PCD; `residual` and `sweeps`, the largest over examples; and `unconverged`,
        the share of examples whose residual is above the tolerance."""
        batch = complete(batch, params)
        model = self.model
        infer = partial(
            mean_field, model, tolerance=self.tolerance, max_sweeps=self.max_sweeps
        )
        q = jax.vmap(infer, in_axes=(None, 0))(params, batch.values)
        chains = self.advance(params, state, key)

        def contrast(params):
            bound = partial(variational_free_energy, model)
            data = jax.vmap(bound, in_axes=(None, 0, 0))(params, batch.values, q)
            free_energy = jax.vmap(model.free_energy, in_axes=(None, 0))
            negative = free_energy(params, chains.visible)
            return weighted_mean(data, batch.weights) - jnp.mean(negative)

        def reconstruct(m):
            inputs = product(params.weights[0], m)
            return model.units[0].mean_state(params.units[0], inputs)

        value, gradient = jax.value_and_grad(contrast)(params)
        means = jax.vmap(reconstruct)(q.activities[0])
        metrics = {
            "reconstruction_error": mean_squared_error(
                batch.values, means, batch.weights
            ),
            "contrast": value,
            "residual": jnp.max(q.residual),
            "unconverged": weighted_mean(
                jnp.where(q.residual > self.tolerance, 1.0, 0.0), batch.weights
            ),
            "sweeps": jnp.max(q.num_sweeps),
        }
        return gradient, chains, metrics


def _check_ascent(tolerance: float, max_sweeps: int) -> None:
    if tolerance < 0 or max_sweeps < 1:
        raise InvalidValue(
            f"`tolerance` is {tolerance} and `max_sweeps` {max_sweeps} but mean field "
            "needs a tolerance of at least 0 and at least 1 sweep."
        )
