"""Penalties Φ of the spike-and-slab RBM, which keep the precision of x positive.

A spike subtracts w_i w_iᵀ/α_i from the precision of x and adds the diagonal matrix Φ_i.
`params` is a `SpikeAndSlabParams`.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from jboltz.base import Params
from jboltz.checks import check_real
from jboltz.products import full_product, product

EDGE = 0.999
"""Largest ‖Λ^-½ W α^-½‖₂ after `NoPenalty.project`; at 1 Z is infinite."""


class _DominantPenalty:
    """A penalty with the parameter φ̂ and Φ_i ⪰ w_i w_iᵀ/α_i."""

    has_parameter = True

    def smallest_eigenvalue(self, params: Params) -> Float[Array, ""]:
        # No spike lowers the precision: all off is the worst case.
        return jnp.min(jnp.exp(params.log_visible_precision))


@dataclasses.dataclass(frozen=True)
class GershgorinPenalty(_DominantPenalty):
    """Φ_i = diag_j(φ̂_i + |W_ji| ‖w_i‖₁/α_i), which dominates w_i w_iᵀ/α_i row by row.

    No diagonal bound on w_i w_iᵀ/α_i has a smaller trace than this one, ‖w_i‖₁²/α_i.
    It costs two more matrix products per step.
    """

    def of_visible(
        self, params: Params, squares: Float[Array, " visible"]
    ) -> Inexact[Array, " hidden"]:
        """xᵀ Φ_i x of each hidden unit; `squares` is x²."""
        flat = jnp.exp(params.log_penalty) * jnp.sum(squares)
        return flat + product(squares, jnp.abs(params.weights)) * self._reach(params)

    def of_spikes(
        self, params: Params, spikes: Float[Array, " hidden"]
    ) -> Inexact[Array, " visible"]:
        """The diagonal of Σ_i Φ_i h_i."""
        flat = full_product(jnp.exp(params.log_penalty), spikes)
        return flat + product(jnp.abs(params.weights), self._reach(params) * spikes)

    def _reach(self, params: Params) -> Inexact[Array, " hidden"]:
        reason = "|W| has no complex derivative; take `NormPenalty`"
        check_real("params.weights", params.weights, self, reason)
        norm = jnp.sum(jnp.abs(params.weights), axis=0)
        return norm * jnp.exp(-params.log_slab_precision)


@dataclasses.dataclass(frozen=True)
class NormPenalty(_DominantPenalty):
    """Φ_i = (φ̂_i + ‖w_i‖²/α_i) I, the same for every visible unit."""

    def of_visible(
        self, params: Params, squares: Float[Array, " visible"]
    ) -> Inexact[Array, " hidden"]:
        """xᵀ Φ_i x of each hidden unit; `squares` is x²."""
        return self._flat(params) * jnp.sum(squares)

    def of_spikes(
        self, params: Params, spikes: Float[Array, " hidden"]
    ) -> Inexact[Array, " visible"]:
        """The diagonal of Σ_i Φ_i h_i."""
        flat = full_product(self._flat(params), spikes)
        return jnp.full_like(params.visible_bias, flat)

    def _flat(self, params: Params) -> Inexact[Array, " hidden"]:
        norm = jnp.sum(params.weights**2, axis=0)
        return jnp.exp(params.log_penalty) + norm * jnp.exp(-params.log_slab_precision)


@dataclasses.dataclass(frozen=True)
class NoPenalty:
    """Φ = 0; Z is finite if and only if ‖Λ^-½ W α^-½‖₂ < 1.

    An update may break this bound, so call `project` after every update, in the train
    step or as the last transformation of the optimizer.
    """

    has_parameter = False

    def of_visible(
        self, params: Params, squares: Float[Array, " visible"]
    ) -> Inexact[Array, " hidden"]:
        del squares
        return jnp.zeros_like(params.spike_bias)

    def of_spikes(
        self, params: Params, spikes: Float[Array, " hidden"]
    ) -> Inexact[Array, " visible"]:
        del spikes
        return jnp.zeros_like(params.visible_bias)

    def smallest_eigenvalue(self, params: Params) -> Float[Array, ""]:
        # Every spike subtracts a positive semidefinite matrix: all on is the worst.
        scaled = params.weights * jnp.exp(-0.5 * params.log_slab_precision)[None]
        precision = jnp.diag(jnp.exp(params.log_visible_precision))
        return jnp.linalg.eigvalsh(precision - full_product(scaled, scaled.T))[0]

    def project(self, params: Params) -> Params:
        """The nearest W with ‖Λ^-½ W α^-½‖₂ ≤ 0.999, by cutting singular values.

        It is nearest in the Frobenius norm of Λ^-½ W α^-½. If W were scaled down
        instead, one large singular value would shrink all filters.
        """
        left = jnp.exp(-0.5 * params.log_visible_precision)[:, None]
        right = jnp.exp(-0.5 * params.log_slab_precision)[None]
        scaled = left * params.weights * right
        U, values, V = jnp.linalg.svd(scaled, full_matrices=False)
        excess = full_product(U * jax.nn.relu(values - EDGE)[None], V)
        return dataclasses.replace(
            params, weights=params.weights - excess / left / right
        )
