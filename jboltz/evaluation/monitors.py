"""What a trained stack does to data, layer by layer."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jboltz.models.dbn import DBN, DBNParams


def reconstruction_errors(
    dbn: DBN,
    params: DBNParams,
    data: Float[Array, "examples visible"],
    *,
    batch_size: int = 1000,
) -> list[float]:
    """Mean squared error a pixel of mean reconstructions through 1, 2, … L layers.

    Up to layer l in means and down again, against `data` as they are (gray values
    stay gray).
    """

    def squared_errors(v):
        return jnp.stack(
            [
                jnp.mean((v - dbn.reconstruct(params, v, depth=depth)) ** 2)
                for depth in range(1, len(params) + 1)
            ]
        )

    errors = jax.lax.map(squared_errors, data, batch_size=batch_size)
    return [float(x) for x in np.asarray(errors, np.float64).mean(axis=0)]
