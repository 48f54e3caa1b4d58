"""The restricted Boltzmann machine over any two units."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Key

from jboltz.base import Domain, Leaf, Params, State, Unit, of_hidden, record
from jboltz.checks import check_key, check_shape, require_unit
from jboltz.models.couplings import check_couplings
from jboltz.products import full_product, product, transposed_product
from jboltz.units.start import start_of

INIT_SCALE = 0.01
"""Standard deviation of the initial weights: Hinton (2012), A Practical Guide to
Training Restricted Boltzmann Machines, section 8."""


@record
class RBMParams:
    """The parameters of an RBM: the records of the two units, and the weights."""

    visible: Params  #: of the visible unit
    hidden: Params = of_hidden(-1)  #: of the hidden unit
    weights: Leaf = of_hidden(-1)  #: (num_visible, num_hidden)


@dataclasses.dataclass(frozen=True)
class RBM:
    """E(v, h) = E_v(v) + E_h(h) − a_v(v)ᵀ W a_h(h).

    Methods take one configuration; `jax.vmap` adds batches and chains.

    Args:
      visible: the unit of the visible layer.
      hidden: the unit of the hidden layer.

    Example:
      >>> from jboltz import Bernoulli, Gaussian
      >>> rbm = RBM(Gaussian(784), Bernoulli(500))
      >>> params = rbm.init(jax.random.key(0))
      >>> params.weights.shape, rbm.free_energy(params, jnp.zeros(784)).shape
      ((784, 500), ())
    """

    visible: Unit
    hidden: Unit

    def __post_init__(self) -> None:
        require_unit(self.visible, "an RBM", "visible")
        require_unit(self.hidden, "an RBM", "hidden")

    def init(self, key: Key[Array, ""], *, data: State | None = None) -> RBMParams:
        """Weights from N(0, 0.01²); units by their `init`.

        Args:
          data: examples, (examples, *shape), that the visible units are fitted to, or
            a `Batch` of them with weights or gaps. Without it, sparse data can drive
            all hidden units into saturation.
        """
        check_key(key)
        shape = (self.visible.size, self.hidden.size)
        return RBMParams(
            visible=start_of(self.visible, data),
            hidden=self.hidden.init(),
            weights=INIT_SCALE * jax.random.normal(key, shape),
        )

    def energy(self, params: RBMParams, v: State, h: State) -> Inexact[Array, ""]:
        """E(v, h) in nats."""
        check_shape("h", h, self.hidden.shape, f"{self}.hidden")
        inputs = self.hidden_inputs(params, v)
        return (
            self.visible.energy(params.visible, v)
            + self.hidden.energy(params.hidden, h)
            - full_product(inputs, self.hidden.activity(params.hidden, h))
        )

    def free_energy(self, params: RBMParams, v: State) -> Inexact[Array, ""]:
        """F(v) = E_v(v) − Γ_h(a_v(v)ᵀ W) = −log ∫ dh exp(−E(v, h)).

        The values of `v` are not checked: F of a gray v is no −log p(v), and scores of
        data come from `anomaly_scores`.

        Returns:
          F(v) in nats, equal to −log p(v) − log Z.

        Raises:
          ValueError: `v` is batched or has the wrong shape.
        """
        inputs = self.hidden_inputs(params, v)
        energy = self.visible.energy(params.visible, v)
        return energy - self.hidden.log_normalizer(params.hidden, inputs)

    def hidden_free_energy(self, params: RBMParams, h: State) -> Inexact[Array, ""]:
        """F(h) = E_h(h) − Γ_v(W a_h(h)) = −log ∫ dv exp(−E(v, h)), in nats."""
        inputs = self.visible_inputs(params, h)
        energy = self.hidden.energy(params.hidden, h)
        return energy - self.visible.log_normalizer(params.visible, inputs)

    def hidden_inputs(self, params: RBMParams, v: State) -> Inexact[Array, " hidden"]:
        """a_v(v)ᵀ W, without the hidden bias."""
        check_shape("v", v, self.visible.shape, f"{self}.visible")
        self._check_weights(params, 0, self.visible.size)
        return product(self.visible.activity(params.visible, v), params.weights)

    def visible_inputs(self, params: RBMParams, h: State) -> Inexact[Array, " visible"]:
        """W a_h(h), without the visible bias."""
        check_shape("h", h, self.hidden.shape, f"{self}.hidden")
        self._check_weights(params, 1, self.hidden.size)
        activity = self.hidden.activity(params.hidden, h)
        return transposed_product(activity, params.weights)

    def _check_weights(self, params: RBMParams, axis: int, size: int) -> None:
        """Checks the axis that is summed over; `shard_map` may divide the other one."""
        shape = list(params.weights.shape)
        shape[axis] = size
        check_shape("params.weights", params.weights, tuple(shape), self)

    def sample_hidden(self, params: RBMParams, v: State, key: Key[Array, ""]) -> State:
        """A draw from p(h | v)."""
        inputs = self.hidden_inputs(params, v)
        return self.hidden.sample(params.hidden, inputs, key)

    def sample_visible(self, params: RBMParams, h: State, key: Key[Array, ""]) -> State:
        """A draw from p(v | h)."""
        inputs = self.visible_inputs(params, h)
        return self.visible.sample(params.visible, inputs, key)

    def hidden_log_probability(
        self, params: RBMParams, v: State, h: State
    ) -> Inexact[Array, ""]:
        """log p(h | v) in nats."""
        inputs = self.hidden_inputs(params, v)
        return _log_probability(self.hidden, params.hidden, inputs, h)

    def visible_log_probability(
        self, params: RBMParams, v: State, h: State
    ) -> Inexact[Array, ""]:
        """log p(v | h) in nats."""
        inputs = self.visible_inputs(params, h)
        return _log_probability(self.visible, params.visible, inputs, v)

    def sample_start(self, params: RBMParams, key: Key[Array, ""]) -> State:
        """A draw of the visible units with zero inputs."""
        inputs = jnp.zeros(self.visible.size, params.weights.dtype)
        return self.visible.sample(params.visible, inputs, key)

    def mean_hidden_state(self, params: RBMParams, v: State) -> State:
        """E[h | v], in the shape of a hidden state; for Bernoulli units p(h = 1 | v).

        A DBN passes it upwards. The gradient of the weights has E[a_h(h) | v] instead,
        `hidden.mean`, which differs for Gaussian units with σ ≠ 1.
        """
        return self.hidden.mean_state(params.hidden, self.hidden_inputs(params, v))

    def mean_visible_state(self, params: RBMParams, h: State) -> State:
        """E[v | h], in the shape of a visible state."""
        return self.visible.mean_state(params.visible, self.visible_inputs(params, h))

    def mean_activities(self, params: RBMParams, v: State) -> tuple[Array, Array]:
        """a_v(v) and E[a_h(h) | v], the mean activities of both layers given `v`."""
        hidden = self.hidden.mean(params.hidden, self.hidden_inputs(params, v))
        return self.visible.activity(params.visible, v), hidden

    def check_normalizable(self, params: RBMParams) -> None:
        """Refuses weights between two unbounded layers that make Z infinite."""
        check_couplings(self.units, *self.parts(params))

    @property
    def domain(self) -> Domain:
        return self.visible.domain

    @property
    def units(self) -> tuple[Unit, Unit]:
        return self.visible, self.hidden

    def parts(self, params: RBMParams) -> tuple[tuple[Params, ...], tuple[Array, ...]]:
        return (params.visible, params.hidden), (params.weights,)

    def blocks(self, layers: tuple[Any, ...]) -> tuple[Any, Any]:
        visible, hidden = layers
        return visible, hidden

    def from_parts(
        self, units: tuple[Params, ...], weights: tuple[Array, ...]
    ) -> RBMParams:
        (visible, hidden), (W,) = units, weights
        return RBMParams(visible=visible, hidden=hidden, weights=W)


def _log_probability(
    unit: Unit, params: Params, inputs: Inexact[Array, " size"], x: State
) -> Inexact[Array, ""]:
    """log p(x | I) = I·a(x) − E(x) − Γ(I)."""
    exponent = full_product(inputs, unit.activity(params, x)) - unit.energy(params, x)
    return exponent - unit.log_normalizer(params, inputs)
