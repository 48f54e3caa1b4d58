"""Pictures of a trained model: along its chains, and of the layers of a DBN."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Key

from jboltz import plotting, random
from jboltz.base import Params, State
from jboltz.evaluation.features import (
    combined_filters,
    exciting_states,
    principal_components,
)
from jboltz.models.dbn import DBN, DBNParams
from jboltz.samplers.ancestral import generate
from jboltz.samplers.chains import run


def sweep_counts(longest: int) -> dict[str, int]:
    """1, 10, 100, … and `longest` sweeps, each with its name: rows of pictures."""
    counts = [*(10**i for i in range(9) if 10**i < longest), longest]
    return {f"{count} sweep{'s' * (count > 1)}": count for count in counts}


@partial(jax.jit, static_argnames="sampler")
def pictures_after(
    sampler: Any,
    params: Params,
    starts: State,
    keys: Key[Array, " chains"],
    num_steps: int | Array,
    **options: State,
) -> Array:
    """The means of the visible units after `num_steps` steps, one chain a start.

    Args:
      sampler: a `Sampler` of a `VisibleMeanModel`.
      options: of `sampler.init`.
    """

    def one(start, key):
        key_init, key_run = jax.random.split(key)
        chain = sampler.init(params, start, key_init, **options)
        chain, _ = run(sampler, params, chain, key_run, num_steps=num_steps)
        return sampler.model.mean_visible_state(params, chain.hidden)

    return jax.vmap(one)(starts, keys)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """How vectors of the visible units become pictures, gray or coloured."""

    name: str
    """What one of the data is called: "digit"."""
    names: str
    """What many of the data are called: "digits"."""
    shape: tuple[int, ...]
    """The height and width of a picture and, in colour, its number of colours."""
    norm: float
    """How far from their biases the inputs of a picture that excites a unit are."""
    of_weights: Callable[[Array], ArrayLike] = lambda W: W
    """Rows of weights → rows of pixels, 0 where there is no weight."""
    of_states: Callable[[Array], ArrayLike] = lambda v: v
    """Rows of states → rows of pixels in [0, 1], with ½ for nothing."""

    def draw(self, rows: dict[str, Array], title: str) -> Any:
        """A figure of rows of states, by their names."""
        pictures = {name: self.of_states(row) for name, row in rows.items()}
        return plotting.image_rows(pictures, self.shape, title=title)


def draw_layers(
    dbn: DBN,
    params: DBNParams,
    examples: Array,
    labels: ArrayLike | None,
    pictures: Pictures,
    *,
    kind: str,
) -> dict[str, Any]:
    """Figures by file name: what each layer looks for, what it makes of `examples`, and
    how their codes lie.

    Args:
      kind: which data the examples are, "test" or "held-out".
    """
    title = f"{kind.capitalize()} {pictures.names}"
    coordinates, shares = _principal_codes(dbn, params, examples)
    combined, maximised = {}, {}
    for depth in range(1, len(params) + 1):
        name = f"layer {depth}"
        # The same units, those with the largest filters, in both pictures.
        chosen, filters = _largest_filters([layer.weights for layer in params[:depth]])
        combined[name] = pictures.of_weights(filters)
        states = exciting_states(dbn, params, chosen, pictures.norm, depth=depth)
        maximised[name] = 2 * np.asarray(pictures.of_states(states)) - 1
    chains = {
        name: pictures.of_states(x) if name.startswith("v") else x
        for name, x in _up_and_down(dbn, params, examples[:80:10]).items()
    }
    return {
        "combined_filters": plotting.colour_tiles(
            combined,
            pictures.shape,
            title="Filters by linear combination: W1, W1 W2, …",
        ),
        "maximised_activations": plotting.colour_tiles(
            maximised, pictures.shape, title="Images that excite a unit most"
        ),
        "reconstructions": pictures.draw(
            _reconstructions(dbn, params, examples[:160:10], f"{kind} {pictures.name}"),
            f"{title} and their mean reconstructions",
        ),
        "chains": plotting.states(
            chains,
            pictures.shape,
            title=f"{title} up through all layers and down again, in means",
        ),
        "codes": plotting.scatter(
            coordinates,
            labels,
            title=f"Codes of {len(examples)} {kind} {pictures.names} in layer "
            f"{len(params)}",
            axis_labels=(
                f"first principal component ({shares[0]:.0%} of the variance)",
                f"second ({shares[1]:.0%})",
            ),
        ),
    }


def draw_samples(
    dbn: DBN,
    params: DBNParams,
    starts: State,
    key: Key[Array, ""],
    pictures: Pictures,
    *,
    longest: int,
) -> Any:
    """A figure of pictures along the chains that start at the data `starts`, and at the
    end of others, `longest` sweeps long, that start at noise: one chain an example."""
    # Chains with keys of their own: on the same draws, those from data and those from
    # noise would meet.
    keys_up, keys_noise, keys, keys_from_noise = (
        random.fold_in_range(k, len(starts)) for k in random.split(key, 4)
    )
    from_data, from_noise = _starts(dbn, params, starts, keys_up, keys_noise)
    # Step t of a chain draws the same in each row: a row goes on where the one above
    # it stopped.
    rows = {f"training {pictures.name}": starts}
    for name, length in sweep_counts(longest).items():
        rows[name] = _generate(dbn, params, from_data, keys, jnp.asarray(length))
    rows["from noise"] = _generate(
        dbn, params, from_noise, keys_from_noise, jnp.asarray(longest)
    )
    sources = f"{pictures.names} and from noise"
    return pictures.draw(rows, f"Samples: Gibbs sweeps in the top RBM, from {sources}")


@partial(jax.jit, static_argnames="dbn")
def _generate(dbn, params, starts, keys, num_steps):
    one = partial(generate, dbn, num_steps=num_steps)
    return jax.vmap(one, in_axes=(None, 0, 0))(params, starts, keys)


@partial(jax.jit, static_argnames="dbn")
def _starts(dbn, params, data, keys_up, keys_noise):
    """States of the top RBM's visible units, one a key: above the data, and noise."""
    below, top = params[:-1], dbn.layers[-1].visible
    from_data = jax.vmap(dbn.sample_up, in_axes=(None, 0, 0))(below, data, keys_up)
    from_noise = jax.vmap(top.sample, in_axes=(None, None, 0))(
        params[-1].visible, jnp.zeros(top.size), keys_noise
    )
    return from_data, from_noise


@partial(jax.jit, static_argnames="dbn")
def _principal_codes(dbn, params, examples):
    codes = jax.vmap(dbn.encode, in_axes=(None, 0))(params, examples)
    return principal_components(codes)


@jax.jit
def _largest_filters(weights):
    """The 100 units with the largest filters, largest first, and these, one a row."""
    filters = combined_filters(weights)
    chosen = jnp.argsort(-jnp.linalg.norm(filters, axis=0))[:100]
    return chosen, filters[:, chosen].T


def _reconstructions(dbn, params, examples, name):
    sizes = [layer.hidden.size for layer in dbn.layers]
    through = _through(dbn, params, examples)
    names = (f"through {size}" for size in sizes)
    return {name: examples, **dict(zip(names, through, strict=True))}


@partial(jax.jit, static_argnames="dbn")
def _through(dbn, params, examples):
    """The mean reconstructions through layer 1, through layers 1 and 2, …."""
    depths = range(1, len(dbn.layers) + 1)
    each = (partial(dbn.reconstruct, params, depth=depth) for depth in depths)
    return [jax.vmap(reconstruct)(examples) for reconstruct in each]


def _up_and_down(dbn: DBN, params: DBNParams, x: Array) -> dict[str, Array]:
    """The means of every layer, on the way up and on the way down, by name."""
    depth = len(dbn.layers)
    names = ["v", *(f"h{index}" for index in range(1, depth + 1))]
    names += [f"h{index}, back" for index in range(depth - 1, 0, -1)] + ["v, back"]
    return dict(zip(names, _means_up_and_down(dbn, params, x), strict=True))


@partial(jax.jit, static_argnames="dbn")
def _means_up_and_down(dbn, params, x):
    means = [x]
    for layer, layer_params in zip(dbn.layers, params, strict=True):
        up = jax.vmap(layer.mean_hidden_state, in_axes=(None, 0))
        means.append(up(layer_params, means[-1]))
    for layer, layer_params in reversed([*zip(dbn.layers, params, strict=True)]):
        down = jax.vmap(layer.mean_visible_state, in_axes=(None, 0))
        means.append(down(layer_params, means[-1]))
    return means
