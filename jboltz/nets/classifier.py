"""A pretrained network as a Flax classifier: its weights are copied there and back."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jboltz.base import Params, Unit
from jboltz.errors import InvalidValue
from jboltz.learning.mean_field import mean_field
from jboltz.models.dbm import DBM, DBMParams
from jboltz.models.dbn import DBN
from jboltz.models.rbm import RBMParams
from jboltz.units.bernoulli import Bernoulli, BernoulliParams


class Classifier(nn.Module):
    """Logits of p(y | v): sigmoid layers, then a linear head.

    h_l = σ(h_{l−1} W_l + b_l) with h₀ = v. If `is_augmented`, each hidden layer but the
    top one also has the input q_{l+1} A_l, where q are posterior means from a DBM,
    which are part of the data. `init` draws Glorot weights.

    The parameters are a dictionary: `hidden_1`, … with `kernel` and `bias`, `above_1`,
    … with the `kernel` A_l, and `head`.

    Reference:
      Salakhutdinov & Hinton (2009), Deep Boltzmann machines, section 3.3.
    """

    hidden: tuple[int, ...]
    """The number of units of each hidden layer, bottom first."""
    num_classes: int
    is_augmented: bool = False
    dropout: tuple[float, ...] = ()
    """The dropout rate of the data, then of each hidden layer; () is no dropout."""

    def setup(self) -> None:
        rates = self.dropout or (0.0,) * (len(self.hidden) + 1)
        if len(rates) != len(self.hidden) + 1 or not all(0 <= x < 1 for x in rates):
            raise InvalidValue(
                f"`dropout` is {self.dropout} but {len(self.hidden)} hidden layers "
                f"need {len(self.hidden) + 1} rates from 0 to below 1: of the data "
                "first, then of each hidden layer."
            )
        glorot = nn.initializers.glorot_uniform()
        self.dropped = [nn.Dropout(rate) for rate in rates]
        self.hidden_layers = [
            nn.Dense(size, kernel_init=glorot, name=f"hidden_{layer}")
            for layer, size in enumerate(self.hidden, start=1)
        ]
        below_top = self.hidden[:-1] if self.is_augmented else ()
        self.above_layers = [
            nn.Dense(size, use_bias=False, kernel_init=glorot, name=f"above_{layer}")
            for layer, size in enumerate(below_top, start=1)
        ]
        self.head = nn.Dense(self.num_classes, kernel_init=glorot)

    def features(
        self,
        v: Float[Array, " visible"],
        above: tuple[Float[Array, " _"], ...] = (),
        *,
        is_training: bool = False,
    ) -> Float[Array, " top"]:
        """The top hidden layer; for a DBN without dropout, the code of `v`.

        Args:
          above: for an augmented net, the means of hidden layers 2, … from `posterior`.
          is_training: whether to apply dropout, with draws from the stream "dropout".
        """
        if len(above) != len(self.above_layers):
            raise InvalidValue(
                f"`above` has {len(above)} layers but this net is augmented by "
                f"{len(self.above_layers)}; pass the result of `posterior`."
            )
        x = self.dropped[0](v, deterministic=not is_training)
        for index, dropped in enumerate(self.dropped[1:]):
            inputs = self.hidden_layers[index](x)
            if index < len(above):
                inputs = inputs + self.above_layers[index](above[index])
            x = dropped(nn.sigmoid(inputs), deterministic=not is_training)
        return x

    def __call__(
        self,
        v: Float[Array, " visible"],
        above: tuple[Float[Array, " _"], ...] = (),
        *,
        is_training: bool = False,
    ) -> Float[Array, " classes"]:
        return self.head(self.features(v, above, is_training=is_training))


def classifier_of(
    model: DBN | DBM, num_classes: int, *, dropout: tuple[float, ...] = ()
) -> Classifier:
    """The classifier with the hidden layers of `model`.

    Args:
      model: a pretrained `DBN` or `DBM`.
      num_classes: the number of classes.
      dropout: the share of the inputs of each layer that is dropped in training, bottom
        first; () drops none.

    Raises:
      ValueError: a layer is not of Bernoulli units, whose mean is a sigmoid.
    """
    return Classifier(
        hidden=tuple(unit.size for unit in _units(model)[1:]),
        num_classes=num_classes,
        is_augmented=isinstance(model, DBM),
        dropout=dropout,
    )


def to_linen_params(
    model: DBN | DBM,
    params: Params,
    num_classes: int,
    key: Key[Array, ""] | None = None,
) -> dict[str, Any]:
    """Parameters of `classifier_of(model, num_classes)` with the weights of `params`.

    W_{l+1} of a DBM is used twice, upwards into layer l + 1 and transposed downwards
    into layer l. The hidden layers then start as one more update of mean field. The
    biases of the data are not used.

    Args:
      model: the pretrained model.
      params: its parameters.
      num_classes: the number of classes.
      key: draws Glorot weights for the head; None sets them to 0.
    """
    _units(model)
    if isinstance(model, DBM):
        (_, *units), weights = model.parts(params)
    else:
        units, weights = [p.hidden for p in params], [p.weights for p in params]
    linen = {
        f"hidden_{layer}": {"kernel": W, "bias": unit.bias}
        for layer, (W, unit) in enumerate(zip(weights, units, strict=True), start=1)
    }
    if isinstance(model, DBM):
        for layer, W in enumerate(weights[1:], start=1):
            linen[f"above_{layer}"] = {"kernel": W.T}
    shape, dtype = (weights[-1].shape[1], num_classes), weights[-1].dtype
    draw = nn.initializers.glorot_uniform()
    kernel = jnp.zeros(shape, dtype) if key is None else draw(key, shape, dtype)
    linen["head"] = {"kernel": kernel, "bias": jnp.zeros(num_classes, dtype)}
    return linen


def from_linen_params(
    model: DBN | DBM, linen: dict[str, Any], params: Params
) -> Params:
    """`params` with the hidden biases and the weights of a classifier.

    Visible biases, which a classifier lacks, are kept from `params`. The weights of a
    DBM are taken from the kernels upwards, not from `above_1`, ….

    Args:
      model: the model that the classifier was made of.
      linen: the parameters of the classifier.
      params: parameters of `model`, for their visible biases.
    """
    count = len(_units(model)) - 1
    layers = [linen[f"hidden_{layer}"] for layer in range(1, count + 1)]
    units = tuple(BernoulliParams(bias=layer["bias"]) for layer in layers)
    weights = tuple(layer["kernel"] for layer in layers)
    if isinstance(model, DBM):
        (bottom, *_), _ = model.parts(params)
        return model.from_parts((bottom, *units), weights)
    return tuple(
        RBMParams(visible=old.visible, hidden=unit, weights=W)
        for old, unit, W in zip(params, units, weights, strict=True)
    )


def posterior(
    dbm: DBM, params: DBMParams, v: Float[Array, " visible"]
) -> tuple[Float[Array, " _"], ...]:
    """Mean-field posterior means of hidden layers 2, …, which augment a classifier."""
    return mean_field(dbm, params, v).activities[1:]


def _units(model: DBN | DBM) -> tuple[Unit, ...]:
    if isinstance(model, DBM):
        units = model.units
    else:
        units = (model.layers[0].visible, *(layer.hidden for layer in model.layers))
    for unit in units:
        if not isinstance(unit, Bernoulli):
            raise InvalidValue(
                f"`model` has a layer {unit} but a sigmoid layer is the mean of "
                "Bernoulli units; fine-tune a model of Bernoulli units alone."
            )
    return units
