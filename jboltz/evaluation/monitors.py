"""Numbers that describe a layer and its codes, to monitor while it trains.

They are pure functions of parameters and a fixed batch. All but `reconstruction_errors`
can be jitted.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jboltz.base import Metrics
from jboltz.evaluation.likelihood import per_example
from jboltz.models.dbn import DBN, DBNParams
from jboltz.models.rbm import RBMParams
from jboltz.products import full_precision, full_product

# As a share of the largest singular value; smaller ones are rounding in float32.
_NEGLIGIBLE = 1e-6


@full_precision
def layer_monitors(
    dbn: DBN, params: DBNParams, data: Float[Array, "examples visible"]
) -> Metrics:
    """Monitors of layer l, the last in `params`.

    With m_0 = `data` and the means m_l = E[h | m_{l−1}] upwards, they are

    - `spectrum_monitors` of the covariance of m_{l−1} and m_l;
    - `sparsity_monitors` of the mean of m_l, for binary units;
    - `through_error`, the mean squared difference of `data` and m_l decoded through
      layers l, …, 1; `local_error`, of m_{l−1} and m_l decoded through layer l;
    - `weight_norm`, the root of the sum of the squared weights.

    Args:
      params: the parameters of the first l layers, such as `stack` in `greedy`.
      data: a batch that is the same in every call.
    """
    rbm, top = dbn.layers[len(params) - 1], params[-1]
    below = jax.vmap(dbn.encode, in_axes=(None, 0))(params[:-1], data)
    above = jax.vmap(rbm.mean_hidden_state, in_axes=(None, 0))(top, below)
    down = jax.vmap(rbm.mean_visible_state, in_axes=(None, 0))(top, above)
    through = jax.vmap(dbn.decode, in_axes=(None, 0))(params[:-1], down)
    monitors = {
        **spectrum_monitors(covariance_spectrum(below, above)),
        "through_error": jnp.mean((data - through) ** 2),
        "local_error": jnp.mean((below - down) ** 2),
        "weight_norm": jnp.linalg.norm(top.weights),
    }
    if rbm.hidden.domain.is_binary:
        monitors |= sparsity_monitors(jnp.mean(above, axis=0))
    return monitors


def update_norm(before: RBMParams, after: RBMParams) -> Float[Array, ""]:
    """‖W_after − W_before‖, the root of the sum of squares."""
    return jnp.linalg.norm(after.weights - before.weights)


def covariance_spectrum(
    lower: Float[Array, "examples lower"], upper: Float[Array, "examples upper"]
) -> Float[Array, " rank"]:
    """The singular values of C = Σ_n (x_n − x̄)(y_n − ȳ)ᵀ / (N − 1), largest first."""
    lower, upper = (x - jnp.mean(x, axis=0, keepdims=True) for x in (lower, upper))
    covariance = full_product(lower.T, upper) / (len(lower) - 1)
    return jnp.linalg.svd(covariance, compute_uv=False)


def spectrum_monitors(s: Float[Array, " rank"]) -> Metrics:
    """The decay and the effective number of the singular values s_0 ≥ s_1 ≥ ….

    - `decay_rate`: −(the least-squares slope of ln s_k over k), k = 0, …, r − 1, where
      r is the number of s_k > 10⁻⁶ s_0; `mean_ratio`: the mean of their s_{k+1}/s_k.
      Both are NaN if r < 2.
    - `effective_rank`: exp(−Σ p_k ln p_k), p = s / Σ s.
    - `participation`: (Σ s²)² / Σ s⁴.
    - `k90`: the number of largest s_k that hold 90 % of Σ s².

    The last three are between 1 and the number of singular values, and NaN if all
    singular values are 0.

    Reference:
      Roy & Vetterli (2007), The effective rank: a measure of effective dimensionality.
    """
    kept = s > _NEGLIGIBLE * s[0]
    count = jnp.sum(kept)
    k = jnp.arange(len(s), dtype=s.dtype)
    log_s = jnp.log(jnp.where(kept, s, 1))
    from_mean = jnp.where(kept, k - (count - 1) / 2, 0)
    slope = jnp.sum(from_mean * log_s) / jnp.sum(from_mean**2)
    ratios = jnp.sum(jnp.where(kept[1:], s[1:] / s[:-1], 0))
    p, energy = s / jnp.sum(s), (s / s[0]) ** 2
    held = jnp.cumsum(energy) / jnp.sum(energy)
    return {
        "decay_rate": -slope,
        "mean_ratio": jnp.where(count > 1, ratios / (count - 1), jnp.nan),
        "effective_rank": jnp.exp(jnp.sum(jax.scipy.special.entr(p))),
        "participation": jnp.sum(energy) ** 2 / jnp.sum(energy**2),
        "k90": jnp.where(s[0] > 0, 1 + jnp.sum(held < 0.9), jnp.nan),
    }


def sparsity_monitors(q: Float[Array, " hidden"]) -> Metrics:
    """Shares of active and inactive units, from q_j, the mean of p(h_j = 1 | v).

    - `mean_activity`: the mean of q;
    - `sparse_share`: the share of units with q in [0.05, 0.15];
    - `dead_share`: the share of units with q < 0.01;
    - `saturated_share`: the share of units with q > 0.99.
    """
    return {
        "mean_activity": jnp.mean(q),
        "sparse_share": jnp.mean((q >= 0.05) & (q <= 0.15), dtype=q.dtype),
        "dead_share": jnp.mean(q < 0.01, dtype=q.dtype),
        "saturated_share": jnp.mean(q > 0.99, dtype=q.dtype),
    }


def reconstruction_errors(
    dbn: DBN, params: DBNParams, data: Float[Array, "examples visible"]
) -> list[float]:
    """The mean squared error per pixel of `dbn.reconstruct` at depths 1, 2, …, L.

    Gray values in `data` are not binarised.
    """

    def squared_errors(v):
        return jnp.stack(
            [
                jnp.mean((v - dbn.reconstruct(params, v, depth=depth)) ** 2)
                for depth in range(1, len(params) + 1)
            ]
        )

    errors = per_example(squared_errors, data, batch_size=1000)
    return [float(x) for x in errors.mean(axis=0)]
