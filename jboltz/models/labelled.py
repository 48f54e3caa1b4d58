"""Models of data and their class label in one visible layer, with exact p(y | x)."""

import dataclasses

import jax
from jaxtyping import Array, Float, Key

from jboltz import random
from jboltz.base import State, Unit
from jboltz.errors import InvalidValue
from jboltz.models.dbn import DBN, DBNParams
from jboltz.models.rbm import RBM, RBMParams
from jboltz.products import product
from jboltz.units.composite import Joined, JoinedParams
from jboltz.units.softmax import Softmax
from jboltz.units.start import start_of


def label_log_probabilities(
    model: RBM, params: RBMParams, x: State
) -> Float[Array, " classes"]:
    """log p(y | x) of every class y, in an RBM over `Joined(unit of x, Softmax(1, K))`.

    With I = a_x(x)ᵀ W, and the weights U and biases d of the labels,

        log p(y | x) = d_y + Γ_h(I + U_y) − log Σ_y′ exp(d_y′ + Γ_h(I + U_y′)),

    which is −F(x, y) normalised over y. It is exact and needs no log Z.

    Raises:
      ValueError: the visible units are not `Joined(data, one label)`.

    Reference:
      Larochelle & Bengio (2008), Classification using discriminative restricted
      Boltzmann machines.
    """
    unit, _ = parts_of(model.visible)
    W, U = params.weights[: unit.size], params.weights[unit.size :]
    inputs = product(unit.activity(params.visible.first, x), W)

    def score(row, bias):
        return bias + model.hidden.log_normalizer(params.hidden, inputs + row)

    return jax.nn.log_softmax(jax.vmap(score)(U, params.visible.second.bias[0]))


def parts_of(visible: Unit) -> tuple[Unit, Softmax]:
    """The unit of the data and the unit of the label.

    Raises:
      ValueError: `visible` is not `Joined(data, one label)`.
    """
    if isinstance(visible, Joined):
        label = visible.second
        if isinstance(label, Softmax) and label.sites == 1:
            return visible.first, label
    raise InvalidValue(
        f"`visible` is {visible} but p(y | x) needs data beside one label; make it "
        "`Joined(unit of the data, Softmax(1, number of classes))`."
    )


@dataclasses.dataclass(frozen=True)
class LabelledDBN:
    """A DBN whose top RBM also has the label y among its visible units:

        p(v, h¹ … hᴸ, y) = p(v | h¹) … p(hᴸ⁻² | hᴸ⁻¹) · p_RBM((hᴸ⁻¹, y), hᴸ).

    `below` are the directed layers, `top` is an RBM over `Joined(hᴸ⁻¹, Softmax(1, K))`.
    The parameters are one record per layer, as of a DBN: `params[:-1]` belong to
    `below`, and methods such as `below.encode` take them; `params[-1]` belong to `top`.

    Args:
      below: the directed layers.
      top: the RBM over the last code and the label.

    Reference:
      Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief nets.
    """

    below: DBN
    top: RBM

    def __post_init__(self) -> None:
        unit, _ = parts_of(self.top.visible)
        last = self.below.layers[-1].hidden
        if unit != last:
            raise InvalidValue(
                f"`top` takes {unit} beside the label but `below` ends in {last}; make "
                "them equal."
            )

    @classmethod
    def chain(cls, *units: Unit, num_classes: int) -> "LabelledDBN":
        """The DBN over these units, with a label joined to the last unit but one."""
        *below, top = units
        joined = Joined(below[-1], Softmax(1, num_classes))
        return cls(DBN.chain(*below), RBM(joined, top))

    @property
    def layers(self) -> tuple[RBM, ...]:
        """All RBMs, bottom first, as `greedy` trains them."""
        return (*self.below.layers, self.top)

    @property
    def visible(self) -> Joined:
        """The unit of the data joined with the unit of the label."""
        _, label = parts_of(self.top.visible)
        return Joined(self.below.layers[0].visible, label)

    def init(
        self, key: Key[Array, ""], *, data: tuple[State, State] | None = None
    ) -> DBNParams:
        """Initial parameters; layer i draws from `fold_in(key, i)`.

        Args:
          data: (examples, labels), which the units of data and label are fitted to.
        """
        examples, labels = data or (None, None)
        key_top = random.fold_in(key, len(self.below.layers))
        top, (_, label) = self.top.init(key_top), parts_of(self.top.visible)
        visible = JoinedParams(first=top.visible.first, second=start_of(label, labels))
        return (
            *self.below.init(key, data=examples),
            RBMParams(visible=visible, hidden=top.hidden, weights=top.weights),
        )

    def label_log_probabilities(
        self, params: DBNParams, v: State
    ) -> Float[Array, " classes"]:
        """log p(y | hᴸ⁻¹) of every class, exact in the top RBM, where hᴸ⁻¹ is the code
        (the mean) of `v`."""
        code = self.below.encode(params[:-1], v)
        return label_log_probabilities(self.top, params[-1], code)

    def sampled_label_log_probabilities(
        self, params: DBNParams, v: State, key: Key[Array, ""]
    ) -> Float[Array, " classes"]:
        """log p(y | hᴸ⁻¹) of every class at a sampled hᴸ⁻¹; layer i draws from
        `fold_in(key, i)`."""
        features = self.below.sample_up(params[:-1], v, key)
        return label_log_probabilities(self.top, params[-1], features)
