"""Running a kernel: keys, lengths and compilations.

`Recorder` is Gibbs that reports what it drew from, so that draws can be compared bit
for bit. States are compared so too, with dyadic weights: their sums do not round, in
whatever order a device adds them.
"""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jboltz.base import EnergyModel
from jboltz.models.rbm import RBM, RBMParams
from jboltz.random import fold_in_range
from jboltz.samplers import chains
from jboltz.samplers.chains import init_chains, run, run_chains
from jboltz.samplers.gibbs import Gibbs, GibbsState
from jboltz.units.bernoulli import Bernoulli, BernoulliParams
from jboltz.units.gaussian import Gaussian
from tests.helpers import draw_like, errors_without_hook, rng_of


@dataclasses.dataclass(frozen=True)
class Recorder:
    model: EnergyModel

    def init(self, params, v, key):
        return Gibbs(self.model).init(params, v, key)

    def step(self, params, state, key):
        state, _ = Gibbs(self.model).step(params, state, key)
        return state, {
            "key": jax.random.key_data(key),
            "uniforms": jax.random.uniform(key, (3,)),
            "visible": state.visible,
        }


def model_of(num_visible=6, num_hidden=5):
    return RBM(Bernoulli(num_visible), Bernoulli(num_hidden))


def dyadic_case(getkey, num_chains):
    """A sampler, parameters that are multiples of 2⁻⁶, and chains."""
    model, rng = model_of(), rng_of(getkey())

    def dyadic(*shape):
        return jnp.asarray(rng.integers(-64, 65, shape) / 64, jnp.float32)

    params = RBMParams(
        visible=BernoulliParams(bias=dyadic(6)),
        hidden=BernoulliParams(bias=dyadic(5)),
        weights=dyadic(6, 5),
    )
    states = GibbsState(
        visible=jnp.asarray(rng.integers(0, 2, (num_chains, 6)), jnp.float32),
        hidden=jnp.asarray(rng.integers(0, 2, (num_chains, 5)), jnp.float32),
    )
    return Recorder(model), params, states


def first(tree, count):
    return jax.tree.map(lambda x: x[:count], tree)


# One chain.


def test_a_run_is_the_loop_of_its_steps(getkey):
    """Step t draws from `fold_in(key, t)`; metrics are stacked over steps."""
    sampler, params, states = dyadic_case(getkey, 1)
    start, key = jax.tree.map(lambda x: x[0], states), getkey()
    end, metrics = run(sampler, params, start, key, num_steps=5)
    state, step = start, jax.jit(sampler.step)
    for t in range(5):
        state, step_metrics = step(params, state, jax.random.fold_in(key, t))
        chex.assert_trees_all_equal(
            jax.tree.map(lambda x, t=t: x[t], metrics), step_metrics
        )
    chex.assert_trees_all_equal(end, state)
    assert (metrics["visible"][0] != metrics["visible"][4]).any(), "nothing moved"


def test_a_run_of_real_units_is_the_loop_of_its_steps(getkey, x64):
    model = RBM(Gaussian(3), Bernoulli(2))
    params = draw_like(jax.eval_shape(model.init, getkey()), getkey(), scale=0.5)
    sampler, key = Gibbs(model), getkey()
    state = sampler.init(params, jnp.zeros(3), getkey())
    end, metrics = run(sampler, params, state, key, num_steps=3)
    assert metrics == {}
    for t in range(3):
        state, _ = sampler.step(params, state, jax.random.fold_in(key, t))
    chex.assert_trees_all_close(end, state, rtol=1e-12)


def test_more_steps_leave_the_first_ones_as_they_were(getkey):
    sampler, params, states = dyadic_case(getkey, 1)
    start, key = jax.tree.map(lambda x: x[0], states), getkey()
    _, short = run(sampler, params, start, key, num_steps=2)
    _, long = run(sampler, params, start, key, num_steps=5)
    chex.assert_trees_all_equal(first(long, 2), short)


def test_no_step_is_no_change(getkey):
    sampler, params, states = dyadic_case(getkey, 1)
    start = jax.tree.map(lambda x: x[0], states)
    end, metrics = run(sampler, params, start, getkey(), num_steps=0)
    chex.assert_trees_all_equal(end, start)
    assert metrics["uniforms"].shape == (0, 3)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_a_traced_length_runs_the_chain_of_a_static_one(num_steps, getkey):
    sampler, params, states = dyadic_case(getkey, 1)
    start, key = jax.tree.map(lambda x: x[0], states), getkey()
    end, metrics = run(sampler, params, start, key, num_steps=num_steps)
    traced_end, last = run(
        sampler, params, start, key, num_steps=jnp.asarray(num_steps)
    )
    chex.assert_trees_all_equal(traced_end, end)
    chex.assert_trees_all_equal(last, jax.tree.map(lambda x: x[-1], metrics))


def test_a_traced_length_of_zero_is_no_change(getkey):
    sampler, params, states = dyadic_case(getkey, 1)
    start = jax.tree.map(lambda x: x[0], states)
    end, _ = run(sampler, params, start, getkey(), num_steps=jnp.asarray(0))
    chex.assert_trees_all_equal(end, start)


# Many chains.


def test_chain_i_is_a_run_with_the_key_folded_with_i(getkey):
    sampler, params, states = dyadic_case(getkey, 3)
    key = getkey()
    ends, metrics = run_chains(sampler, params, states, key, num_steps=5)
    for index in range(3):
        one = jax.tree.map(lambda x, index=index: x[index], (states, ends, metrics))
        expected = run(
            sampler, params, one[0], jax.random.fold_in(key, index), num_steps=5
        )
        chex.assert_trees_all_equal(one[1:], expected)


@pytest.mark.parametrize("is_traced", [False, True], ids=["static", "traced"])
def test_more_chains_leave_the_draws_of_the_others_as_they_were(is_traced, getkey):
    sampler, params, states = dyadic_case(getkey, 24)
    num_steps = jnp.asarray(3) if is_traced else 3
    key = getkey()
    many = advance(sampler, params, states, key, num_steps)
    few = advance(sampler, params, first(states, 4), key, num_steps)
    chex.assert_trees_all_equal(first(many, 4), few)
    uniforms = np.asarray(many[1]["uniforms"]).reshape(-1, 3)
    assert len(np.unique(uniforms, axis=0)) == len(uniforms), "chains share draws"


def advance(sampler, params, states, key, num_steps):
    """`run_chains` in a program of the user's, with a length of either kind."""
    static = () if isinstance(num_steps, jax.Array) else (4,)
    return compiled_for(static)(sampler, params, states, key, num_steps)


@functools.cache
def compiled_for(static):
    def call(sampler, params, states, key, num_steps):
        return run_chains(sampler, params, states, key, num_steps=num_steps)

    return jax.jit(call, static_argnums=(0, *static))


def test_more_chains_leave_the_starts_of_the_others_as_they_were(getkey):
    sampler, params, states = dyadic_case(getkey, 11)
    key = getkey()
    init = jax.jit(init_chains, static_argnums=0)
    many = init(sampler, params, states.visible, key)
    few = init(sampler, params, states.visible[:4], key)
    chex.assert_trees_all_equal(first(many, 4), few)
    chex.assert_trees_all_equal(many.visible, states.visible)
    alone = sampler.init(params, states.visible[2], jax.random.fold_in(key, 2))
    chex.assert_trees_all_equal(jax.tree.map(lambda x: x[2], many), alone)


@pytest.mark.parametrize("is_traced", [False, True], ids=["static", "traced"])
def test_chains_split_over_eight_devices_are_those_of_one(is_traced, getkey):
    """Keys, uniforms and states: nothing knows how many devices there are."""
    devices = jax.devices()
    assert len(devices) == 8
    mesh = Mesh(np.asarray(devices), ("data",))
    sampler, params, states = dyadic_case(getkey, 24)
    num_steps = jnp.asarray(3) if is_traced else 3
    key = getkey()
    expected = advance(sampler, params, states, key, num_steps)
    split = jax.device_put(states, NamedSharding(mesh, PartitionSpec("data")))
    everywhere = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    got = advance(sampler, everywhere, split, key, num_steps)
    assert got[0].visible.sharding.device_set == set(devices)
    assert got[0].visible.addressable_shards[0].data.shape == (3, 6)
    chex.assert_trees_all_equal(jax.device_get(got), jax.device_get(expected))


def test_a_folded_key_is_the_key_of_a_split(getkey):
    """Under threefry: other libraries' loops split, and draw the same."""
    key, count = getkey(), 5
    assert jax.random.key_impl(key) == "threefry2x32"
    folded = jax.random.key_data(fold_in_range(key, count))
    split = jax.random.key_data(jax.random.split(key, count))
    np.testing.assert_array_equal(folded, split)
    alone = jax.random.fold_in(key, count - 1)
    np.testing.assert_array_equal(folded[-1], jax.random.key_data(alone))


# Compilations.


def test_one_program_serves_every_traced_length(getkey):
    sampler, params, states = dyadic_case(getkey, 2)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def advance(params, states, key, num_steps):
        return run_chains(sampler, params, states, key, num_steps=num_steps)

    for num_steps in (1, 2, 5, 0):
        advance(params, states, getkey(), jnp.asarray(num_steps))


@pytest.mark.parametrize("is_traced", [False, True], ids=["static", "traced"])
def test_a_spec_built_again_is_not_compiled_again(is_traced, getkey):
    """Specs hash by value: the second sampler is another object and the same key."""
    num_steps = jnp.asarray(2) if is_traced else 2
    compiled = chains._loop if is_traced else chains._scan
    params = jax.tree.map(
        lambda x: jnp.zeros(x.shape), jax.eval_shape(model_of(7, 2).init, getkey())
    )
    start = GibbsState(visible=jnp.zeros(7), hidden=jnp.zeros(2))
    sizes = [compiled._cache_size()]
    for _ in range(3):
        sampler = Gibbs(model_of(7, 2))
        run(sampler, params, start, getkey(), num_steps=num_steps)
        sizes.append(compiled._cache_size())
    assert np.diff(sizes).tolist() == [1, 0, 0]


def test_a_loop_of_runs_traces_the_kernel_once(getkey):
    """`run` compiles itself, so an eager loop over it is not slow."""
    _, params, states = dyadic_case(getkey, 1)
    start, traces = jax.tree.map(lambda x: x[0], states), []

    @dataclasses.dataclass(frozen=True)
    class Traced:
        model: EnergyModel

        def init(self, params, v, key):
            return Gibbs(self.model).init(params, v, key)

        def step(self, params, state, key):
            traces.append(key)
            return Gibbs(self.model).step(params, state, key)

    for _ in range(3):
        run(Traced(model_of()), params, start, getkey(), num_steps=2)
    assert len(traces) == 1


# Errors.

BAD_NUM_STEPS = {
    "2.5": "InvalidType: `num_steps` is 2.5 but",
    "'3'": "InvalidType: `num_steps` is '3' but",
    "None": "InvalidType: `num_steps` is None but",
    "True": "InvalidType: `num_steps` is True but",
    "jnp.asarray(2.0)": "InvalidType: `num_steps` is Array(2., dtype=float32",
    "jnp.asarray(True)": "InvalidType: `num_steps` is Array(True, dtype=bool",
    "-1": "InvalidValue: `num_steps` is -1 but a chain needs at least 0",
    "np.int64(-1)": "InvalidValue: `num_steps` is -1 but a chain needs at least 0",
    "np.int64(2)": "nothing raised",
    "0": "nothing raised",
}


@pytest.fixture(scope="module")
def errors():
    setup = (
        "import jax, jax.numpy as jnp, numpy as np\n"
        "from jboltz.models.rbm import RBM\n"
        "from jboltz.samplers.chains import run, run_chains\n"
        "from jboltz.samplers.gibbs import Gibbs\n"
        "from jboltz.units.bernoulli import Bernoulli\n"
        "model, key = RBM(Bernoulli(3), Bernoulli(2)), jax.random.key(0)\n"
        "params = model.init(key)\n"
        "state = Gibbs(model).init(params, jnp.zeros(3), key)\n"
        "states = jax.tree.map(lambda x: x[None], state)\n"
        "def one(n): run(Gibbs(model), params, state, key, num_steps=n)\n"
        "def many(n): run_chains(Gibbs(model), params, states, key, num_steps=n)\n"
    )
    calls = [f"{f}({n})" for f in ("one", "many") for n in BAD_NUM_STEPS]
    return errors_without_hook(setup, calls)


@pytest.mark.parametrize("num_steps", BAD_NUM_STEPS)
@pytest.mark.parametrize("function", ["one", "many"])
def test_a_length_that_is_no_count_is_refused(function, num_steps, errors):
    assert errors[f"{function}({num_steps})"].startswith(BAD_NUM_STEPS[num_steps])


def test_a_single_state_in_the_place_of_chains_is_named(getkey):
    """Not "pass what you passed": what is missing is the axis of chains."""
    model, state = model_of(), GibbsState(visible=jnp.ones(6), hidden=jnp.ones(5))
    params, sampler = model.init(getkey()), Gibbs(model)
    with pytest.raises(ValueError, match=r"a leading axis .*`state\[None\]`"):
        init_chains(sampler, params, state.visible, getkey())
    message = (
        r"`states` has leaves of shapes \[\(6,\), \(5,\)\] but chains need a leading"
    )
    with pytest.raises(ValueError, match=message):
        run_chains(sampler, params, state, getkey(), num_steps=1)
    with pytest.raises(ValueError, match="`visible` has leaves of shapes"):
        init_chains(sampler, params, jnp.ones(()), getkey())


def test_chains_are_cast_to_the_precision_of_the_parameters(getkey, x64):
    model = RBM(Gaussian(4), Bernoulli(3))
    wide = model.init(getkey())
    params = jax.tree.map(lambda x: x.astype(jnp.float32), wide)
    sampler, key = Gibbs(model), getkey()
    chains = init_chains(sampler, wide, jnp.zeros((2, 4)), getkey())
    assert chains.visible.dtype == jnp.float64
    for num_steps in (3, jnp.asarray(3)):
        last, _ = run_chains(sampler, params, chains, key, num_steps=num_steps)
        assert {x.dtype for x in jax.tree.leaves(last)} == {jnp.dtype(jnp.float32)}
