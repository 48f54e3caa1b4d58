"""Images of what the units of a layer respond to, in the space of the data."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jboltz import random
from jboltz.base import Leaf, Params, State, Unit, record
from jboltz.errors import InvalidValue
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.dbn import DBN, DBNParams
from jboltz.products import full_precision, full_product, product


def combined_filters(
    weights: Sequence[Float[Array, "_ _"]],
) -> Float[Array, "visible units"]:
    """W₁ W₂ … W_l: the filters of layer l by linear combination of those below it.

    A column is the filter of one unit; of layer 1 it is a column of W₁. Biases and
    nonlinearities are left out: a higher unit is seen as a weighted sum of filters.

    Args:
      weights: those of layers 1 to l, bottom first.

    Raises:
      ValueError: none are given, or two neighbours do not chain.

    Reference:
      Erhan, Bengio, Courville & Vincent (2009), Visualizing higher-layer features of
      a deep network, section 3; Lee, Ekanadham & Ng (2008).
    """
    if not weights:
        raise InvalidValue(
            "`weights` is empty but a filter needs those of layer 1 at least; give the "
            "weights of every layer up to the one to be seen."
        )
    shapes = [W.shape for W in weights]
    for (_, above), (below, _) in itertools.pairwise(shapes):
        if above != below:
            raise InvalidValue(
                f"`weights` have shapes {shapes}, which do not chain: {above} units "
                f"meet {below}; give the layers of one stack, bottom first."
            )
    return reduce(full_product, weights)


@full_precision
def dbn_inputs(
    dbn: DBN, params: DBNParams, v: State, *, depth: int
) -> Float[Array, " units"]:
    """The inputs of each unit of layer `depth` when means of `v` are passed upwards.

    Of Bernoulli units, the log-odds of being on, less their biases.
    """
    _check_depth(depth, len(dbn.layers))
    below = dbn.encode(params[: depth - 1], v)
    return dbn.layers[depth - 1].hidden_inputs(params[depth - 1], below)


@full_precision
def dbm_inputs(
    dbm: DBM, params: DBMParams, v: State, *, depth: int
) -> Float[Array, " units"]:
    """The inputs of each unit of layer `depth` from below, means of `v` passed upwards.

    A layer on the way counts its inputs twice, in place of those from above that it
    would have too.

    Reference:
      Salakhutdinov & Hinton (2009), Deep Boltzmann machines, section 3.1.
    """
    _check_depth(depth, len(params.weights))

    def inputs_above(x, index):
        activity = dbm.units[index].activity(params.units[index], x)
        return product(activity, params.weights[index])

    for index in range(depth - 1):
        inputs = 2 * inputs_above(v, index)
        v = dbm.units[index + 1].mean_state(params.units[index + 1], inputs)
    return inputs_above(v, depth - 1)


@full_precision
def maximise_activation(
    layer_inputs: Callable[[State], Float[Array, " units"]],
    visible: Unit,
    params: Params,
    chosen: Int[Array, " chosen"],
    key: Key[Array, ""],
    *,
    norm: float,
    num_steps: int = 200,
    rate: float = 0.1,
) -> tuple[State, Float[Array, "chosen steps"]]:
    """For each chosen unit, the image with the largest inputs to it.

    The image is x = E[x | I] of the visible unit, so it stays in the unit's domain, and
    I is what is varied, on the sphere ‖I‖ = `norm`: of a Gaussian unit I = x − μ, of a
    Bernoulli unit the log-odds of the pixels less their biases. A step adds
    `rate`·`norm` along the gradient's direction and projects back to the sphere. Unit j
    starts at a direction drawn from `fold_in(key, j)`; what is found is a local
    maximum.

    Args:
      layer_inputs: the up-pass, `partial(dbn_inputs, dbn, params, depth=2)`.
      params: of `visible`.
      chosen: indices into what `layer_inputs` returns.

    Returns:
      The images, one a chosen unit, and each unit's inputs before every step.

    Raises:
      ValueError: `norm`, `rate` or `num_steps` is not positive.

    Reference:
      Erhan, Bengio, Courville & Vincent (2009), Visualizing higher-layer features of
      a deep network, section 2.
    """
    for name, value in (("norm", norm), ("num_steps", num_steps), ("rate", rate)):
        if not value > 0:
            raise InvalidValue(f"`{name}` is {value} but needs to be above 0.")

    def picture(inputs):
        return visible.mean_state(params, inputs)

    def climb(unit):
        def step(inputs, _):
            activation, gradient = jax.value_and_grad(
                lambda inputs: layer_inputs(picture(inputs))[unit]
            )(inputs)
            moved = inputs + rate * norm * _unit_vector(gradient)
            return norm * _unit_vector(moved), activation

        start = jax.random.normal(random.fold_in(key, unit), (visible.size,))
        inputs, trace = jax.lax.scan(step, norm * _unit_vector(start), length=num_steps)
        return picture(inputs), trace

    return jax.vmap(climb)(chosen)


@partial(jax.jit, static_argnames=("dbn", "norm", "depth"))
def exciting_states(
    dbn: DBN,
    params: DBNParams,
    chosen: Int[Array, " chosen"],
    norm: float,
    *,
    depth: int,
) -> State:
    """States of the data that excite the chosen units of layer `depth` most, as
    `maximise_activation` finds them."""
    states, _ = maximise_activation(
        partial(dbn_inputs, dbn, params, depth=depth),
        dbn.layers[0].visible,
        params[0].visible,
        chosen,
        jax.random.key(0),
        norm=norm,
    )
    return states


@record
class ReceptiveField:
    """The place and the size of a filter's energy, which is the squared weights."""

    centre: Leaf  # (2,) mean row and column, in pixels
    spread: Leaf  # () root mean squared distance from the centre, in pixels
    window_share: Leaf  # () share of the energy in the best square window


def receptive_field(
    weights: Float[Array, " visible"],
    image_shape: tuple[int, ...],
    *,
    window: int,
) -> ReceptiveField:
    """The place in the image of the energy of one filter; colours count together.

    A filter of zeros is nowhere: NaN.

    Args:
      image_shape: (height, width) or (height, width, colours).
      window: side of the square, wherever it holds most, of `window_share`.

    Raises:
      ValueError: the window is larger than the image.
    """
    if not 1 <= window <= min(image_shape[:2]):
        raise InvalidValue(
            f"`window` is {window} but an image of {image_shape[0]} × {image_shape[1]} "
            f"pixels takes windows of 1 to {min(image_shape[:2])}."
        )
    energy = (weights**2).reshape(*image_shape[:2], -1).sum(axis=-1)
    share = energy / energy.sum()
    positions = jnp.stack(
        jnp.meshgrid(*map(jnp.arange, image_shape[:2]), indexing="ij"), axis=-1
    )
    centre = jnp.sum(share[..., None] * positions, axis=(0, 1))
    squared = jnp.sum((positions - centre[None, None]) ** 2, axis=-1)
    sums = jax.lax.reduce_window(
        share, 0.0, jax.lax.add, (window, window), (1, 1), "valid"
    )
    return ReceptiveField(
        centre=centre,
        spread=jnp.sqrt(jnp.sum(share * squared)),
        window_share=jnp.max(sums),
    )


def principal_components(
    codes: Float[Array, "examples code"], num_components: int = 2
) -> tuple[Float[Array, "examples components"], Float[Array, " components"]]:
    """Centred codes along their directions of largest variance.

    Returns:
      Coordinates, and the share of all variance that each direction holds.

    Raises:
      ValueError: there are not so many directions.
    """
    if not 1 <= num_components <= min(codes.shape):
        raise InvalidValue(
            f"`num_components` is {num_components} but {codes.shape[0]} codes of "
            f"{codes.shape[1]} units have 1 to {min(codes.shape)} directions."
        )
    centred = codes - codes.mean(axis=0, keepdims=True)
    U, singular, _ = jnp.linalg.svd(centred, full_matrices=False)
    coordinates = U * singular[None]
    shares = singular**2 / jnp.sum(singular**2)
    return coordinates[:, :num_components], shares[:num_components]


def _unit_vector(x: Float[Array, " size"]) -> Float[Array, " size"]:
    """x/‖x‖; zeros, the gradient of a unit that nothing reaches, stay zeros."""
    return x / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny)


def _check_depth(depth: int, num_layers: int) -> None:
    if not 1 <= depth <= num_layers:
        raise InvalidValue(
            f"`depth` is {depth} but there are hidden layers 1 to {num_layers}."
        )
