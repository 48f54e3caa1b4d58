"""A sampler leaves as an artefact that runs for any number of chains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jboltz
from tests.helpers import classes_with, draw_like


def test_an_exported_sampler_runs_for_any_number_of_chains(getkey):
    """Parameters travel as a list of arrays: what reads them needs no jboltz."""
    model = jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(4))
    shapes = jax.eval_shape(model.init, getkey())
    params = draw_like(shapes, getkey(), scale=1.0)
    leaves, structure = jax.tree.flatten(params)

    def draw(leaves, v, key):
        params = jax.tree.unflatten(structure, leaves)
        chains, pictures, _ = jboltz.sample(
            model, params, key, warm_up=3, num_samples=2, thinning=2, start=v,
            observe=jboltz.observe_visible_mean,
        )  # fmt: skip
        return chains.states.visible, pictures

    (num_chains,) = export.symbolic_shape("num_chains")
    start = jax.ShapeDtypeStruct((num_chains, 6), jnp.float32)
    key = getkey()
    blob = export.export(jax.jit(draw))(leaves, start, key).serialize()
    assert isinstance(blob, bytearray)
    reloaded = export.deserialize(blob)
    again = jax.jit(reloaded.call)
    for count in (2, 5):
        v = jnp.tile(jnp.asarray([1.0, 0, 1, 1, 0, 0]), (count, 1))
        got, expected = again(leaves, v, key), jax.jit(draw)(leaves, v, key)
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-6)
        assert got[1].shape == (count, 2, 6)


def test_records_are_written_and_read_as_they_are(getkey):
    """Arguments and results of an artefact, fields that are no arrays included."""
    model = jboltz.RBM(jboltz.Gaussian(3), jboltz.Bernoulli(2))
    sampler = jboltz.ParallelTempering(jboltz.Annealed(model), num_replicas=2)
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey())
    states = draw_like(
        jax.eval_shape(sampler.init, params, params.visible.mean, getkey()), getkey()
    )
    examples = jboltz.EvaluationData(
        values=jnp.ones((1, 3)), binarisation="a threshold"
    )
    records = (params, jboltz.ChainStates(states=states), examples)
    blob = export.export(jax.jit(lambda records: records))(records).serialize()
    again = export.deserialize(blob).call(records)
    assert jax.tree.structure(again) == jax.tree.structure(records)
    assert [type(x) for x in again] == [type(x) for x in records]
    assert type(again[1].states) is type(states)
    for got, like in zip(*map(jax.tree.leaves, (again, records)), strict=True):
        np.testing.assert_array_equal(got, like)


def test_every_record_can_be_written():
    """A second registration of a class is refused, so each has one."""
    records = {
        cls for cls in classes_with("replace") if hasattr(cls, "_flax_dataclass")
    }
    assert jboltz.RBMParams in records
    for cls in records:
        with pytest.raises(ValueError, match=cls.__name__):
            export.register_pytree_node_serialization(
                cls,
                serialized_name=f"another {cls.__name__}",
                serialize_auxdata=lambda fields: b"",
                deserialize_auxdata=lambda text: (),
            )
