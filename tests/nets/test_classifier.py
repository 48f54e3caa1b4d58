"""A classifier's layers are those of the network that it was made of."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import pytest

import jboltz
from jboltz import Bernoulli
from jboltz.learning.mean_field import mean_field
from jboltz.models.dbm import inputs_of
from jboltz.nets.classifier import (
    Classifier,
    classifier_of,
    from_linen_params,
    posterior,
    to_linen_params,
)
from tests.helpers import binary_states, draw_like

DBN = jboltz.DBN.chain(Bernoulli(4), Bernoulli(3), Bernoulli(5), Bernoulli(2))
DBM = jboltz.DBM((Bernoulli(4), Bernoulli(3), Bernoulli(5), Bernoulli(2)))
MODELS = pytest.mark.parametrize("model", [DBN, DBM], ids=["DBN", "DBM"])
close = chex.assert_trees_all_close


def features(net, linen, *data):
    one = partial(net.apply, {"params": linen}, method="features")
    return jax.vmap(one)(*data)


def test_features_are_the_code_of_a_dbn(getkey, x64):
    params = draw_like(DBN.init(getkey()), getkey())
    linen = to_linen_params(DBN, params, num_classes=3)
    v = binary_states(4)
    code = jax.vmap(DBN.encode, in_axes=(None, 0))(params, v)
    close(features(classifier_of(DBN, 3), linen, v), code, rtol=1e-12)


def test_features_of_a_dbm_are_one_more_update_of_mean_field(getkey, x64):
    """Layer by layer from the bottom, from what mean field came to."""
    params = draw_like(DBM.init(getkey()), getkey())
    linen, v = to_linen_params(DBM, params, num_classes=3), jnp.array([1.0, 0, 0, 1])
    q = mean_field(DBM, params, v, tolerance=0.1)
    activities = dict(enumerate((v, *q.activities)))
    for layer in (1, 2, 3):
        inputs = inputs_of(params, activities, layer)
        unit = DBM.units[layer]
        activities[layer] = unit.mean(params.units[layer], inputs)
    net = classifier_of(DBM, 3)
    above = tuple(q.activities[1:])
    found = net.apply({"params": linen}, v, above, method="features")
    close(found, activities[3], rtol=1e-12)
    assert jnp.max(jnp.abs(found - q.activities[2])) > 1e-6
    # What the posterior hands over is the converged one, a fixed point of the layers.
    above = posterior(DBM, params, v)
    found = net.apply({"params": linen}, v, above, method="features")
    close(found, above[-1], atol=1e-4)


@MODELS
def test_there_and_back_is_exact(model, getkey):
    params = draw_like(model.init(getkey()), getkey())
    linen = to_linen_params(model, params, 3, getkey())
    chex.assert_trees_all_equal(from_linen_params(model, linen, params), params)
    v, above = jnp.zeros(4), (jnp.zeros(5), jnp.zeros(2)) if model is DBM else ()
    fresh = classifier_of(model, 3).init(getkey(), v, above)["params"]
    chex.assert_trees_all_equal_shapes_and_dtypes(linen, fresh)


def test_what_a_classifier_lacks_is_kept(getkey):
    params = draw_like(DBN.init(getkey()), getkey())
    trained = draw_like(to_linen_params(DBN, params, 3), getkey())
    back = from_linen_params(DBN, trained, params)
    for layer, (new, old) in enumerate(zip(back, params, strict=True), start=1):
        chex.assert_trees_all_equal(new.visible, old.visible)
        chex.assert_trees_all_equal(new.weights, trained[f"hidden_{layer}"]["kernel"])


def test_a_head_is_zero_or_drawn(getkey):
    params = DBN.init(getkey())
    assert not to_linen_params(DBN, params, 3)["head"]["kernel"].any()
    limit = (6 / (2 + 3)) ** 0.5
    kernel = to_linen_params(DBN, params, 3, getkey())["head"]["kernel"]
    assert 0 < jnp.max(jnp.abs(kernel)) <= limit


def test_dropout_keeps_the_mean_of_a_layer(getkey):
    """Of a linear head over dropped features: unbiased, within 5 standard errors."""
    net = Classifier(hidden=(6,), num_classes=1, dropout=(0.0, 0.5))
    v = jnp.ones(4)
    variables = net.init(getkey(), v)
    keys = jax.random.split(getkey(), 4000)
    draws = jax.vmap(
        lambda key: net.apply(variables, v, is_training=True, rngs={"dropout": key})
    )(keys)
    error = jnp.std(draws) / len(draws) ** 0.5
    assert error > 0
    assert abs(jnp.mean(draws) - net.apply(variables, v)[0]) < 5 * error


def test_bad_input_is_refused(getkey):
    with pytest.raises(ValueError, match=r"Gaussian.*Bernoulli units alone"):
        classifier_of(jboltz.DBN.chain(jboltz.Gaussian(4), Bernoulli(3)), 2)
    with pytest.raises(ValueError, match=r"`dropout` is \(0.5,\).*2 rates"):
        Classifier(hidden=(3,), num_classes=2, dropout=(0.5,)).init(
            getkey(), jnp.zeros(4)
        )
    with pytest.raises(ValueError, match=r"`above` has 0 layers.*augmented by 2"):
        classifier_of(DBM, 2).init(getkey(), jnp.zeros(4))
