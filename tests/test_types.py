"""Data, chains and parameters of different types: states take that of the parameters.

Nothing is computed but in the last test: a loop whose carry changes its type is refused
when it is traced.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.base import Batch
from jboltz.checks import cast_states
from jboltz.evaluation import annealing
from jboltz.evaluation.rungs import rungs_of
from jboltz.learning.loop import run_steps
from jboltz.samplers.gibbs import GibbsState
from tests.helpers import draw_like, enable_x64
from tests.learning import cases as rules
from tests.samplers import cases as kernels

B = jboltz.Bernoulli
RBM = jboltz.RBM(B(4), B(3))
REAL = jboltz.RBM(jboltz.Gaussian(4), B(3))
DBM = jboltz.DBM((B(4), B(3), B(2)))
GIBBS = jboltz.Gibbs(RBM)
PCD = jboltz.PersistentContrastiveDivergence(RBM, GIBBS, 2)
SGD = optax.sgd(0.1, momentum=0.9)

# (parameters, data); the last two in a process where another library asked for x64.
TYPES = [
    ("float32", "float16"),
    ("float32", "int32"),
    ("float32", "bool"),
    ("bfloat16", "float32"),
    ("float16", "bfloat16"),
    ("float32", "float64"),
    ("float64", "float32"),
]


def turned(table):
    """Each of the table with one of the types in turn."""
    return list(zip(table, itertools.cycle(TYPES)))


def params_of(init, dtype):
    params = jax.eval_shape(lambda: init(jax.random.key(0)))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), params)


def in_x64(function, types):
    if "float64" not in types:
        return function()
    with enable_x64():
        return function()


def dtypes(tree):
    return {str(x.dtype) for x in jax.tree.leaves(tree)} - {"bool", "int32"}


@pytest.mark.parametrize(("name", "types"), turned(rules.ESTIMATORS))
def test_training_keeps_the_type_of_the_parameters(name, types):
    """Three updates in one loop, of weighted examples."""
    estimator, (of_params, of_data) = rules.ESTIMATORS[name], types
    rows = jnp.ones((3, 4))
    mask = rows > 0 if name in ("imputed", "present only") else None

    def train(params):
        state = jboltz.init_train_state(params, estimator, SGD, jax.random.key(0))
        batch = Batch(
            values=rules.examples_for(estimator, rows.astype(of_data)),
            weights=jnp.ones(3),
            mask=mask,
        )
        step = jboltz.make_train_step(estimator, SGD)

        def update(state, t):
            return step(state, batch, jax.random.fold_in(jax.random.key(1), t))

        return run_steps(update, state, 0, 3, 3)[0]

    def run():
        return jax.eval_shape(
            train, params_of(partial(rules.init, estimator), of_params)
        )

    assert dtypes(in_x64(run, types)) == {of_params}


# The parameters of a trajectory are a ladder, which `sample` does not take.
@pytest.mark.parametrize(
    ("name", "types"), turned([x for x in kernels.SAMPLERS if x != "trajectory"])
)
def test_chains_keep_the_type_of_the_parameters(name, types):
    sampler, (of_params, of_data) = kernels.SAMPLERS[name], types
    key = jax.random.key(0)

    def draw(params):
        v = jnp.ones((2, 4), of_data)
        chains = jboltz.init_chains(sampler, params, v, key)
        for num_steps in (2, jnp.asarray(2)):
            chains, _ = jboltz.run_chains(
                sampler, params, chains, key, num_steps=num_steps
            )
        sampled, _, _ = jboltz.sample(
            sampler.model,
            params,
            key,
            warm_up=1,
            num_samples=2,
            sampler=sampler,
            start=v,
        )
        return chains, sampled.states

    def run():
        return jax.eval_shape(
            draw, params_of(partial(kernels.init, sampler), of_params)
        )

    assert dtypes(in_x64(run, types)) == {of_params}


@pytest.mark.parametrize("types", TYPES[1::2])
def test_chains_of_another_type_go_on(types):
    """From where chains of the type of the data, or of float32, are."""
    of_params, of_data = types
    of_chains = "float32" if of_data == "int32" else of_data
    key = jax.random.key(0)

    def draw(params):
        states = GibbsState(
            visible=jnp.ones((2, 4), of_data), hidden=jnp.ones((2, 3), of_chains)
        )
        jboltz.run_chains(GIBBS, params, states, key, num_steps=2)
        jboltz.run_chains(GIBBS, params, states, key, num_steps=jnp.asarray(2))
        start = jboltz.ChainStates(states=states)
        jboltz.sample(RBM, params, key, warm_up=1, num_samples=2, start=start)
        jboltz.sample_moments(RBM, params, key, warm_up=1, num_samples=2, start=start)

    in_x64(lambda: jax.eval_shape(draw, params_of(RBM.init, of_params)), types)


@pytest.mark.parametrize("types", TYPES[1::2])
def test_annealing_takes_points_and_bases_of_another_type(types):
    of_params, of_data = types
    annealed, key, betas = (
        jboltz.Annealed(REAL),
        jax.random.key(0),
        np.linspace(0, 1, 4),
    )

    def weights(params, base, given):
        v, rungs = jnp.ones((2, 4), of_data), rungs_of(annealed, params, base, betas)
        points = cast_states(v, params)
        hidden = cast_states(jboltz.Annealed(DBM).init(key).base[1:], given)
        return (
            annealing._from_base(annealed, rungs, jax.random.split(key, 2)),
            annealing._from_model(annealed, rungs, v, key),
            annealing._from_points(annealed, rungs, points, key, num_chains=2)[0],
            annealing._clamped(
                DBM, given, hidden, rungs.beta, points, key, num_chains=2
            ),
        )

    def run():
        base = jax.eval_shape(lambda: annealed.init(key).base)
        given = params_of(DBM.init, of_params)
        return jax.eval_shape(weights, params_of(REAL.init, of_params), base, given)

    assert dtypes(in_x64(run, types)) == {of_params}


def test_x64_by_another_library_changes_no_result(getkey):
    """Parameters and data were made before; training, sampling and annealing go on."""
    estimator = jboltz.Centred(PCD)
    step = jboltz.make_train_step(estimator, SGD)
    params = draw_like(jax.eval_shape(RBM.init, getkey()), getkey())
    data = np.random.default_rng(0).random((10, 4)) < 0.5
    state = jboltz.init_train_state(params, estimator, SGD, getkey())
    key, annealed, betas = getkey(), jboltz.Annealed(RBM), np.linspace(0, 1, 9)

    def go_on(data):
        trained, histories = jboltz.fit(
            step, state, data, key, batch_size=4, num_epochs=1
        )
        chains = jboltz.ChainStates(states=trained.estimator_state.inner)
        _, draws, _ = jboltz.sample(
            RBM, trained.params, key, warm_up=1, num_samples=2, start=chains
        )
        base = annealed.init(key).base
        points = data[:2].astype(int)
        raised = jboltz.reverse_ais_log_likelihood(
            annealed, params, base, betas, points, key, num_chains=20
        )
        return trained, histories, draws, raised.log_weights

    expected = go_on(jnp.asarray(data, jnp.float32))
    with enable_x64():
        got = go_on(data)
    for x, y in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    assert dtypes(got[0]) == {"float32"}
