"""The models under test: `test_model_conformance` runs on each. One line a model."""

import jax
import jax.numpy as jnp

import jboltz
from jboltz.models.annealed import AnnealedParams
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.swapped import SwappedLayers
from tests.helpers import draw_like

B = jboltz.Bernoulli
RBM = jboltz.RBM(B(3), B(2))
REAL = jboltz.RBM(jboltz.Gaussian(2), jboltz.Joined(B(2), jboltz.Softmax(1, 3)))
DBM = jboltz.DBM((B(2), B(3), B(2), jboltz.Spin(1)))
SLABS = jboltz.SpikeAndSlab(2, 2)

MODELS = {
    "rbm": RBM,
    "rbm of real units": REAL,
    "dbm": DBM,
    "annealed": jboltz.Annealed(RBM),
    "swapped": SwappedLayers(DBM),
    "spike and slab": SLABS,
    "annealed spike and slab": AnnealedSpikeAndSlab(SLABS),
}


def draw_params(model, getkey, scale=0.3):
    """Parameters with nothing at its initial value, and a rung between its ends."""
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale)
    if isinstance(params, AnnealedParams):
        return params.replace(beta=jnp.asarray(0.4))
    return params
