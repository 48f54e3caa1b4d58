"""The samplers under test: `test_sampler_conformance` runs on each of them, and
`test_types` on theirs. One line a sampler, and how its parameters are made."""

import jax
import jax.numpy as jnp

import jboltz
from jboltz.samplers.langevin import GibbsLangevin, OverRelaxed
from jboltz.samplers.recognition import ClampedRecognition
from jboltz.samplers.tempering import ParallelTempering, TrajectoryTempering
from jboltz.samplers.traced_sampler import TracedSampler
from tests.helpers import draw_like

# Real visible units: a draw of theirs would have a derivative, if it were not held.
NUM_VISIBLE = 4
RBM = jboltz.RBM(jboltz.Gaussian(NUM_VISIBLE), jboltz.Bernoulli(3))
DBN = jboltz.DBN((RBM, jboltz.RBM(jboltz.Bernoulli(3), jboltz.Gaussian(2))))
SLABS = jboltz.SpikeAndSlab(NUM_VISIBLE, 3)

SAMPLERS = {
    "gibbs": jboltz.Gibbs(RBM),
    "spike and slab": jboltz.Gibbs(SLABS),
    "clamped": jboltz.ClampedGibbs(RBM),
    "ancestral": jboltz.AncestralGibbs(DBN, num_steps=2),
    "recognition": ClampedRecognition(DBN, num_proposals=2),
    "over-relaxed": OverRelaxed(RBM),
    "langevin": GibbsLangevin(RBM, is_adjusted=False),
    "adjusted": GibbsLangevin(RBM),
    "tempering": ParallelTempering(jboltz.Annealed(RBM), num_replicas=2),
    "trajectory": TrajectoryTempering(RBM),
    "observed": TracedSampler(jboltz.Gibbs(RBM)),
}


def init(sampler, key):
    """Parameters of the sampler's model; for a ladder of checkpoints, two of them."""
    params = sampler.model.init(key)
    if isinstance(sampler, TrajectoryTempering):
        return jax.tree.map(lambda x: jnp.stack([x, x]), params)
    return params


def draw_params(sampler, getkey, scale=0.7):
    return draw_like(jax.eval_shape(lambda: init(sampler, getkey())), getkey(), scale)
