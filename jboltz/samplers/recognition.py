"""Sampling of a DBN with a part of its visible state held."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.abilities import DirectedModel
from jboltz.base import Metrics, State, hold, is_exact
from jboltz.checks import cast_states, check_count
from jboltz.errors import InvalidType
from jboltz.models.dbn import DBNParams
from jboltz.samplers.gibbs import ClampedState
from jboltz.samplers.masks import as_mask


@dataclasses.dataclass(frozen=True)
class ClampedRecognition:
    """A kernel of a DBN with units held: p(v, h¹ … hᴸ | held part of v) is invariant.

    A step draws the free part of v from p(v | h¹). The posterior of the hidden layers
    does not factorise, so (h¹ … hᴸ⁻¹) is chosen among its old value and `num_proposals`
    samples of q, the pass upwards, with the log weights

        log p(v, h¹ … hᴸ⁻¹)/q(h¹ … hᴸ⁻¹ | v) = Σ_l [F_l(hˡ) − F_{l+1}(hˡ)] + const,

    where F_l(hˡ) is the free energy of hˡ as the hidden layer of RBM l, and F_{l+1}(hˡ)
    as the visible layer of the next RBM. Last, hᴸ ~ p(hᴸ | hᴸ⁻¹). The kernel is exact
    for any number of proposals. The metric `acceptance` is 1 if a new value is chosen.
    It is near 0 if q is far from the posterior, and chains then hardly move.

    Reference:
      Andrieu, Lee & Vihola (2018), Uniform ergodicity of the iterated conditional SMC
      and geometric ergodicity of particle Gibbs samplers.
    """

    model: DirectedModel
    num_proposals: int = 8

    def __post_init__(self) -> None:
        check_count("num_proposals", self.num_proposals, at_least=1)
        units = [self.model.layers[0].visible, *(x.hidden for x in self.model.layers)]
        for unit in units:
            if not is_exact(unit):
                raise InvalidType(
                    f"`model` has the layer {unit}, whose draws have no known density, "
                    "but sampling with held units needs it; take exact units."
                )

    def init(
        self, params: DBNParams, v: State, key: Key[Array, ""], *, clamp: State = False
    ) -> ClampedState:
        """A chain at `v`, whose hidden layers are sampled upwards.

        Args:
          clamp: the held units, see `as_mask`.
        """
        params, v = hold(self, params, cast_states(v, params))
        hidden = self.model.sample_layers_up(params, v, key)
        held = as_mask(self.model, clamp, v)
        return ClampedState(visible=v, hidden=hidden, clamp=held)

    def step(
        self, params: DBNParams, state: ClampedState, key: Key[Array, ""]
    ) -> tuple[ClampedState, Metrics]:
        params, state = hold(self, params, state)
        key_v, key_up, key_choice, key_top = random.split(key, 4)
        lowest, top = self.model.layers[0], self.model.layers[-1]
        drawn = lowest.sample_visible(params[0], state.hidden[0], key_v)
        v = jax.tree.map(jnp.where, state.clamp, state.visible, drawn)

        keys = random.fold_in_range(key_up, self.num_proposals)
        up = jax.vmap(self.model.sample_layers_up, in_axes=(None, None, 0))
        candidates = jax.tree.map(
            lambda old, new: jnp.concatenate([old[None], new]),
            state.hidden[:-1],
            up(params[:-1], v, keys),
        )
        log_weights = jax.vmap(
            lambda hidden: self._log_weight(params, hidden),
            axis_size=self.num_proposals + 1,
        )(candidates)
        chosen = jax.random.categorical(key_choice, random.widened(log_weights))
        hidden = jax.tree.map(lambda x: x[chosen], candidates)

        last = (v, *hidden)[-1]
        hidden = (*hidden, top.sample_hidden(params[-1], last, key_top))
        acceptance = (chosen > 0).astype(log_weights.dtype)
        state = ClampedState(visible=v, hidden=hidden, clamp=state.clamp)
        return state, {"acceptance": acceptance}

    def _log_weight(
        self, params: DBNParams, hidden: tuple[State, ...]
    ) -> Float[Array, ""]:
        """log p(v, h¹ … hᴸ⁻¹)/q(h¹ … hᴸ⁻¹ | v), without terms of `v` alone.

        The couplings of neighbouring layers are in p and in q and cancel.
        """
        log_weight = jnp.zeros((), params[0].weights.dtype)
        for index, h in enumerate(hidden):
            below, above = self.model.layers[index], self.model.layers[index + 1]
            log_weight += below.hidden_free_energy(params[index], h)
            log_weight -= above.free_energy(params[index + 1], h)
        return log_weight
