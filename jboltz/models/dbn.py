"""The deep belief network: a stack of RBMs, the top one undirected."""

import dataclasses
import itertools

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.abilities import TwoLayerModel
from jboltz.base import Domain, State, Unit
from jboltz.checks import check_key, check_tuple, require
from jboltz.errors import InvalidValue
from jboltz.models.rbm import RBM, RBMParams

DBNParams = tuple[RBMParams, ...]
"""One record a layer, bottom first."""


@dataclasses.dataclass(frozen=True)
class DBN:
    """p(v, h¹ … hᴸ) = p(v | h¹) … p(hᴸ⁻² | hᴸ⁻¹) · p_RBM(hᴸ⁻¹, hᴸ).

    `layers` are RBMs, bottom first: the hidden unit of each is the visible unit of
    the next. The way up is the factorial approximation q(hˡ | hˡ⁻¹), each RBM's own
    p(h | v); the way down is exact.

    Reference:
      Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief nets.

    Example:
      >>> from jboltz import Bernoulli
      >>> dbn = DBN.chain(Bernoulli(784), Bernoulli(500), Bernoulli(200))
      >>> params = dbn.init(jax.random.key(0))  # one record a layer
      >>> dbn.encode(params, jnp.zeros(784)).shape
      (200,)
    """

    layers: tuple[RBM, ...]

    def __post_init__(self) -> None:
        check_tuple(self, "layers", "`DBN.chain(Bernoulli(9), Bernoulli(5))`")
        if not self.layers:
            raise InvalidValue("`layers` is empty but a DBN needs at least one RBM.")
        for index, layer in enumerate(self.layers):
            require(layer, TwoLayerModel, "a DBN", f"layers[{index}]")
        for index, (lower, upper) in enumerate(
            itertools.pairwise(self.layers), start=1
        ):
            if lower.hidden != upper.visible:
                raise InvalidValue(
                    f"`layers` do not chain: layer {index} ends in {lower.hidden} but "
                    f"layer {index + 1} begins with {upper.visible}; make them equal."
                )

    @classmethod
    def chain(cls, *units: Unit) -> "DBN":
        """The DBN over these units: `DBN.chain(Bernoulli(784), Bernoulli(500), …)`."""
        return cls(tuple(RBM(v, h) for v, h in itertools.pairwise(units)))

    def init(self, key: Key[Array, ""], *, data: State | None = None) -> DBNParams:
        """Layer i is initialised from `fold_in(key, i)`.

        Args:
          data: examples, (examples, *shape), that the visible units are fitted to.
        """
        check_key(key)
        return tuple(
            layer.init(random.fold_in(key, index), data=None if index else data)
            for index, layer in enumerate(self.layers)
        )

    def encode(self, params: DBNParams, v: State) -> State:
        """The code of `v`: means all the way up through the layers in `params`.

        With the first l records of a stack, the code of layer l.
        """
        for layer, layer_params in zip(self.layers, params, strict=False):
            v = layer.mean_hidden_state(layer_params, v)
        return v

    def decode(self, params: DBNParams, h: State) -> State:
        """The visible means of the code `h` of the top layer in `params`."""
        for layer, layer_params in reversed(
            list(zip(self.layers, params, strict=False))
        ):
            h = layer.mean_visible_state(layer_params, h)
        return h

    def reconstruct(self, params: DBNParams, v: State, *, depth: int) -> State:
        """Up to layer `depth` and down again, in means."""
        if not 1 <= depth <= len(self.layers):
            raise InvalidValue(
                f"`depth` is {depth} but this DBN has layers 1 to {len(self.layers)}."
            )
        below = params[:depth]
        return self.decode(below, self.encode(below, v))

    def sample_up(self, params: DBNParams, v: State, key: Key[Array, ""]) -> State:
        """A sampled up-pass, h¹ ~ q(h¹ | v), h² ~ q(h² | h¹), …: the last sample.

        Layer i draws from `fold_in(key, i)`.
        """
        return (v, *self.sample_layers_up(params, v, key))[-1]

    def sample_layers_up(
        self, params: DBNParams, v: State, key: Key[Array, ""]
    ) -> tuple[State, ...]:
        """The same pass, with its samples of all layers: (h¹, h², …)."""
        x, samples = v, []
        for index, (layer, layer_params) in enumerate(
            zip(self.layers, params, strict=False)
        ):
            x = layer.sample_hidden(layer_params, x, random.fold_in(key, index))
            samples.append(x)
        return tuple(samples)

    def sample_start(self, params: DBNParams, key: Key[Array, ""]) -> State:
        """A draw of the visible units with no input from the hidden ones."""
        return self.layers[0].sample_start(params[0], key)

    def mean_visible_state(self, params: DBNParams, h: tuple[State, ...]) -> State:
        """E[v | h¹]: the picture under the hidden layers `h` = (h¹, …, hᴸ)."""
        return self.layers[0].mean_visible_state(params[0], h[0])

    def sample_down(self, params: DBNParams, h: State, key: Key[Array, ""]) -> State:
        """The directed pass p(hˡ⁻¹ | hˡ) from a sample `h` of the top layer.

        `h` belongs to the topmost of `params`. Every hidden layer is sampled; the
        visible layer is returned as its mean given the sample above it, the picture.
        Layer i draws from `fold_in(key, i)`.
        """
        lowest = (*self.sample_layers_down(params, h, key), h)[1]
        return self.layers[0].mean_visible_state(params[0], lowest)

    def sample_layers_down(
        self, params: DBNParams, h: State, key: Key[Array, ""]
    ) -> tuple[State, ...]:
        """The same pass, with samples of all layers below `h`: (v, h¹, …)."""
        samples = (h,)
        for index in reversed(range(len(params))):
            layer, key_layer = self.layers[index], random.fold_in(key, index)
            x = layer.sample_visible(params[index], samples[0], key_layer)
            samples = (x, *samples)
        return samples[:-1]

    def log_probability_up(
        self, params: DBNParams, states: tuple[State, ...]
    ) -> Float[Array, ""]:
        """log q(h¹ | v) + log q(h² | h¹) + … of `states` = (v, h¹, …), in nats."""
        total = jnp.zeros(())
        for layer, p, v, h in zip(
            self.layers, params, states, states[1:], strict=False
        ):
            total += layer.hidden_log_probability(p, v, h)
        return total

    def log_probability_down(
        self, params: DBNParams, states: tuple[State, ...]
    ) -> Float[Array, ""]:
        """log p(v | h¹) + log p(h¹ | h²) + … of `states` = (v, h¹, …), in nats."""
        total = jnp.zeros(())
        for layer, p, v, h in zip(
            self.layers, params, states, states[1:], strict=False
        ):
            total += layer.visible_log_probability(p, v, h)
        return total

    def check_normalizable(self, params: DBNParams) -> None:
        """Refuses a top RBM whose Z is infinite; the layers below need none."""
        self.layers[-1].check_normalizable(params[-1])

    @property
    def domain(self) -> Domain:
        """The domain of the data."""
        return self.layers[0].domain
