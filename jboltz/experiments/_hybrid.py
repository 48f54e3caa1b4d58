"""The nets of `hybrid_mnist`: the hybrids, their controls, and what each is given."""

from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Key

from jboltz.base import Params
from jboltz.data import Dataset, balanced_subset
from jboltz.experiments import _finetune
from jboltz.experiments._pretrained import Pretrained, refuse_scaling
from jboltz.models.dbn import DBN
from jboltz.nets.finetune import LabelledExamples
from jboltz.nets.hybrid import CodeScaler, ConvNet, ImageAndCodeNet, encode, square_side


class Net(NamedTuple):
    """One of the nets that are trained, and whose codes it is given."""

    module: nn.Module
    form: Literal["pixels", "map", "joined"]
    codes: Literal["pretrained", "untrained"] | None


def dbn_of(pretrained: Pretrained) -> DBN:
    """The network that was pretrained.

    Raises:
      ValueError: it is no DBN, or one of images that were scaled pixel by pixel.
    """
    refuse_scaling(pretrained)
    if not isinstance(pretrained.model, DBN):
        raise ValueError(
            f"`pretrained` is a run of {pretrained.run['program']} but a code is the "
            "top layer of a DBN; give the workdir of dbn_mnist or rbm_mnist."
        )
    return pretrained.model


def split(
    config: Any, data: Dataset, pretrained: Pretrained
) -> tuple[_finetune.Examples, int]:
    """What to train on, to choose by and to test on, and the number of classes."""
    parts, num_classes = _finetune.split(config, data, pretrained)
    if config.num_labels:
        labels = np.asarray(parts["train"].labels)
        chosen = balanced_subset(labels, config.num_labels, config.seed)
        parts["train"] = jax.tree.map(lambda x: x[chosen], parts["train"])
    return parts, num_classes


def nets(config: Any, data: Dataset, dbn: DBN, num_classes: int) -> dict[str, Net]:
    """Every net by its name, the one on the pixels alone first.

    Raises:
      ValueError: the pixels or the code make no image that a `ConvNet` takes.
    """

    def convnet(image_shape: tuple[int, ...]) -> ConvNet:
        net = ConvNet(
            image_shape,
            num_classes,
            config.channels,
            num_dense=config.num_dense,
            dropout=config.dropout,
        )
        net.check()
        return net

    on_pixels = convnet(data.image_shape or (28, 28))
    found = {"pixels": Net(on_pixels, "pixels", None)}
    for form in config.forms:
        if form == "map":
            side = square_side(dbn.layers[-1].hidden.size)
            module = convnet((side, side))
        else:
            module = ImageAndCodeNet(on_pixels)
        for codes in ("pretrained", "untrained"):
            found[f"{form}_{codes}"] = Net(module, form, codes)
    return found


def given(
    net: Net, dbn: DBN, coders: dict[str, CodeScaler], part: LabelledExamples
) -> LabelledExamples:
    """What a net is given of the examples: codes are found once, and stay."""
    if net.codes is None:
        return part
    codes = encode(dbn, coders[net.codes], part.images)
    if net.form == "map":
        return LabelledExamples(images=codes, labels=part.labels)
    return LabelledExamples(images=part.images, labels=part.labels, above=(codes,))


def start(net: Net, part: LabelledExamples, key: Key[Array, ""]) -> Params:
    """Glorot weights; with the same key the same for the codes of either network."""
    example = jax.tree.map(lambda x: x[0].astype("float32"), part)
    return net.module.init(key, example.images, example.above)["params"]
