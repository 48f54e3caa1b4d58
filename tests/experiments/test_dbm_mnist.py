"""Where joint training of `dbm_mnist` starts."""

import jax
import jax.numpy as jnp
import numpy as np

from jboltz.evaluation.partition import model_log_partition
from jboltz.experiments import dbm_mnist
from jboltz.models.dbm import DBM
from jboltz.runs.workdir import Workdir

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 9), dtype=np.uint8)


def pretrained(path, pretraining):
    config = dbm_mnist.Config(
        layers=(9, 4, 3),
        pretraining=pretraining,
        pretrain_epochs=2,
        pretrain_learning_rate=0.5,
        batch_size=20,
        num_chains=3,
    )
    with Workdir(path, {}) as workdir:
        params, layers = dbm_mnist.pretrain(
            config,
            dbm_mnist.build(config),
            jnp.asarray(IMAGES),
            workdir,
            jax.random.key(0),
        )
    return dbm_mnist.build(config), params, layers


def log_probabilities(dbm, params, v):
    """log p(v), by enumeration."""

    def one(v):
        if len(dbm.units) == 2:
            return -dbm.free_energy(params, (v,))
        above, constant = dbm.given_data(params, v)
        return model_log_partition(dbm.hidden_model, above) - constant

    return jax.vmap(one)(v) - model_log_partition(dbm, params)


def test_a_machine_that_grows_is_the_one_before(tmp_path):
    dbm, params, layers = pretrained(tmp_path, "growing")
    assert [len(layer["losses"]) for layer in layers] == [2]
    lower = DBM(dbm.units[:2])
    lower_params = lower.from_parts(params.units[:2], params.weights[:1])
    v = jnp.asarray(IMAGES > 127, jnp.float32)
    found = log_probabilities(dbm, params, v)
    expected = log_probabilities(lower, lower_params, v)
    # The new coupling moves neither log Z nor log p*(v) by more than Σ|W|.
    band = 2 * float(jnp.sum(jnp.abs(params.weights[1])))
    assert np.max(np.abs(found - expected)) < band
    assert np.ptp(expected) > 3 * band


def test_greedy_layers_are_composed(tmp_path):
    _, params, layers = pretrained(tmp_path, "greedy")
    assert [len(layer["losses"]) for layer in layers] == [2, 2]
    assert [W.shape for W in params.weights] == [(9, 4), (4, 3)]
