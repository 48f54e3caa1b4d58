"""Samples of a DBN: Gibbs steps in its top RBM, then one directed pass down."""

import dataclasses

from jaxtyping import Array, Float, Integer, Key

from jboltz import random
from jboltz.abilities import DirectedModel
from jboltz.base import Metrics, State, hold
from jboltz.checks import cast_states
from jboltz.models.dbn import DBN, DBNParams
from jboltz.models.labelled import LabelledDBN
from jboltz.samplers.chains import check_num_steps, run
from jboltz.samplers.gibbs import ClampedGibbs, Gibbs, GibbsState


def generate(
    dbn: DBN,
    params: DBNParams,
    start: State,
    key: Key[Array, ""],
    *,
    num_steps: int | Integer[Array, ""],
) -> State:
    """E[v | h¹] at one sample of all hidden layers.

    Args:
      start: hᴸ⁻¹, the visible state at which the chain of the top RBM starts: from
        data (`dbn.sample_up(params[:-1], v, key)`), from noise (`sample_start` of the
        top RBM), or from the end of an earlier chain.
      num_steps: Gibbs steps in the top RBM.

    Reference:
      Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief nets,
      section 6.
    """
    key_init, key_run, key_down = random.split(key, 3)
    sampler = Gibbs(dbn.layers[-1])
    chain = sampler.init(params[-1], start, key_init)
    chain, _ = run(sampler, params[-1], chain, key_run, num_steps=num_steps)
    return dbn.sample_down(params, chain.hidden, key_down)


def generate_from_noise(
    dbn: DBN,
    params: DBNParams,
    key: Key[Array, ""],
    num_steps: int | Integer[Array, ""],
) -> State:
    """E[v | h¹] as in `generate`, where the chain starts at noise."""
    key_start, key_chain = random.split(key)
    start = dbn.layers[-1].sample_start(params[-1], key_start)
    return generate(dbn, params, start, key_chain, num_steps=num_steps)


def generate_labelled(
    model: LabelledDBN,
    params: DBNParams,
    start: State,
    label: Float[Array, "1 classes"],
    key: Key[Array, ""],
    *,
    num_steps: int | Integer[Array, ""],
) -> State:
    """E[v | h¹] at one sample of all hidden layers given a label.

    The label is held while the chain of the top RBM runs.

    Args:
      start: hᴸ⁻¹ at which the chain starts, as for `generate`, without the label.
      label: the class, one-hot.
      num_steps: Gibbs steps in the top RBM.
    """
    key_init, key_run, key_down = random.split(key, 3)
    sampler = ClampedGibbs(model.top)
    visible, clamp = (start, label), (False, True)
    chain = sampler.init(params[-1], visible, key_init, clamp=clamp)
    chain, _ = run(sampler, params[-1], chain, key_run, num_steps=num_steps)
    features, _ = chain.visible
    return model.below.sample_down(params[:-1], features, key_down)


@dataclasses.dataclass(frozen=True)
class AncestralGibbs:
    """Gibbs steps in the top RBM, then a draw of every layer below given the one above.

    The DBN's p(v, h¹ … hᴸ) is invariant, since the Gibbs steps leave p(hᴸ⁻¹, hᴸ)
    invariant and the other layers are drawn from p(v … hᴸ⁻² | hᴸ⁻¹). The state's
    `hidden` is the tuple (h¹, …, hᴸ). One pass down follows `num_steps` Gibbs steps,
    which is cheaper than thinning. `is_pathwise` is explained in `Gibbs`.

    Args:
      model: the DBN whose states are drawn.
      num_steps: the Gibbs steps in the top RBM per pass down.
      is_pathwise: whether derivatives pass through the draws.
    """

    model: DirectedModel
    num_steps: int = 1
    _: dataclasses.KW_ONLY
    is_pathwise: bool = False

    def __post_init__(self) -> None:
        check_num_steps(self.num_steps, at_least=1)

    def init(self, params: DBNParams, v: State, key: Key[Array, ""]) -> GibbsState:
        """A chain at `v`, whose hidden layers are sampled upwards."""
        params, v = hold(self, params, cast_states(v, params))
        hidden = self.model.sample_layers_up(params, v, key)
        return GibbsState(visible=v, hidden=hidden)

    def step(
        self, params: DBNParams, state: GibbsState, key: Key[Array, ""]
    ) -> tuple[GibbsState, Metrics]:
        params, state = hold(self, params, state)
        key_top, key_down = random.split(key)
        *_, below, top = (state.visible, *state.hidden)
        sampler = Gibbs(self.model.layers[-1], is_pathwise=self.is_pathwise)
        chain, _ = run(
            sampler,
            params[-1],
            GibbsState(visible=below, hidden=top),
            key_top,
            num_steps=self.num_steps,
        )
        under = self.model.sample_layers_down(params[:-1], chain.visible, key_down)
        visible, *hidden = (*under, chain.visible, chain.hidden)
        return GibbsState(visible=visible, hidden=tuple(hidden)), {}
