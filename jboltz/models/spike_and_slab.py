"""The μ-ssRBM: binary spikes switch real slabs and the precision of visible units."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, ArrayLike, Float, Inexact, Key

from jboltz import random
from jboltz.base import Domain, Leaf, State, of_hidden, record
from jboltz.checks import (
    check_key,
    check_number,
    check_real,
    check_shape,
    check_size,
)
from jboltz.domains import Reals
from jboltz.errors import InvalidValue
from jboltz.models.rbm import INIT_SCALE
from jboltz.models.spike_penalty import GershgorinPenalty, NoPenalty, NormPenalty
from jboltz.products import full_product, product
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.gaussian import Gaussian
from jboltz.units.start import start_of

_LOG_2PI = math.log(2 * math.pi)


@record
class SpikeSlab:
    """The hidden state: one spike and one slab per hidden unit."""

    spikes: Leaf  # (num_hidden,) h ∈ {0, 1}
    slabs: Leaf  # (num_hidden,) s ∈ ℝ


@record
class SpikeAndSlabParams:
    """The parameters of a spike-and-slab RBM; positive ones are kept as logarithms."""

    weights: Leaf = of_hidden(-1)  #: (num_visible, num_hidden) W
    spike_bias: Leaf = of_hidden(-1)  #: (num_hidden,) b
    #: (num_hidden,) μ, mean of a slab that is on when W = 0
    slab_mean: Leaf = of_hidden(-1)
    log_slab_precision: Leaf = of_hidden(-1)  #: (num_hidden,) log α
    visible_bias: Leaf  #: (num_visible,) a, so that E(x) holds −a·x
    log_visible_precision: Leaf  #: (num_visible,) log Λ
    log_penalty: Leaf | None = of_hidden(-1)  #: (num_hidden,) log φ̂; None where Φ = 0


@dataclasses.dataclass(frozen=True)
class SpikeAndSlab:
    """E(x, h, s) = −xᵀW(s⊙h) + ½ xᵀ(Λ + Σ Φ_i h_i)x − a·x
        + Σ_i [½ α_i s_i² − α_i μ_i s_i h_i − b_i h_i + κ α_i μ_i² h_i].

    Given the spikes, x is a Gaussian with precision Λ + Σ h_i (Φ_i − w_i w_iᵀ/α_i),
    which has to be positive definite for every h; `penalty` defines the Φ that ensures
    it. p(h, s | x) and p(x | h, s) are diagonal, so `Gibbs` inverts no matrix.

    κ = ½ completes the square in s and is the model of Courville et al.; κ = 1 is the
    energy of Goodfellow et al. Both are one family: b at κ = 1 is b − ½αμ² at κ = ½.

    Args:
      num_visible: the number of visible units.
      num_hidden: the number of pairs of a spike and a slab.
      kappa: κ in the energy.
      penalty: what Φ is: `NoPenalty`, `NormPenalty` or `GershgorinPenalty`.

    Reference:
      Courville, Bergstra & Bengio (2011), Unsupervised models of images by
      spike-and-slab RBMs; Goodfellow, Bengio & Courville (2016), Deep Learning, 20.5.

    Example:
      >>> model = SpikeAndSlab(num_visible=192, num_hidden=100)
      >>> model.init(jax.random.key(0)).weights.shape
      (192, 100)
    """

    num_visible: int
    num_hidden: int
    kappa: float = 1.0
    penalty: GershgorinPenalty | NormPenalty | NoPenalty = dataclasses.field(
        default_factory=GershgorinPenalty
    )

    def __post_init__(self) -> None:
        check_size(self, "num_visible", "num_hidden")
        check_number("kappa", self.kappa, 0, 1e38)

    def init(
        self, key: Key[Array, ""], *, data: State | None = None
    ) -> SpikeAndSlabParams:
        """Weights from N(0, 0.01²), Λ = α = μ = 1, φ̂ = 1/num_visible, zero biases.

        Args:
          data: examples, (examples, num_visible). With all spikes off, x then has
            their means and variances: Λ = 1/variance, a = Λ · mean.
        """
        check_key(key)
        visible = start_of(Gaussian(self.num_visible), data)
        hidden = jnp.zeros(self.num_hidden)
        # This costs a spike ½ nat at a typical x of variance 1, for any num_visible.
        log_penalty = jnp.full_like(hidden, -math.log(self.num_visible))
        shape = (self.num_visible, self.num_hidden)
        return SpikeAndSlabParams(
            weights=INIT_SCALE * jax.random.normal(key, shape),
            spike_bias=hidden,
            # With μ = 0, E would be even in W, and W = 0 a saddle point of the loss.
            slab_mean=hidden + 1,
            log_slab_precision=hidden,
            visible_bias=visible.mean * jnp.exp(-visible.log_variance),
            log_visible_precision=-visible.log_variance,
            log_penalty=log_penalty if self.penalty.has_parameter else None,
        )

    def from_precisions(
        self,
        weights: ArrayLike,
        *,
        spike_bias: ArrayLike,
        slab_mean: ArrayLike,
        slab_precision: ArrayLike,
        visible_bias: ArrayLike,
        visible_precision: ArrayLike,
        penalty: ArrayLike | None = None,
    ) -> SpikeAndSlabParams:
        """Parameters from α, Λ and φ̂ instead of their logarithms. It cannot be traced.

        Args:
          weights: W, (num_visible, num_hidden).
          spike_bias, slab_mean, slab_precision: b, μ and α, (num_hidden,) each.
          visible_bias, visible_precision: a and Λ, (num_visible,) each.
          penalty: φ̂, (num_hidden,); None where the model has no penalty.

        Raises:
          ValueError: one of the three is not positive, a shape is wrong, or Z is
            infinite.
        """
        positive = {
            "slab_precision": slab_precision,
            "visible_precision": visible_precision,
            "penalty": penalty,
        }
        for name, x in positive.items():
            if x is not None and not np.all(np.asarray(x) > 0):
                raise InvalidValue(
                    f"`{name}` holds {np.min(x)} but needs to be positive everywhere; "
                    "pass precisions, not their logarithms or covariances."
                )
        params = SpikeAndSlabParams(
            weights=jnp.asarray(weights),
            spike_bias=jnp.asarray(spike_bias),
            slab_mean=jnp.asarray(slab_mean),
            log_slab_precision=jnp.log(jnp.asarray(slab_precision)),
            visible_bias=jnp.asarray(visible_bias),
            log_visible_precision=jnp.log(jnp.asarray(visible_precision)),
            log_penalty=None if penalty is None else jnp.log(jnp.asarray(penalty)),
        )
        expected = jax.eval_shape(self.init, jax.random.key(0))
        for field in dataclasses.fields(SpikeAndSlabParams):
            got, like = getattr(params, field.name), getattr(expected, field.name)
            if (got is None) != (like is None):
                raise InvalidValue(
                    f"`penalty` is {penalty} but {self.penalty} needs "
                    f"{'None' if like is None else 'one value per hidden unit'}."
                )
            if like is not None:
                check_shape(field.name.removeprefix("log_"), got, like.shape, self)
        self.check_normalizable(params)
        return params

    def smallest_eigenvalue(self, params: SpikeAndSlabParams) -> Float[Array, ""]:
        """min over h of the smallest eigenvalue of the precision of x given h, exact.

        Z is infinite unless it is positive, so it is worth watching in training.
        """
        return self.penalty.smallest_eigenvalue(params)

    def check_normalizable(self, params: SpikeAndSlabParams) -> None:
        """Refuses a model whose Z is infinite; call it before sampling.

        Raises:
          ValueError: `smallest_eigenvalue` is not positive.
        """
        value = float(self.smallest_eigenvalue(params))
        if not value > 0:
            raise InvalidValue(
                "The precision of x given the spikes has the smallest eigenvalue "
                f"{value:.3g} in `params`, but it needs to be positive or Z = ∞ and "
                "chains diverge; scale the weights down (by `NoPenalty().project`), "
                "raise `log_visible_precision`, or take a penalty."
            )

    def energy(
        self, params: SpikeAndSlabParams, v: State, h: SpikeSlab
    ) -> Inexact[Array, ""]:
        """E(x, h, s) in nats."""
        self.check_hidden(h)
        inputs = self.hidden_inputs(params, v)
        alpha, mu = jnp.exp(params.log_slab_precision), params.slab_mean
        on = params.spike_bias - self.kappa * alpha * mu**2
        on = on - 0.5 * self.penalty.of_visible(params, v**2)
        slab = 0.5 * alpha * h.slabs**2 - (inputs + alpha * mu) * h.slabs * h.spikes
        spikes = full_product(on, h.spikes)
        return self.visible_energy(params, v) + jnp.sum(slab) - spikes

    def free_energy(self, params: SpikeAndSlabParams, v: State) -> Inexact[Array, ""]:
        """F(x) = ½ xᵀΛx − a·x − Σ_i [softplus(b_i + I_i) + ½ log 2π/α_i], where
        I_i + b_i is the log-odds of spike i."""
        _, inputs = self.given_visible(params, v)
        spikes = self._spikes.log_normalizer(self._spike_params(params), inputs)
        return self.visible_energy(params, v) - spikes - self._slab_entropy(params)

    def hidden_free_energy(
        self, params: SpikeAndSlabParams, spikes: Float[Array, " hidden"]
    ) -> Inexact[Array, ""]:
        """F(h) = −Σ h_i (b_i + (½ − κ) α_i μ_i²) − ½ Σ log 2π/α_i
            − ½ log det 2πC_h − ½ m_hᵀ C_h m_h,

        in nats, with slabs and x integrated out; `visible_given_spikes` defines m_h and
        C_h. It factors one matrix of num_hidden × num_hidden. Large weights and their
        penalty nearly cancel in C_h and need float64.
        """
        linear, precision, root, log_det = self._given_spikes(params, spikes)
        alpha, mu = jnp.exp(params.log_slab_precision), params.slab_mean
        on = params.spike_bias + (0.5 - self.kappa) * alpha * mu**2
        from_spikes = full_product(root, linear)
        square = jnp.sum(linear**2 / precision) + jnp.sum(from_spikes**2)
        pixels = 0.5 * (self.num_visible * _LOG_2PI + log_det + square)
        return -full_product(on, spikes) - self._slab_entropy(params) - pixels

    def hidden_inputs(
        self, params: SpikeAndSlabParams, v: State
    ) -> Inexact[Array, " hidden"]:
        """xᵀW."""
        check_shape("v", v, (self.num_visible,), self)
        return product(v, params.weights)

    def sample_hidden(
        self, params: SpikeAndSlabParams, v: State, key: Key[Array, ""]
    ) -> SpikeSlab:
        """A joint draw: h ~ p(h | x), then s_i ~ N((xᵀw_i/α_i + μ_i) h_i, 1/α_i)."""
        key_spikes, key_slabs = random.split(key)
        mean, inputs = self.given_visible(params, v)
        spikes = self._spikes.sample(self._spike_params(params), inputs, key_spikes)
        noise = random.normal(key_slabs, mean.shape, mean.dtype)
        slabs = mean * spikes + jnp.exp(-0.5 * params.log_slab_precision) * noise
        return SpikeSlab(spikes=spikes, slabs=slabs)

    def mean_hidden_state(self, params: SpikeAndSlabParams, v: State) -> SpikeSlab:
        """E[h | x] and E[s | x] = E[s⊙h | x]."""
        mean, inputs = self.given_visible(params, v)
        spikes = self._spikes.mean(self._spike_params(params), inputs)
        return SpikeSlab(spikes=spikes, slabs=mean * spikes)

    def sample_visible(
        self, params: SpikeAndSlabParams, h: SpikeSlab, key: Key[Array, ""]
    ) -> Float[Array, " visible"]:
        """A draw from N(C(W(s⊙h) + a), C), C⁻¹ = Λ + Σ Φ_i h_i diagonal."""
        linear, precision = self.given_hidden(params, h)
        noise = random.normal(key, linear.shape, linear.dtype)
        return linear / precision + jax.lax.rsqrt(precision) * noise

    def mean_visible_state(
        self, params: SpikeAndSlabParams, h: SpikeSlab
    ) -> Float[Array, " visible"]:
        """E[x | h, s] = C(W(s⊙h) + a)."""
        linear, precision = self.given_hidden(params, h)
        return linear / precision

    def visible_given_spikes(
        self, params: SpikeAndSlabParams, spikes: Float[Array, " hidden"]
    ) -> tuple[Float[Array, " visible"], Float[Array, "visible visible"]]:
        """The mean C_h m_h and the covariance C_h of x given h, without the slabs:
        C_h⁻¹ = Λ + Σ h_i (Φ_i − w_i w_iᵀ/α_i), m_h = a + Σ w_i μ_i h_i."""
        linear, precision, root, _ = self._given_spikes(params, spikes)
        covariance = jnp.diag(1 / precision) + full_product(root.T, root)
        return full_product(covariance, linear), covariance

    def sample_start(
        self, params: SpikeAndSlabParams, key: Key[Array, ""]
    ) -> Float[Array, " visible"]:
        """A draw of x with every spike off: N(a/Λ, 1/Λ)."""
        off = jnp.zeros_like(params.spike_bias)
        return self.sample_visible(params, SpikeSlab(spikes=off, slabs=off), key)

    @property
    def domain(self) -> Domain:
        return Reals()

    @property
    def _spikes(self) -> Bernoulli:
        return Bernoulli(self.num_hidden)

    def _spike_params(self, params: SpikeAndSlabParams) -> BernoulliParams:
        return BernoulliParams(bias=params.spike_bias)

    def given_visible(
        self, params: SpikeAndSlabParams, v: State
    ) -> tuple[Inexact[Array, " hidden"], Inexact[Array, " hidden"]]:
        """E[s | x, h = 1], and the log-odds of h given x without the bias b."""
        inputs, mu = self.hidden_inputs(params, v), params.slab_mean
        alpha = jnp.exp(params.log_slab_precision)
        square = inputs**2 / alpha - self.penalty.of_visible(params, v**2)
        odds = (0.5 - self.kappa) * alpha * mu**2 + mu * inputs + 0.5 * square
        return inputs / alpha + mu, odds

    def given_hidden(
        self, params: SpikeAndSlabParams, h: SpikeSlab
    ) -> tuple[Inexact[Array, " visible"], Inexact[Array, " visible"]]:
        """C⁻¹ E[x | h, s] = W(s⊙h) + a, and C⁻¹, the precision of x."""
        self.check_hidden(h)
        visible = jnp.exp(params.log_visible_precision)
        precision = visible + self.penalty.of_spikes(params, h.spikes)
        linear = product(params.weights, h.spikes * h.slabs) + params.visible_bias
        return linear, precision

    def _given_spikes(self, params, spikes):
        """m_h, P = Λ + Σ Φ_i h_i, R with C_h = P⁻¹ + RᵀR, and log det C_h.

        C_h⁻¹ = P − UUᵀ with U = W diag(h/√α) is inverted by Woodbury's identity, with
        LLᵀ = I − UᵀP⁻¹U.
        """
        check_shape("spikes", spikes, (self.num_hidden,), self)
        reason = "the precision of x is factored as a positive matrix"
        check_real("params.weights", params.weights, self, reason)
        visible = jnp.exp(params.log_visible_precision)
        precision = visible + self.penalty.of_spikes(params, spikes)
        scale = spikes * jnp.exp(-0.5 * params.log_slab_precision)
        factor = params.weights * scale[None]
        scaled = factor / precision[:, None]
        identity = jnp.eye(self.num_hidden, dtype=factor.dtype)
        lower = jnp.linalg.cholesky(identity - full_product(factor.T, scaled))
        root = solve_triangular(lower, scaled.T, lower=True)
        log_det = -jnp.sum(jnp.log(precision)) - 2 * jnp.sum(jnp.log(jnp.diag(lower)))
        slabs = params.slab_mean * spikes
        linear = params.visible_bias + product(params.weights, slabs)
        return linear, precision, root, log_det

    def visible_energy(
        self, params: SpikeAndSlabParams, v: State
    ) -> Inexact[Array, ""]:
        """½ xᵀΛx − a·x."""
        precision = jnp.exp(params.log_visible_precision)
        return jnp.sum(0.5 * precision * v**2 - params.visible_bias * v)

    def _slab_entropy(self, params):
        """½ Σ log 2π/α."""
        return 0.5 * jnp.sum(_LOG_2PI - params.log_slab_precision)

    def check_hidden(self, h: SpikeSlab) -> None:
        """Refuses a hidden state of the wrong shape."""
        check_shape("h.spikes", h.spikes, (self.num_hidden,), self)
        check_shape("h.slabs", h.slabs, (self.num_hidden,), self)
