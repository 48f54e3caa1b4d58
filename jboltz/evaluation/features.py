"""Images that the units of a layer respond to, in the space of the data."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jboltz import random
from jboltz.base import Params, State, Unit
from jboltz.errors import InvalidValue
from jboltz.models.dbn import DBN, DBNParams
from jboltz.products import full_precision, full_product


def combined_filters(
    weights: Sequence[Float[Array, "_ _"]],
) -> Float[Array, "visible units"]:
    """W₁ W₂ … W_l, whose columns are filters of the units of layer l.

    The filter of a unit is the sum of the filters of the layer below, weighted by the
    unit's weights. Biases and nonlinearities are left out.

    Args:
      weights: the weights of layers 1 to l, bottom first.

    Raises:
      ValueError: `weights` is empty, or the shapes of neighbours do not fit.

    Reference:
      Erhan, Bengio, Courville & Vincent (2009), Visualizing higher-layer features of
      a deep network, section 3; Lee, Ekanadham & Ng (2008).
    """
    if not weights:
        raise InvalidValue(
            "`weights` is empty but a filter needs the weights of layer 1 at least; "
            "pass the weights of all layers up to the one of the filters."
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
    """The inputs of each unit of layer `depth` when `v` is passed upwards in means.

    For Bernoulli units they are the log-odds of h = 1 without the bias.
    """
    if not 1 <= depth <= len(dbn.layers):
        raise InvalidValue(
            f"`depth` is {depth} but there are hidden layers 1 to {len(dbn.layers)}."
        )
    below = dbn.encode(params[: depth - 1], v)
    return dbn.layers[depth - 1].hidden_inputs(params[depth - 1], below)


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
    """An image for each chosen unit that maximises the input to the unit, locally.

    The image is E[x | I] of the visible unit, so it stays in the unit's domain. I is
    varied on the sphere ‖I‖ = `norm`. For Gaussian units I = x − μ, for Bernoulli units
    I are the log-odds of the pixels without biases. A step moves by `rate`·`norm` along
    the gradient and projects back to the sphere. Unit j starts in a direction drawn
    from `fold_in(key, j)`.

    Args:
      layer_inputs: v -> inputs, such as `partial(dbn_inputs, dbn, params, depth=2)`.
      params: the parameters of `visible`.
      chosen: indices of units in the result of `layer_inputs`.

    Returns:
      The image of each chosen unit, and the input to the unit before every step.

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
    """The states from `maximise_activation` for chosen units of layer `depth`."""
    states, _ = maximise_activation(
        partial(dbn_inputs, dbn, params, depth=depth),
        dbn.layers[0].visible,
        params[0].visible,
        chosen,
        jax.random.key(0),
        norm=norm,
    )
    return states


def receptive_field(
    weights: Float[Array, " visible"], image_shape: tuple[int, ...]
) -> tuple[Float[Array, "2"], Float[Array, ""]]:
    """Where the energy of one filter, its squared weights, is in the image.

    Energy is summed over colours. The result is NaN for a filter of zeros.

    Args:
      image_shape: (height, width) or (height, width, colours).

    Returns:
      The mean row and column, and the root mean squared distance from there, in pixels.
    """
    energy = (weights**2).reshape(*image_shape[:2], -1).sum(axis=-1)
    share = energy / energy.sum()
    positions = jnp.stack(
        jnp.meshgrid(*map(jnp.arange, image_shape[:2]), indexing="ij"), axis=-1
    )
    centre = jnp.sum(share[..., None] * positions, axis=(0, 1))
    squared = jnp.sum((positions - centre[None, None]) ** 2, axis=-1)
    return centre, jnp.sqrt(jnp.sum(share * squared))


def principal_components(
    codes: Float[Array, "examples code"], num_components: int = 2
) -> tuple[Float[Array, "examples components"], Float[Array, " components"]]:
    """The coordinates of centred codes along their directions of largest variance.

    Returns:
      The coordinates, and the share of the total variance in each direction.

    Raises:
      ValueError: `num_components` is larger than the number of directions.
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
    """x/‖x‖; zeros, such as the gradient of a unit with zero weights, stay zeros."""
    return x / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny)
