"""A model of one's own that lacks an ability is told which, and by which protocol."""

import dataclasses

import jax
import pytest

import jboltz
from jboltz import abilities, base
from jboltz.models.annealed_spike_and_slab import AnnealedSpikeAndSlab
from jboltz.models.swapped import SwappedLayers
from tests.helpers import errors_without_hook

# An `EnergyModel` whose hidden state integrates out, and no more.
SETUP = """
import jax, numpy as np, optax
from jboltz import *

class Mine:
    def __init__(self):
        inner = RBM(Bernoulli(2), Bernoulli(1))
        needed = "init energy free_energy sample_hidden sample_visible sample_start"
        for name in needed.split():
            setattr(self, name, getattr(inner, name))

key, mine, data = jax.random.key(0), Mine(), np.ones((4, 2))
params = mine.init(key)
cd = ContrastiveDivergence(mine, Gibbs(mine))
labelled = LabelledDBN.chain(*map(Bernoulli, (2, 2, 1)), num_classes=2)
look = lambda **how: sample(mine, params, key, warm_up=0, **how)
"""
LACKING = {
    "Annealed(mine)": ("LayeredModel", "units"),
    "model_log_partition(mine, params)": ("LayeredModel", "hidden_free_energy"),
    "pseudo_log_likelihood(mine, params, data)": ("TwoLayerModel", "parts"),
    "log_likelihood(mine, params, data, 0.0)": ("DataModel", "domain"),
    "free_energy_gap(mine, params, data, data)": ("DataModel", "domain"),
    "Centred(cd)": ("CentrableModel", "mean_activities"),
    "Sparse(cd, target=0.1, strength=1.0)": ("TwoLayerModel", "mean_hidden_state"),
    "look(observe=observe_visible_mean)": ("VisibleMeanModel", "mean_visible_state"),
    "ParallelTempering(mine)": ("AnnealedModel", "base_log_partition"),
    "annealed_importance_sampling(mine, params, (), [0, 1], key, num_chains=2)": (
        "AnnealedModel",
        "log_weight",
    ),
    "sample(labelled, labelled.init(key), key, warm_up=0)": (
        "DirectedModel",
        "sample_layers_up",
    ),
    "TracedEstimator(cd)": ("PersistentEstimator", "chains_of"),
    "make_train_step(mine, optax.sgd(0.1))": ("Estimator", "estimate"),
}


@pytest.fixture(scope="module")
def errors():
    return errors_without_hook(SETUP, LACKING)


@pytest.mark.parametrize("call", LACKING)
def test_what_is_lacking_is_named(call, errors):
    protocol, member = LACKING[call]
    home = abilities if hasattr(abilities, protocol) else base
    protocol = getattr(home, protocol)
    assert errors[call].startswith("InvalidType: `"), errors[call]
    _, without = errors[call].split(" without ", 1)
    missing, rest = without.split(", but ", 1)
    assert member in missing.split(", ")
    assert f"`{protocol.__module__}.{protocol.__name__}`" in rest


B = jboltz.Bernoulli
RBM = jboltz.RBM(B(3), B(2))
DBM = jboltz.DBM((B(3), B(2), B(2)))
DBN = jboltz.DBN.chain(B(3), B(2), B(2))
HAVE = {
    abilities.HiddenMeanModel: [RBM, jboltz.SpikeAndSlab(3, 2)],
    abilities.VisibleMeanModel: [RBM, DBM, DBN, jboltz.SpikeAndSlab(3, 2)],
    abilities.DataModel: [RBM, DBM, DBN, jboltz.SpikeAndSlab(3, 2)],
    abilities.AugmentedModel: [DBM],
    abilities.LayeredModel: [RBM, DBM, SwappedLayers(DBM)],
    abilities.AnnealedModel: [
        jboltz.Annealed(RBM),
        AnnealedSpikeAndSlab(jboltz.SpikeAndSlab(3, 2)),
    ],
    abilities.CentrableModel: [RBM, DBM],
    abilities.TwoLayerModel: [RBM],
    abilities.DirectedModel: [DBN],
    abilities.Normalizable: [RBM, DBM, DBN],
}
MODELS = {model for models in HAVE.values() for model in models}


@pytest.mark.parametrize("ability", HAVE, ids=lambda ability: ability.__name__)
def test_the_models_of_the_library_have_the_abilities_that_they_declare(ability):
    having = {model for model in MODELS if isinstance(model, ability)}
    assert having >= {*HAVE[ability]}
    if ability is not abilities.Normalizable:  # and those that are not told apart by it
        assert having == {*HAVE[ability]}


def test_data_are_a_part_of_an_augmented_state(getkey):
    state = jax.eval_shape(DBM.sample_start, DBM.init(getkey()), getkey())
    assert abilities.data_of(DBM, state) is state[0]
    assert DBM.with_data(state, None) == (None, *state[1:])
    assert abilities.data_of(RBM, state) is state


@dataclasses.dataclass(frozen=True)
class NamesItsDomain(jboltz.Bernoulli):
    domain = "binary"


def test_a_unit_whose_domain_is_a_word_is_refused():
    unit = NamesItsDomain(3)
    builds = (
        lambda: jboltz.RBM(unit, jboltz.Bernoulli(2)),
        lambda: jboltz.DBM((jboltz.Bernoulli(2), unit)),
        lambda: jboltz.Copies(unit, 2),
        lambda: jboltz.Joined(jboltz.Bernoulli(2), unit),
    )
    for build in builds:
        with pytest.raises(TypeError, match=r"domain` is 'binary' .*UnitInterval"):
            build()
