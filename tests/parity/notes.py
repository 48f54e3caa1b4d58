"""The PyTorch notes' Gaussian and spike-and-slab RBM, and their CD, as they stand.

For parity alone. Their conditionals belong to no joint distribution (`exact` is False),
so there is no energy, and their CD follows the gradient of nothing. The models are
`RBM(Gaussian, Bernoulli)` and `SpikeAndSlab`.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import Batch, Leaf, Metrics, Params, State, record
from jboltz.checks import check_shape
from jboltz.models.rbm import INIT_SCALE
from jboltz.models.spike_and_slab import SpikeSlab
from jboltz.products import product


@record
class NotesGaussianParams:
    """The parameters of the notes' GRBM; its σ is not among them."""

    weights: Leaf  # (num_visible, num_hidden)
    visible_bias: Leaf  # (num_visible,)
    hidden_bias: Leaf  # (num_hidden,)


@dataclasses.dataclass(frozen=True)
class NotesGaussianRBM:
    """h ~ σ(vW + c), v ~ N(Wh + b, σ²I): the inputs of h should be vW/σ².

    At σ = 1 it is `RBM(Gaussian, Bernoulli)` with log-variance 0.
    """

    num_visible: int
    num_hidden: int
    sigma: float = 1.0

    exact: ClassVar[bool] = False

    def init(self, key: Key[Array, ""]) -> NotesGaussianParams:
        """Weights from N(0, 0.01²), zero biases."""
        return NotesGaussianParams(
            weights=_init_weights(self, key),
            visible_bias=jnp.zeros(self.num_visible),
            hidden_bias=jnp.zeros(self.num_hidden),
        )

    def mean_spikes(
        self, params: NotesGaussianParams, v: State
    ) -> Float[Array, " hidden"]:
        """p(h = 1 | v)."""
        return jax.nn.sigmoid(self._log_odds(params, v))

    def sample_hidden(
        self, params: NotesGaussianParams, v: State, key: Key[Array, ""]
    ) -> Float[Array, " hidden"]:
        """A draw by `mean_spikes`."""
        return _draw(self._log_odds(params, v), key)

    def sample_visible(
        self, params: NotesGaussianParams, h: State, key: Key[Array, ""]
    ) -> Float[Array, " visible"]:
        """A draw from N(Wh + b, σ²I)."""
        check_shape("h", h, (self.num_hidden,), self)
        mean = product(params.weights, h) + params.visible_bias
        return mean + self.sigma * random.normal(key, mean.shape, mean.dtype)

    def ascent(
        self,
        params: NotesGaussianParams,
        v: Float[Array, "batch visible"],
        v_k: Float[Array, "batch visible"],
    ) -> NotesGaussianParams:
        """What CD adds to the parameters, at learning rate 1."""
        p, p_k = (_over(self.mean_spikes, params, x) for x in (v, v_k))
        return NotesGaussianParams(
            weights=(product(v.T, p) - product(v_k.T, p_k)) / len(v),
            visible_bias=jnp.mean(v - v_k, axis=0),
            hidden_bias=jnp.mean(p - p_k, axis=0),
        )

    def _log_odds(self, params, v):
        check_shape("v", v, (self.num_visible,), self)
        return product(v, params.weights) + params.hidden_bias


@record
class NotesSpikeAndSlabParams:
    """The parameters of the notes' ssRBM."""

    weights: Leaf  # (num_visible, num_hidden)
    visible_bias: Leaf  # (num_visible,)
    spike_bias: Leaf  # (num_hidden,), their s_bias
    slab_bias: Leaf  # (num_hidden,), their z_bias


@dataclasses.dataclass(frozen=True)
class NotesSpikeAndSlab:
    """h ~ σ(vW + b), s ~ N((vW + c)⊙h, σ²I), v ~ N(Ws + a, σ²I).

    Slabs whose spike is off are noise, and reach the pixels all the same. The notes
    train it only for as many visible as hidden units: their update of the slab bias is
    an average over the hidden units, a vector with one number a pixel.
    """

    num_visible: int
    num_hidden: int
    sigma: float = 1.0

    exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.num_visible != self.num_hidden:
            raise ValueError(
                f"`num_visible` is {self.num_visible} and `num_hidden` "
                f"{self.num_hidden}, but the notes update the slab bias, one number a "
                "hidden unit, by one number a pixel, so the two need to be equal; for "
                "other sizes use `SpikeAndSlab`, whose updates are right."
            )

    def init(self, key: Key[Array, ""]) -> NotesSpikeAndSlabParams:
        """Weights from N(0, 0.01²), zero biases."""
        return NotesSpikeAndSlabParams(
            weights=_init_weights(self, key),
            visible_bias=jnp.zeros(self.num_visible),
            spike_bias=jnp.zeros(self.num_hidden),
            slab_bias=jnp.zeros(self.num_hidden),
        )

    def mean_spikes(
        self, params: NotesSpikeAndSlabParams, v: State
    ) -> Float[Array, " hidden"]:
        """p(h = 1 | v)."""
        return jax.nn.sigmoid(self._log_odds(params, v))

    def sample_hidden(
        self, params: NotesSpikeAndSlabParams, v: State, key: Key[Array, ""]
    ) -> SpikeSlab:
        """Spikes by `mean_spikes`, then slabs."""
        key_spikes, key_slabs = random.split(key)
        spikes = _draw(self._log_odds(params, v), key_spikes)
        noise = random.normal(key_slabs, spikes.shape, spikes.dtype)
        mean = product(v, params.weights) + params.slab_bias
        slabs = mean * spikes + self.sigma * noise
        return SpikeSlab(spikes=spikes, slabs=slabs)

    def sample_visible(
        self, params: NotesSpikeAndSlabParams, h: State, key: Key[Array, ""]
    ) -> Float[Array, " visible"]:
        """A draw from N(Ws + a, σ²I), whatever the spikes are."""
        check_shape("h.slabs", h.slabs, (self.num_hidden,), self)
        mean = product(params.weights, h.slabs) + params.visible_bias
        return mean + self.sigma * random.normal(key, mean.shape, mean.dtype)

    def ascent(
        self,
        params: NotesSpikeAndSlabParams,
        v: Float[Array, "batch visible"],
        v_k: Float[Array, "batch visible"],
    ) -> NotesSpikeAndSlabParams:
        """What CD adds to the parameters, at learning rate 1.

        The slab bias moves by the mean over hidden units of the sum over examples.
        """
        p, p_k = (_over(self.mean_spikes, params, x) for x in (v, v_k))
        sums = product(v.T, p) - product(v_k.T, p_k)
        return NotesSpikeAndSlabParams(
            weights=sums / len(v),
            visible_bias=jnp.mean(v - v_k, axis=0),
            spike_bias=jnp.mean(p - p_k, axis=0),
            slab_bias=jnp.mean(sums, axis=1),
        )

    def _log_odds(self, params, v):
        check_shape("v", v, (self.num_visible,), self)
        return product(v, params.weights) + params.spike_bias


@dataclasses.dataclass(frozen=True)
class NotesContrastiveDivergence:
    """The notes' CD-k as an `Estimator`: with `optax.sgd(lr)` it takes their steps.

    Step t of the chain from example i draws from `fold_in(fold_in(key, i), t)`.
    """

    model: NotesGaussianRBM | NotesSpikeAndSlab
    num_steps: int = 1

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise ValueError(
                f"`num_steps` is {self.num_steps} but a chain needs at least 1 step."
            )

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        del params, key
        return ()

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """Minus the notes' ascent; `reconstruction_error` is mean((v − v_k)²)."""
        if batch.mask is not None or batch.weights is not None:
            raise ValueError(
                "`batch` has weights or a mask but the notes have neither; pass the "
                "values alone."
            )
        v = batch.values
        keys = random.fold_in_range(key, len(v))
        v_k = jax.vmap(self._chain, in_axes=(None, 0, 0))(params, v, keys)
        gradient = jax.tree.map(jnp.negative, self.model.ascent(params, v, v_k))
        return gradient, state, {"reconstruction_error": jnp.mean((v - v_k) ** 2)}

    def _chain(self, params, v, key):
        def step(t, v):
            key_h, key_v = random.split(random.fold_in(key, t))
            h = self.model.sample_hidden(params, v, key_h)
            return self.model.sample_visible(params, h, key_v)

        return jax.lax.fori_loop(0, self.num_steps, step, v)


def _init_weights(model, key):
    return INIT_SCALE * jax.random.normal(key, (model.num_visible, model.num_hidden))


def _draw(log_odds, key):
    p = jax.nn.sigmoid(random.widened(log_odds))
    return (random.uniform(key, p.shape, p.dtype) < p).astype(log_odds.dtype)


def _over(function, params, x):
    return jax.vmap(function, in_axes=(None, 0))(params, x)
