"""A variational autoencoder of binary pixels with a Gaussian code, trained by `fit`."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import Batch, Domain, Metrics, Params, State
from jboltz.domains import UnitInterval
from jboltz.errors import InvalidValue
from jboltz.learning.batch import complete, mean_gradient
from jboltz.learning.best import keep_least
from jboltz.learning.step import TrainState
from jboltz.products import full_precision


class VAE(nn.Module):
    """p(v, z) = N(z; 0, I) Π_i p(v_i | z), and q(z | v) = N(z; μ(v), diag σ²(v)).

    Networks of tanh layers with linear outputs give the log-odds of the pixels from z,
    and μ and log σ² from v. Methods take one example; `vae.init(key, v)["params"]`
    draws parameters.

    Reference:
      Kingma & Welling (2014), Auto-encoding variational Bayes.
    """

    num_visible: int
    hidden: tuple[int, ...]
    """The units of the hidden layers from v to z, and in reverse from z to v. () makes
    the log-odds linear in z."""
    code_size: int

    def setup(self) -> None:
        if min(self.num_visible, *self.hidden, self.code_size) < 1:
            raise InvalidValue(
                f"The layers have {self.num_visible}, {self.hidden} and "
                f"{self.code_size} units but each needs at least 1 unit."
            )
        sizes = list(enumerate(self.hidden, start=1))
        self.up = [nn.Dense(size, name=f"up_{layer}") for layer, size in sizes]
        self.down = [
            nn.Dense(size, name=f"down_{layer}") for layer, size in sizes[::-1]
        ]
        self.mean = nn.Dense(self.code_size)
        self.log_variance = nn.Dense(self.code_size)
        self.pixels = nn.Dense(self.num_visible)

    def encode(
        self, v: Float[Array, " visible"]
    ) -> tuple[Float[Array, " code"], Float[Array, " code"]]:
        """μ(v) and log σ²(v); `v` may have gray values."""
        for layer in self.up:
            v = nn.tanh(layer(v))
        return self.mean(v), self.log_variance(v)

    def decode(self, z: Float[Array, " code"]) -> Float[Array, " visible"]:
        """The log-odds of the pixels given the code `z`."""
        for layer in self.down:
            z = nn.tanh(layer(z))
        return self.pixels(z)

    def __call__(self, v: Float[Array, " visible"]) -> Float[Array, " visible"]:
        """The log-odds of the pixels given the mean code μ(v)."""
        mean, _ = self.encode(v)
        return self.decode(mean)

    @property
    def domain(self) -> Domain:
        return UnitInterval()


@dataclasses.dataclass(frozen=True)
class NegativeELBO:
    """The gradient of the mean −ELBO, in nats, as an estimator.

    The code μ + σ ε of example i draws ε from `fold_in(key, i)`; the gradient passes
    through μ and σ.
    """

    model: VAE

    def init(self, params: Params, key: Key[Array, ""]) -> State:
        del params, key
        return ()

    def estimate(
        self, params: Params, state: State, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Params, State, Metrics]:
        """The metrics are `negative_elbo`, and its part `kl`, KL(q(z | v) ‖ p(z))."""
        batch = complete(batch, params)
        keys = random.fold_in_rows(key, batch.values)
        gradient, metrics = mean_gradient(
            partial(_loss, self.model), params, (batch.values, keys), batch.weights
        )
        return gradient, state, metrics


@full_precision
def elbo(
    vae: VAE, params: Params, v: Float[Array, " visible"], key: Key[Array, ""]
) -> Float[Array, ""]:
    """log p(v | z) − KL(q(z | v) ‖ p(z)) at one z ~ q(z | v), in nats.

    Its expectation is a lower bound on log p(v). `key` draws z.
    """
    loss, _ = _loss(vae, params, v, key)
    return -loss


def keep_best_elbo(
    vae: VAE, held_out: Float[Array, "examples visible"], key: Key[Array, ""]
) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
    """An `end_epoch` for `fit` that keeps the parameters of the best held-out ELBO.

    Example i draws from `fold_in(key, i)` after every epoch.

    Returns:
      `state -> (state, metrics)`, with `held_out_negative_elbo`.
    """
    keys = random.fold_in_range(key, len(held_out))
    return keep_least(
        lambda params: {"negative_elbo": _mean_loss(vae, params, held_out, keys)},
        "negative_elbo",
    )


@partial(jax.jit, static_argnames="vae")
def _mean_loss(vae, params, data, keys):
    losses = jax.lax.map(lambda x: -elbo(vae, params, *x), (data, keys), batch_size=500)
    return jnp.mean(losses)


@full_precision
def log_weight(
    vae: VAE, params: Params, v: Float[Array, " visible"], key: Key[Array, ""]
) -> Float[Array, ""]:
    """log w = log p(v, z) − log q(z | v) at one z ~ q(z | v), in nats: E[w] = p(v).

    `key` draws z.
    """
    mean, log_variance = _encode(vae, params, v)
    z, noise = _draw(mean, log_variance, key)
    # log p(z) − log q(z | v); the terms with 2π cancel.
    ratio = 0.5 * jnp.sum(noise**2 - z**2 + log_variance)
    return log_likelihood_of_pixels(_decode(vae, params, z), v) + ratio


def kl_to_prior(
    mean: Float[Array, " code"], log_variance: Float[Array, " code"]
) -> Float[Array, ""]:
    """KL(N(μ, diag σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − 1 − log σ²), in nats."""
    return 0.5 * jnp.sum(mean**2 + jnp.expm1(log_variance) - log_variance)


def log_likelihood_of_pixels(
    log_odds: Float[Array, " visible"], v: Float[Array, " visible"]
) -> Float[Array, ""]:
    """Σ_i v_i log p_i + (1 − v_i) log(1 − p_i), in nats; for gray `v`, its mean over
    binary images with means `v`."""
    return jnp.sum(v * log_odds - jax.nn.softplus(log_odds))


@full_precision
def picture_from_prior(
    vae: VAE, params: Params, key: Key[Array, ""]
) -> Float[Array, " visible"]:
    """The means of the pixels given a code z ~ N(0, I)."""
    bias = params["mean"]["bias"]
    z = random.normal(key, bias.shape, bias.dtype)
    return jax.nn.sigmoid(_decode(vae, params, z))


def _loss(vae, params, v, key):
    """The −ELBO of one example at one z ~ q(z | v), and the metrics."""
    mean, log_variance = _encode(vae, params, v)
    z, _ = _draw(mean, log_variance, key)
    kl = kl_to_prior(mean, log_variance)
    loss = kl - log_likelihood_of_pixels(_decode(vae, params, z), v)
    return loss, {"negative_elbo": loss, "kl": kl}


def _draw(mean, log_variance, key):
    """z = μ + σ ε, and ε."""
    noise = random.normal(key, mean.shape, mean.dtype)
    return mean + jnp.exp(0.5 * log_variance) * noise, noise


def _encode(vae, params, v) -> Any:
    return vae.apply({"params": params}, v, method="encode")


def _decode(vae, params, z) -> Any:
    return vae.apply({"params": params}, z, method="decode")
