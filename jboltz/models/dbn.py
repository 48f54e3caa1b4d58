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
"""One record per layer, bottom first."""


@dataclasses.dataclass(frozen=True)
class DBN:
    """p(v, h¹ … hᴸ) = p(v | h¹) … p(hᴸ⁻² | hᴸ⁻¹) · p_RBM(hᴸ⁻¹, hᴸ).

    `layers` are RBMs, bottom first; the hidden unit of each is the visible unit of the
    next. Upwards, q(hˡ | hˡ⁻¹) is each RBM's own p(h | v), an approximation. Downwards,
    the conditionals are exact.

    Args:
      layers: the RBMs, bottom first.

    Reference:
      Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief nets.

    Example:
      >>> from jboltz import Bernoulli
      >>> dbn = DBN.chain(Bernoulli(784), Bernoulli(500), Bernoulli(200))
      >>> params = dbn.init(jax.random.key(0))  # one record per layer
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
        """Initial parameters; layer i draws from `fold_in(key, i)`.

        Args:
          data: examples, (examples, *shape), that the visible units are fitted to.
        """
        check_key(key)
        return tuple(
            layer.init(random.fold_in(key, index), data=None if index else data)
            for index, layer in enumerate(self.layers)
        )

    def encode(self, params: DBNParams, v: State) -> State:
        """The code of `v`: the mean of the top layer, from means of the layers below.

        With the first l records as `params`, it is the code in layer l.
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
        """The visible means decoded from the code of `v` in layer `depth`."""
        if not 1 <= depth <= len(self.layers):
            raise InvalidValue(
                f"`depth` is {depth} but this DBN has layers 1 to {len(self.layers)}."
            )
        below = params[:depth]
        return self.decode(below, self.encode(below, v))

    def sample_up(self, params: DBNParams, v: State, key: Key[Array, ""]) -> State:
        """The top layer of `sample_layers_up`."""
        return (v, *self.sample_layers_up(params, v, key))[-1]

    def sample_layers_up(
        self, params: DBNParams, v: State, key: Key[Array, ""]
    ) -> tuple[State, ...]:
        """The samples (h¹, h², …) of an up-pass, h¹ ~ q(h¹ | v), h² ~ q(h² | h¹), ….

        Layer i draws from `fold_in(key, i)`.
        """
        x, samples = v, []
        for index, (layer, layer_params) in enumerate(
            zip(self.layers, params, strict=False)
        ):
            x = layer.sample_hidden(layer_params, x, random.fold_in(key, index))
            samples.append(x)
        return tuple(samples)

    def sample_start(self, params: DBNParams, key: Key[Array, ""]) -> State:
        """A draw of the visible units with zero inputs."""
        return self.layers[0].sample_start(params[0], key)

    def mean_visible_state(self, params: DBNParams, h: tuple[State, ...]) -> State:
        """E[v | h¹], given the hidden layers `h` = (h¹, …, hᴸ)."""
        return self.layers[0].mean_visible_state(params[0], h[0])

    def sample_down(self, params: DBNParams, h: State, key: Key[Array, ""]) -> State:
        """E[v | h¹] after a sampled down-pass from the state `h` of the top layer.

        With the first l records as `params`, `h` is a state of layer l. Layer i draws
        from `fold_in(key, i)`.
        """
        lowest = (*self.sample_layers_down(params, h, key), h)[1]
        return self.layers[0].mean_visible_state(params[0], lowest)

    def sample_layers_down(
        self, params: DBNParams, h: State, key: Key[Array, ""]
    ) -> tuple[State, ...]:
        """The samples (v, h¹, …) of all layers below `h`, each from p(hˡ⁻¹ | hˡ).

        Layer i draws from `fold_in(key, i)`.
        """
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
        pairs = itertools.pairwise(states)
        layers = zip(self.layers, params, pairs, strict=False)
        logs = (layer.hidden_log_probability(p, *pair) for layer, p, pair in layers)
        return sum(logs, start=jnp.zeros(()))

    def log_probability_down(
        self, params: DBNParams, states: tuple[State, ...]
    ) -> Float[Array, ""]:
        """log p(v | h¹) + log p(h¹ | h²) + … of `states` = (v, h¹, …), in nats."""
        pairs = itertools.pairwise(states)
        layers = zip(self.layers, params, pairs, strict=False)
        logs = (layer.visible_log_probability(p, *pair) for layer, p, pair in layers)
        return sum(logs, start=jnp.zeros(()))

    def check_normalizable(self, params: DBNParams) -> None:
        """Refuses a top RBM whose Z is infinite; the layers below need no Z."""
        self.layers[-1].check_normalizable(params[-1])

    @property
    def domain(self) -> Domain:
        return self.layers[0].domain
