"""Samples of a DBN: Gibbs in its top RBM, then one directed pass."""

from jaxtyping import Array, Integer, Key

from jboltz import random
from jboltz.base import State
from jboltz.models.dbn import DBN, DBNParams
from jboltz.samplers.chains import run
from jboltz.samplers.gibbs import Gibbs


def generate(
    dbn: DBN,
    params: DBNParams,
    start: State,
    key: Key[Array, ""],
    *,
    num_steps: int | Integer[Array, ""],
) -> State:
    """Draws one picture: the visible means under a sample of all hidden layers.

    Args:
      start: hᴸ⁻¹, the visible state of the top RBM at which its chain starts: from
        data (`dbn.sample_up(params[:-1], v, key)`), from noise (the unit's `sample`
        with zero inputs), or where an earlier chain ended.
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
