"""Codes of a pretrained DBN in a convolutional net: as its image, or beside one."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Real

from jboltz.base import Leaf, record
from jboltz.checks import check_shape
from jboltz.errors import InvalidValue
from jboltz.learning.pretrain import unit_interval
from jboltz.models.dbn import DBN, DBNParams


@record
class CodeScaler:
    """The parameters of a DBN, and the location and scale of its codes."""

    dbn: DBNParams
    mean: Leaf  # (code,) the mean code
    scale: Leaf  # () root mean square of the centred codes over all units


def fit_code_scaler(
    dbn: DBN, params: DBNParams, images: Real[Array, "examples visible"]
) -> CodeScaler:
    """A coder whose codes of `images` have mean 0 in each unit and variance 1 overall.

    All units share one scale, so that differences between units are kept. With it, one
    learning rate suits trained networks and untrained ones, whose codes hardly vary.
    """
    codes = np.asarray(_encode_all(dbn, params, images))
    mean = np.mean(codes, axis=0, dtype=np.float64)
    scale = np.sqrt(np.var(codes, axis=0, dtype=np.float64).mean())
    return CodeScaler(
        dbn=params,
        mean=jnp.asarray(mean, codes.dtype),
        scale=jnp.asarray(scale if scale > 0 else 1.0, codes.dtype),
    )


def encode(
    dbn: DBN, coder: CodeScaler, images: Real[Array, "examples visible"]
) -> Float[Array, "examples code"]:
    """The codes of `images`, uint8 or in [0, 1]: (E[h | v] − mean)/scale."""
    codes = _encode_all(dbn, coder.dbn, images)
    return (codes - coder.mean[None]) / coder.scale


@partial(jax.jit, static_argnames="dbn")
def _encode_all(dbn, params, images):
    def one(v):
        return dbn.encode(params, unit_interval(v))

    return jax.lax.map(one, images, batch_size=500)


def square_side(size: int) -> int:
    """The side s of a code of `size` = s² units, seen as an image of s × s.

    Raises:
      ValueError: `size` is not a square.
    """
    side = math.isqrt(size)
    if side**2 != size:
        raise InvalidValue(
            f"`size` is {size} units at the top, but a map of the code needs a square "
            f"number of them; pretrain with {side**2} or {(side + 1) ** 2} units at "
            "the top, or leave the form `map` out."
        )
    return side


class ConvNet(nn.Module):
    """Logits of p(y | x) of one image x, which may be a code seen as an image.

    Each of the convolutions keeps the size and is followed by the maximum over 2 × 2
    pixels and by relu. Then come a dense layer of relu units and a linear head. `v` is
    one image, flattened row by row.

    A convolution is a dense layer on patches, with a kernel (rows · columns · channels,
    units). In a compiled loop on CPU it takes an eighth of the time of `nn.Conv` (47 ms
    instead of 394 ms for a gradient of 128 digits on one core, 16 and 32 channels).
    """

    image_shape: tuple[int, ...]
    """(height, width) or (height, width, colours)."""
    num_classes: int
    channels: tuple[int, ...] = (8, 16)
    """The number of units of each convolution."""
    kernels: tuple[int, ...] = (5, 3)
    """The side of the patches of each convolution, odd."""
    num_dense: int = 128
    """The number of units of the dense layer."""
    dropout: float = 0.0
    """The dropout rate of the dense layer."""

    @nn.nowrap
    def check(self) -> None:
        """Checks the fields.

        Raises:
          ValueError: `channels` and `kernels` differ in length, a kernel is even, or
            the image is too small.
        """
        if len(self.channels) != len(self.kernels):
            raise InvalidValue(
                f"`channels` is {self.channels} but `kernels` {self.kernels}; pass one "
                "number in each for every convolution."
            )
        if any(size < 1 or size % 2 == 0 for size in self.kernels):
            raise InvalidValue(
                f"`kernels` is {self.kernels} but a patch around a pixel has an odd "
                "side; give odd numbers."
            )
        least = 2 ** len(self.channels)
        if min(self.image_shape[:2]) < least:
            raise InvalidValue(
                f"`image_shape` is {self.image_shape} but halving it "
                f"{len(self.channels)} times needs {least} × {least} pixels or more; "
                "give larger images, or fewer `channels`."
            )

    def setup(self) -> None:
        self.check()
        glorot = nn.initializers.glorot_uniform()
        self.convolutions = [
            nn.Dense(count, kernel_init=glorot, name=f"conv_{layer}")
            for layer, count in enumerate(self.channels, start=1)
        ]
        self.dense = nn.Dense(self.num_dense, kernel_init=glorot)
        self.dropped = nn.Dropout(self.dropout)
        self.head = nn.Dense(self.num_classes, kernel_init=glorot)

    def features(
        self, v: Float[Array, " visible"], *, is_training: bool = False
    ) -> Float[Array, " dense"]:
        """The dense layer before the head."""
        height, width, *_ = shape = self.image_shape
        check_shape("v", v, (math.prod(shape),), f"a ConvNet of images {shape}")
        x = v.reshape(height, width, -1)
        for convolution, size in zip(self.convolutions, self.kernels, strict=True):
            x = nn.relu(_largest_of_4(convolution(patches(x, size))))
        x = nn.relu(self.dense(x.ravel()))
        return self.dropped(x, deterministic=not is_training)

    def __call__(
        self,
        v: Float[Array, " visible"],
        above: tuple[()] = (),
        *,
        is_training: bool = False,
    ) -> Float[Array, " classes"]:
        # `above` is there for the same signature as in the other nets.
        del above
        return self.head(self.features(v, is_training=is_training))


class ImageAndCodeNet(nn.Module):
    """Logits of p(y | v, c): a linear head on features f of a `ConvNet` and a code c.

    logits = W_f f(v) + b + W_c c, where W_f and b are the head of `convnet`, and W_c is
    the kernel of `code`.
    """

    convnet: ConvNet

    def setup(self) -> None:
        self.code = nn.Dense(
            self.convnet.num_classes,
            use_bias=False,
            kernel_init=nn.initializers.glorot_uniform(),
        )
        # The code has dropout like the features, or the head would rely on the code.
        self.dropped = nn.Dropout(self.convnet.dropout)

    def __call__(
        self,
        v: Float[Array, " visible"],
        above: tuple[Float[Array, " code"]],
        *,
        is_training: bool = False,
    ) -> Float[Array, " classes"]:
        """The logits; `above` is a tuple of the code."""
        (code,) = above
        code = self.dropped(code, deterministic=not is_training)
        return self.convnet(v, is_training=is_training) + self.code(code)


def patches(
    x: Float[Array, "height width channels"], size: int
) -> Float[Array, "height width patch"]:
    """The square of side `size` around every pixel, row by row, padded with zeros."""
    height, width, _ = x.shape
    edge = size // 2
    x = jnp.pad(x, ((edge, edge), (edge, edge), (0, 0)))
    shifted = [
        x[i : i + height, j : j + width] for i in range(size) for j in range(size)
    ]
    return jnp.concatenate(shifted, axis=-1)


def _largest_of_4(
    x: Float[Array, "height width channels"],
) -> Float[Array, "rows columns channels"]:
    """The maximum over every 2 × 2 pixels; an odd last row or column is left out."""
    rows, columns = x.shape[0] // 2, x.shape[1] // 2
    x = x[: 2 * rows, : 2 * columns]
    return x.reshape(rows, 2, columns, 2, -1).max(axis=(1, 3))
