"""Block Gibbs sampling, free or with a part of the visible state held."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jboltz import random
from jboltz.base import EnergyModel, Metrics, Params, State, hold, of_hidden, record
from jboltz.checks import cast_states, require
from jboltz.samplers.masks import as_mask


@record
class GibbsState:
    """The state of one chain: v and h."""

    visible: State
    hidden: State = of_hidden(-1)


@dataclasses.dataclass(frozen=True)
class Gibbs:
    """A kernel that draws v ~ p(v | h), then h ~ p(h | v); p(v, h) is invariant.

    Derivatives treat states as constants. With `is_pathwise` they pass through the
    draws at fixed noise, such as μ + σ ε of Gaussian units; through binary draws the
    derivative is zero.

    Args:
      model: the model whose states are drawn.
      is_pathwise: whether derivatives pass through the draws.

    Example:
      >>> from jboltz import RBM, Bernoulli
      >>> rbm = RBM(Bernoulli(4), Bernoulli(3))
      >>> params, key = rbm.init(jax.random.key(0)), jax.random.key(1)
      >>> state = Gibbs(rbm).init(params, jnp.zeros(4), key)
      >>> state, metrics = Gibbs(rbm).step(params, state, key)
      >>> state.visible.shape, state.hidden.shape
      ((4,), (3,))
    """

    model: EnergyModel
    _: dataclasses.KW_ONLY
    is_pathwise: bool = False

    def __post_init__(self) -> None:
        require(self.model, EnergyModel, "Gibbs sampling")

    def init(self, params: Params, v: State, key: Key[Array, ""]) -> GibbsState:
        """A chain at `v`, with h ~ p(h | v)."""
        params, v = hold(self, params, cast_states(v, params))
        return GibbsState(visible=v, hidden=self.model.sample_hidden(params, v, key))

    def step(
        self, params: Params, state: GibbsState, key: Key[Array, ""]
    ) -> tuple[GibbsState, Metrics]:
        params, state = hold(self, params, state)
        key_v, key_h = random.split(key)
        v = self.model.sample_visible(params, state.hidden, key_v)
        h = self.model.sample_hidden(params, v, key_h)
        return GibbsState(visible=v, hidden=h), {}


@record
class ClampedState:
    """The state of a chain in which a part of the visible state is held.

    `sample` can hold units with every sampler whose states are of this class.
    """

    visible: State
    hidden: State = of_hidden(-1)
    clamp: State  # like `visible`, True where held


@dataclasses.dataclass(frozen=True)
class ClampedGibbs:
    """Gibbs sampling with units held: p(v, h | held part of v) is invariant.

    The visible state of a DBM is the tuple of its even layers, of which any units can
    be held; a mask of the data alone leaves the other layers free. `is_pathwise` is
    explained in `Gibbs`.

    Args:
      model: the model whose states are drawn.
      is_pathwise: whether derivatives pass through the draws.
    """

    model: EnergyModel
    _: dataclasses.KW_ONLY
    is_pathwise: bool = False

    def __post_init__(self) -> None:
        require(self.model, EnergyModel, "Gibbs sampling")

    def init(
        self, params: Params, v: State, key: Key[Array, ""], *, clamp: State = False
    ) -> ClampedState:
        """A chain at `v`, with h ~ p(h | v).

        Args:
          clamp: the held units, see `as_mask`. For a DBM one value is for the data.
        """
        params, v = hold(self, params, cast_states(v, params))
        held = as_mask(self.model, clamp, v)
        hidden = self.model.sample_hidden(params, v, key)
        return ClampedState(visible=v, hidden=hidden, clamp=held)

    def step(
        self, params: Params, state: ClampedState, key: Key[Array, ""]
    ) -> tuple[ClampedState, Metrics]:
        params, state = hold(self, params, state)
        key_v, key_h = random.split(key)
        drawn = self.model.sample_visible(params, state.hidden, key_v)
        v = jax.tree.map(jnp.where, state.clamp, state.visible, drawn)
        h = self.model.sample_hidden(params, v, key_h)
        return ClampedState(visible=v, hidden=h, clamp=state.clamp), {}
