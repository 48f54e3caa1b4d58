"""A spike-and-slab RBM on the path from an independent base to itself."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Key

from jboltz import random
from jboltz.base import State
from jboltz.models.annealed import AnnealedParams
from jboltz.models.spike_and_slab import SpikeAndSlab, SpikeSlab
from jboltz.products import full_product
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.gaussian import Gaussian, GaussianParams
from jboltz.units.start import start_of

_LOG_2PI = math.log(2 * math.pi)


@dataclasses.dataclass(frozen=True)
class AnnealedSpikeAndSlab:
    """The model with √β W, √β μ, β Φ, β b, β a, β Λ and α, plus (1 − β) E_base(x).

    The base is a Gaussian of x with independent uniform spikes and normal slabs. The
    log-odds of a spike are then β g_i(x), where g_i(x) are the log-odds in the model:

      F_β(x) = (1 − β) E_base(x) + β (½ xᵀΛx − a·x) − Σ_i [softplus(β g_i(x))
        + ½ log 2π/α_i],

    so that every rung between a proper base and a proper model is proper. Mixing the
    energies, with W and μ multiplied by β, would make part of the log-odds grow as β².
    """

    model: SpikeAndSlab

    def init(self, key: Key[Array, ""], *, data: State | None = None) -> AnnealedParams:
        """The model's initial parameters and a standard normal base, at β = 1; both are
        fitted to `data`, (examples, num_visible), where given."""
        return AnnealedParams(
            params=self.model.init(key, data=data),
            base=(start_of(Gaussian(self.model.num_visible), data),),
            beta=jnp.ones(()),
        )

    def check_normalizable(self, params: AnnealedParams) -> None:
        """At β = 1 refuses a model whose Z is infinite; other rungs are not checked."""
        if np.max(params.beta) == 1:
            self.model.check_normalizable(params.params)

    def fit_base(
        self, values: Float[Array, "examples visible"]
    ) -> tuple[GaussianParams]:
        """A base with the means and variances of `values`."""
        return (start_of(self._visible, values, "values"),)

    def base_log_partition(self, params: AnnealedParams) -> Inexact[Array, ""]:
        alpha = params.params.log_slab_precision
        hidden = jnp.sum(math.log(2) + 0.5 * (_LOG_2PI - alpha))
        (base,) = params.base
        return hidden + self._visible.log_normalizer(base, jnp.zeros_like(base.mean))

    def energy(
        self, params: AnnealedParams, v: State, h: SpikeSlab
    ) -> Inexact[Array, ""]:
        """E_β(x, h, s) in nats."""
        self.model.check_hidden(h)
        own, beta = params.params, params.beta
        mean, log_odds = self.model.given_visible(own, v)
        # Completing the square, the model has Σ [½ α (s − h E[s | x, h = 1])² − h g].
        alpha = jnp.exp(own.log_slab_precision)
        residual = h.slabs - jnp.sqrt(beta) * mean * h.spikes
        field = beta * (own.spike_bias + log_odds)
        hidden = jnp.sum(0.5 * alpha * residual**2) - full_product(field, h.spikes)
        return self._visible_energy(params, v) + hidden

    def free_energy(self, params: AnnealedParams, v: State) -> Inexact[Array, ""]:
        """−log ∫ dh ds exp(−E_β(x, h, s)), in nats."""
        own = params.params
        _, log_odds = self.model.given_visible(own, v)
        spikes = self._spikes.log_normalizer(*self._rung(params, log_odds))
        slabs = 0.5 * jnp.sum(_LOG_2PI - own.log_slab_precision)
        return self._visible_energy(params, v) - spikes - slabs

    def log_weight(
        self, here: AnnealedParams, there: AnnealedParams, v: State
    ) -> Inexact[Array, ""]:
        """F_β(x) − F_β′(x) of two rungs of one model, in nats, without cancellation."""
        own, (base,), betas = here.params, here.base, (here.beta, there.beta)
        _, log_odds = self.model.given_visible(own, v)
        bias = BernoulliParams(bias=own.spike_bias)
        zero = BernoulliParams(bias=jnp.zeros_like(own.spike_bias))
        gain = self._spikes.log_normalizer_change(bias, zero, log_odds, betas)
        energy = self.model.visible_energy(own, v) - self._visible.energy(base, v)
        return gain - (there.beta - here.beta) * energy

    def sample_hidden(
        self, params: AnnealedParams, v: State, key: Key[Array, ""]
    ) -> SpikeSlab:
        """A joint draw of spikes and slabs."""
        key_spikes, key_slabs = random.split(key)
        own = params.params
        mean, log_odds = self.model.given_visible(own, v)
        spikes = self._spikes.sample(*self._rung(params, log_odds), key_spikes)
        noise = random.normal(key_slabs, mean.shape, mean.dtype)
        scale = jnp.exp(-0.5 * own.log_slab_precision)
        slabs = jnp.sqrt(params.beta) * mean * spikes + scale * noise
        return SpikeSlab(spikes=spikes, slabs=slabs)

    def sample_visible(
        self, params: AnnealedParams, h: SpikeSlab, key: Key[Array, ""]
    ) -> Float[Array, " visible"]:
        """A draw from N(C(√β W(s⊙h) + βa + (1 − β)Λ₀m), C), with
        C⁻¹ = (1 − β)Λ₀ + β(Λ + Σ Φ_i h_i)."""
        own, (base,), beta = params.params, params.base, params.beta
        linear, precision = self.model.given_hidden(own, h)
        # The weights are scaled by √β, the bias by β.
        linear = jnp.sqrt(beta) * (linear - own.visible_bias) + beta * own.visible_bias
        base_precision = (1 - beta) * jnp.exp(-base.log_variance)
        precision = base_precision + beta * precision
        mean = (base_precision * base.mean + linear) / precision
        noise = random.normal(key, mean.shape, mean.dtype)
        return mean + jax.lax.rsqrt(precision) * noise

    def sample_start(
        self, params: AnnealedParams, key: Key[Array, ""]
    ) -> Float[Array, " visible"]:
        """An exact draw of x from the base, for any β."""
        (base,) = params.base
        return self._visible.sample(base, jnp.zeros_like(base.mean), key)

    @property
    def _visible(self) -> Gaussian:
        return Gaussian(self.model.num_visible)

    @property
    def _spikes(self) -> Bernoulli:
        return Bernoulli(self.model.num_hidden)

    def _rung(self, params, log_odds):
        """The parameters and the (zero) inputs of the spikes at this rung."""
        field = params.beta * (params.params.spike_bias + log_odds)
        return BernoulliParams(bias=field), jnp.zeros_like(field)

    def _visible_energy(self, params, v):
        (base,), beta = params.base, params.beta
        own = self.model.visible_energy(params.params, v)
        return (1 - beta) * self._visible.energy(base, v) + beta * own
