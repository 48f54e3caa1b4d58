"""Pictures of the layers of a trained DBN."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jboltz import plotting
from jboltz.data import Dataset
from jboltz.evaluation.features import (
    combined_filters,
    dbn_inputs,
    maximise_activation,
    principal_components,
)
from jboltz.learning.pretrain import unit_interval
from jboltz.models.dbn import DBN, DBNParams


def draw(
    dbn: DBN, params: DBNParams, data: Dataset, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Figures by file name: what each layer looks for, what it makes of digits, and how
    its codes lie."""
    digits = unit_interval(jnp.asarray(data.test[:80:10]))
    codes = jax.vmap(dbn.encode, in_axes=(None, 0))(
        params, unit_interval(jnp.asarray(data.test[:2000]))
    )
    coordinates, shares = principal_components(codes)
    combined, maximised = {}, {}
    for depth in range(1, len(params) + 1):
        name = f"layer {depth}"
        filters = combined_filters([layer.weights for layer in params[:depth]])
        # The same units, those with the largest filters, in both pictures.
        chosen = jnp.argsort(-jnp.linalg.norm(filters, axis=0))[:100]
        combined[name] = filters[:, chosen].T
        maximised[name] = 2 * _maximise(dbn, params, chosen, depth) - 1
    return {
        "combined_filters": plotting.colour_tiles(
            combined, shape, title="Filters by linear combination: W1, W1 W2, …"
        ),
        "maximised_activations": plotting.colour_tiles(
            maximised, shape, title="Images that excite a unit most"
        ),
        "chains": plotting.states(
            _up_and_down(dbn, params, digits),
            shape,
            title="Test digits up through all layers and down again, in means",
        ),
        "codes": plotting.scatter(
            coordinates,
            None if data.test_labels is None else data.test_labels[: len(codes)],
            title=f"Codes of {len(codes)} test digits in layer {len(params)}",
            axis_labels=(
                f"first principal component ({shares[0]:.0%} of the variance)",
                f"second ({shares[1]:.0%})",
            ),
        ),
    }


@partial(jax.jit, static_argnames=("dbn", "depth"))
def _maximise(dbn, params, chosen, depth):
    visible = dbn.layers[0].visible
    images, _ = maximise_activation(
        partial(dbn_inputs, dbn, params, depth=depth),
        *(visible, params[0].visible, chosen, jax.random.key(0)),
        # Log-odds of the pixels are moved by 2 on average (root mean square).
        norm=2 * visible.size**0.5,
    )
    return images


def _up_and_down(
    dbn: DBN, params: DBNParams, digits: jax.Array
) -> dict[str, jax.Array]:
    """The means of every layer, on the way up and on the way down."""
    columns = {"v": digits}
    for index, layer in enumerate(dbn.layers):
        up = jax.vmap(layer.mean_hidden_state, in_axes=(None, 0))
        digits = up(params[index], digits)
        columns[f"h{index + 1}"] = digits
    for index, layer in reversed(list(enumerate(dbn.layers))):
        down = jax.vmap(layer.mean_visible_state, in_axes=(None, 0))
        digits = down(params[index], digits)
        columns[f"h{index}, back" if index else "v, back"] = digits
    return columns
