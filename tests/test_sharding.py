"""Many devices: the draws of one, the collectives that there have to be, and moving.

Eight devices are simulated on the processor; see `conftest`.
"""

import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import jboltz
from jboltz import sharding
from jboltz.checkpoint import Checkpoints
from jboltz.learning.loop import prepared_step
from jboltz.learning.step import init_train_state, make_train_step
from tests.helpers import errors_without_hook, rng_of

SIZES = [(8, 1), (1, 8), (2, 4)]
# What is between them is compiled in the slow tests.
SMALLER = [
    pytest.param(x, marks=pytest.mark.slow) for x in [(1, 1), (2, 1), (4, 1), (1, 2)]
]
VISIBLE, HIDDEN, BATCH, CHAINS = 48, 32, 16, 24
RBM = jboltz.RBM(jboltz.Bernoulli(VISIBLE), jboltz.Bernoulli(HIDDEN))
DBM = jboltz.DBM(tuple(map(jboltz.Bernoulli, (VISIBLE, HIDDEN, 16))))
SLAB = jboltz.SpikeAndSlab(VISIBLE, HIDDEN)
GIBBS = jboltz.Gibbs(RBM)
CD = jboltz.ContrastiveDivergence(RBM, GIBBS, num_steps=2)
PCD = jboltz.PersistentContrastiveDivergence(RBM, GIBBS, CHAINS, num_steps=2)
ESTIMATORS = {
    "CD": CD,
    "centred PCD": jboltz.Centred(PCD),
    "fast PCD": jboltz.FastPersistentContrastiveDivergence(RBM, GIBBS, CHAINS),
    "spike and slab": jboltz.PersistentContrastiveDivergence(
        SLAB, jboltz.Gibbs(SLAB), CHAINS
    ),
    "DBM": jboltz.MeanFieldPCD(DBM, jboltz.Gibbs(DBM), CHAINS, max_sweeps=3),
}
OPTIMIZER = optax.sgd(0.05, momentum=0.5)


def as_float(rows, key):
    del key
    return rows.astype(jnp.float32)


def mesh_of(size):
    return sharding.make_mesh(data=size[0], model=size[1])


def binary(getkey, *shape):
    return jnp.asarray(rng_of(getkey()).integers(0, 2, shape), jnp.uint8)


def start(estimator, key):
    key_params, key_state = jax.random.split(key)
    params = estimator.model.init(key_params)
    return init_train_state(params, estimator, OPTIMIZER, key_state)


@pytest.mark.parametrize("size", [*SIZES, *SMALLER], ids=str)
def test_chains_draw_what_they_draw_on_one_device(size, getkey):
    """Exactly, where sums do not round: weights are multiples of 1/64."""
    params = jax.tree.map(lambda x: jnp.round(64 * x) / 64, RBM.init(getkey()))
    rng = rng_of(getkey())
    weights = jnp.asarray(rng.integers(-64, 64, (VISIBLE, HIDDEN)) / 64, jnp.float32)
    params = RBM.from_parts((params.visible, params.hidden), (weights,))
    visible = binary(getkey, CHAINS, VISIBLE).astype(jnp.float32)
    chains, key = jboltz.init_chains(GIBBS, params, visible, getkey()), getkey()
    run = jax.jit(partial(jboltz.run_chains, GIBBS, num_steps=5))
    expected, _ = run(params, chains, key)
    mesh = mesh_of(size)
    placed = sharding.place({"estimator_state": chains, "params": params}, mesh)
    got, _ = run(placed["params"], placed["estimator_state"], key)
    chex.assert_trees_all_equal(jax.device_get(got), jax.device_get(expected))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("CD", size) for size in SIZES),
        *((name, (2, 4)) for name in ESTIMATORS if name != "CD"),
        *(
            pytest.param(name, size, marks=pytest.mark.slow)
            for name in ESTIMATORS
            for size in SIZES[:2]
            if name != "CD"
        ),
    ],
    ids=str,
)
def test_training_is_that_of_one_device(name, size, getkey):
    """To the rounding of sums; with a last batch that the devices do not share."""
    estimator = ESTIMATORS[name]
    state, key = start(estimator, getkey()), getkey()
    rows, step = (
        binary(getkey, 3 * BATCH + 3, VISIBLE),
        make_train_step(estimator, OPTIMIZER),
    )
    fit = partial(jboltz.fit, step, key=key, batch_size=BATCH, num_epochs=1)
    expected, _ = fit(state, rows, prepare=as_float)
    mesh = mesh_of(size)
    got, _ = fit(
        sharding.place(state, mesh),
        sharding.replicate(rows, mesh),
        prepare=sharding.over_data(as_float, mesh),
    )
    chex.assert_trees_all_close(
        sharding.gather(got.params), expected.params, rtol=1e-4, atol=1e-5
    )
    for leaf, kept in zip(
        jax.tree.leaves(got), jax.tree.leaves(sharding.layout(got, mesh)), strict=True
    ):
        assert leaf.sharding.is_equivalent_to(kept, leaf.ndim)


@pytest.mark.parametrize("size", [(8, 1), (2, 4)], ids=str)
def test_a_stream_feeds_every_device_its_rows(size, getkey):
    """And trains as on one device."""
    state, key = start(CD, getkey()), getkey()
    rows = np.asarray(binary(getkey, 3, BATCH, VISIBLE))
    fit = partial(jboltz.fit_stream, make_train_step(CD, OPTIMIZER), key=key)
    expected, _ = fit(state, rows, prepare=as_float)
    mesh = mesh_of(size)
    placed = sharding.feed(mesh)(rows)
    assert placed.sharding.shard_shape(rows.shape) == (3, BATCH // size[0], VISIBLE)
    got, _ = fit(
        sharding.place(state, mesh),
        rows,
        prepare=sharding.over_data(as_float, mesh),
        place=sharding.feed(mesh),
    )
    chex.assert_trees_all_close(
        sharding.gather(got.params), expected.params, rtol=1e-4, atol=1e-5
    )


COLLECTIVES = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"


def collectives(text):
    """Name, and bytes of the result, of each collective of a compiled program; those
    in the body of a loop once."""
    found = []
    for line in text.splitlines():
        match = re.search(rf"= (.*?) ({COLLECTIVES})(?:-start)?\(", line)
        if match:
            shapes = re.findall(r"(?:f32|u32|s32|pred)\[([\d,]*)\]", match[1])
            counts = [np.prod([int(n) for n in x.split(",") if n]) for x in shapes]
            found.append((match[2], 4 * int(sum(counts))))
    return found


def compile_step(estimator, size, *, batch=BATCH, num_visible=VISIBLE):
    mesh = mesh_of(size)
    state = jax.eval_shape(partial(start, estimator), jax.random.key(0))
    whole = NamedSharding(mesh, PartitionSpec())
    key = jax.eval_shape(lambda: jax.random.key(0))
    rows = jax.ShapeDtypeStruct((batch, num_visible), jnp.uint8, sharding=whole)
    run = partial(prepared_step, make_train_step(estimator, OPTIMIZER))
    placed = sharding.layout(state, mesh), whole
    return (
        jax.jit(run, donate_argnums=1, out_shardings=placed)
        .lower(
            sharding.over_data(as_float, mesh),
            sharding.template(state, mesh),
            jboltz.Batch(values=rows),
            jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=whole),
        )
        .compile()
    )


GRADIENT = 4 * (VISIBLE * HIDDEN + VISIBLE + HIDDEN)


@pytest.mark.parametrize("estimator", [CD, PCD], ids=["CD", "PCD"])
def test_over_data_a_step_reduces_the_gradient_and_its_metrics_once(estimator):
    """In one all-reduce. On a processor it holds the gradients of both phases, which
    are added after it."""
    ((name, size),) = collectives(compile_step(estimator, (8, 1)).as_text())
    assert name == "all-reduce"
    assert 2 * GRADIENT <= size <= 2 * GRADIENT + 1024


def test_over_model_a_sweep_reduces_the_inputs_of_the_visible_units():
    found = collectives(compile_step(PCD, (1, 8)).as_text())
    assert {name for name, _ in found} == {"all-reduce"}
    sweep, *metrics = sorted((size for _, size in found), reverse=True)
    assert sweep == 4 * CHAINS * VISIBLE
    # Free energies, sums over hidden units, of examples and of chains.
    assert sum(metrics) <= 4 * (BATCH + CHAINS)


def test_over_both_nothing_is_gathered():
    found = collectives(compile_step(PCD, (2, 4)).as_text())
    assert {name for name, _ in found} == {"all-reduce"}
    sizes = [size for _, size in found]
    assert 4 * (CHAINS // 2) * VISIBLE in sizes
    local = 4 * (VISIBLE * HIDDEN // 4 + VISIBLE + HIDDEN // 4)
    assert max(sizes) <= max(2 * local + 1024, 4 * (CHAINS // 2) * VISIBLE)


@pytest.mark.parametrize(
    "counts", [(1, 8), pytest.param((1, 2, 4, 8), marks=pytest.mark.slow)], ids=str
)
def test_twice_the_devices_do_twice_the_batch(counts):
    """Products a device, as XLA counts them."""
    flops = [
        compile_step(CD, (count, 1), batch=64 * count).cost_analysis()["flops"]
        for count in counts
    ]
    assert max(flops) <= 1.02 * min(flops)


def test_a_model_that_no_device_holds_is_laid_out():
    """100 000 × 20 000 weights are 8 GB: a device has an eighth of them, of their
    momentum, and less than that whole for all that a step needs besides."""
    num_visible, num_hidden = 100_000, 20_000
    model = jboltz.RBM(jboltz.Bernoulli(num_visible), jboltz.Bernoulli(num_hidden))
    estimator = jboltz.ContrastiveDivergence(model, jboltz.Gibbs(model))
    program = compile_step(estimator, (1, 8), num_visible=num_visible)
    memory = program.memory_analysis()
    weights = 4 * num_visible * num_hidden
    assert memory.argument_size_in_bytes <= 1.01 * 2 * weights / 8
    assert memory.temp_size_in_bytes <= weights / 2
    assert memory.alias_size_in_bytes >= 0.99 * 2 * weights / 8


def test_a_smaller_one_is_made_and_trained_where_it_is_laid_out(getkey):
    """From lists of what is on, by a stream; nothing is ever whole on a device."""
    num_visible, num_hidden, mesh = 2000, 400, mesh_of((2, 4))
    model = jboltz.RBM(jboltz.Bernoulli(num_visible), jboltz.Bernoulli(num_hidden))
    estimator = jboltz.ContrastiveDivergence(model, jboltz.Gibbs(model))

    def init(key):
        return init_train_state(model.init(key), estimator, OPTIMIZER, key)

    key, rng = getkey(), rng_of(getkey())
    layout = sharding.layout(jax.eval_shape(init, key), mesh)
    state = jax.jit(init, out_shardings=layout)(key)
    # Each row is of one half of the units.
    halves = rng.integers(0, 2, 320)
    lists = [rng.choice(1000, 20, replace=False) + 1000 * half for half in halves]
    rows = jboltz.pad_indices([x.tolist() for x in lists], num_visible)
    state, history = jboltz.fit_stream(
        make_train_step(estimator, OPTIMIZER),
        state,
        rows.reshape(20, 16, -1),
        getkey(),
        prepare=sharding.over_data(jboltz.FromIndices(num_visible), mesh),
        place=sharding.feed(mesh),
    )
    stays = jax.tree.map(
        lambda x, y: x.sharding.is_equivalent_to(y, x.ndim), state, layout
    )
    assert all(jax.tree.leaves(stays))
    held = state.params.weights.addressable_shards
    assert {shard.data.shape for shard in held} == {(num_visible, num_hidden // 4)}
    error = history["reconstruction_error"]
    assert error[-1] < 0.5 * error[0]


def test_checkpoints_move_between_meshes(tmp_path, getkey):
    state = start(PCD, getkey())
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, sharding.place(state, mesh_of((8, 1))), {})
        for size in [(1, 8), (2, 4), (1, 1)]:
            found, _ = checkpoints.restore(sharding.template(state, mesh_of(size)))
            chex.assert_trees_all_equal(
                jax.device_get(found.state), jax.device_get(state)
            )
            where = jax.tree.map(lambda x: x.sharding, found.state)
            assert where == sharding.layout(state, mesh_of(size))


def specs(tree, **axes):
    mesh = Mesh(np.asarray(jax.devices()).reshape(2, 4), ("data", "model"))
    found = sharding.layout(tree, mesh, **axes)
    return {
        jax.tree_util.keystr(path): tuple(x.spec)
        for path, x in jax.tree_util.tree_leaves_with_path(found)
    }


def by_kind(params):
    return jax.tree.map(lambda x: "matrix" if x.ndim == 2 else "vector", params)


ADAM = optax.chain(
    optax.clip(1.0), optax.scale_by_adam(), optax.scale_by_learning_rate(0.1)
)
OPTIMIZERS = {
    "chain": ADAM,
    "ema": optax.chain(optax.identity(), optax.ema(0.9), optax.sgd(0.1)),
    "partition": optax.partition(
        {"matrix": ADAM, "vector": optax.sgd(0.1, momentum=0.5)}, by_kind
    ),
    "MultiSteps": optax.MultiSteps(ADAM, 2),
    "hyperparameters": optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
    "factored": optax.adafactor(0.1, min_dim_size_to_factor=2),
}
ODD = jboltz.RBM(jboltz.Bernoulli(31), jboltz.Bernoulli(8))


@pytest.mark.parametrize("model", [ODD, DBM], ids=["RBM", "DBM"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_an_optimizer_keeps_lies_as_its_parameter(name, model):
    """Wherever it is kept; what has another shape is whole."""
    params = jax.eval_shape(model.init, jax.random.key(0))
    state = jax.eval_shape(OPTIMIZERS[name].init, params)
    own = specs(params)
    shapes = {
        jax.tree_util.keystr(path): x.shape
        for path, x in jax.tree_util.tree_leaves_with_path(params)
    }
    found = specs({"params": params, "opt_state": state})
    kept = jax.tree_util.tree_leaves_with_path({"opt_state": state})
    divided = 0
    for path, leaf in kept:
        path = jax.tree_util.keystr(path)
        names = [x for x in own if path.endswith(x) and shapes[x] == leaf.shape]
        assert found[path] == (own[names[0]] if names else (None,) * leaf.ndim), path
        divided += "model" in found[path]
    assert {key.removeprefix("['params']"): x for key, x in found.items()}.items() >= (
        own.items()
    )
    assert divided


def test_parameters_lie_by_their_own_path():
    rbm = jax.eval_shape(ODD.init, jax.random.key(0))
    assert specs(rbm)[".weights"] == (None, "model")
    # Of a DBN every layer has hidden units, of a DBM the odd ones.
    stack = specs((rbm, rbm))
    assert stack["[0].weights"] == stack["[1].weights"] == (None, "model")
    dbm = specs(jax.eval_shape(DBM.init, jax.random.key(0)))
    assert dbm[".weights[0]"] == (None, "model")
    assert dbm[".weights[1]"] == ("model", None)
    # A net of Flax is whole, whatever its layers are called.
    net = {"params": {"hidden": {"kernel": jax.ShapeDtypeStruct((3, 5), jnp.float32)}}}
    assert [*specs(net).values()] == [(None, None)]


def test_fast_weights_lie_as_the_weights():
    estimator = ESTIMATORS["fast PCD"]
    found = specs(jax.eval_shape(partial(start, estimator), jax.random.key(0)))
    assert found[".estimator_state.fast.weights"] == (None, "model")
    assert found[".estimator_state.chains.hidden"] == ("data", "model")
    assert found[".estimator_state.chains.visible"] == ("data", None)


def test_axes_have_the_names_of_the_mesh():
    state = jax.eval_shape(partial(start, PCD), jax.random.key(0))
    mesh = Mesh(np.asarray(jax.devices()).reshape(2, 2, 2), ("host", "dp", "tp"))
    both = sharding.layout(state, mesh, data=("host", "dp"), model="tp")
    assert both.params.weights.spec == PartitionSpec(None, "tp")
    assert both.estimator_state.hidden.spec == PartitionSpec(("host", "dp"), "tp")
    alone = sharding.layout(state, mesh, data="dp", model=None)
    assert {*alone.params.weights.spec} == {None}
    assert sharding.template(state, mesh, data="dp", model=None).params.weights.shape
    with pytest.raises(ValueError, match=r"`model` is 'model' but .*model=None"):
        sharding.layout(state, mesh, data="dp")
    with pytest.raises(
        ValueError, match=r"`batch_size` is 6, which `mesh.host, dp` = 4"
    ):
        sharding.check_batch(6, mesh, data=("host", "dp"))
    for needs_names in (sharding.feed, partial(sharding.over_data, as_float)):
        with pytest.raises(ValueError, match=r"`data` is 'data' but .*'host', 'dp'"):
            needs_names(mesh)


def explicit_mesh():
    return jax.make_mesh((2, 4), ("dp", "tp"), axis_types=(AxisType.Explicit,) * 2)


def test_training_on_explicit_axes_is_that_of_one_device(getkey):
    """Divided along both of them."""
    state, key, mesh = start(PCD, getkey()), getkey(), explicit_mesh()
    rows = binary(getkey, 2 * BATCH, VISIBLE)
    fit = partial(jboltz.fit, make_train_step(PCD, OPTIMIZER), batch_size=BATCH)
    expected, _ = fit(state, rows, key, num_epochs=1, prepare=as_float)
    got, _ = fit(
        sharding.place(state, mesh, data="dp", model="tp"),
        sharding.replicate(rows, mesh),
        key,
        num_epochs=1,
        prepare=sharding.over_data(as_float, mesh, data="dp"),
    )
    chex.assert_trees_all_close(
        sharding.gather(got.params), expected.params, rtol=1e-4, atol=1e-5
    )
    assert got.params.weights.sharding.spec == PartitionSpec(None, "tp")


def test_chains_divided_along_an_explicit_axis_draw_what_they_draw(getkey):
    params, key = RBM.init(getkey()), getkey()
    visible = binary(getkey, 8, VISIBLE).astype(jnp.float32)

    def run(params, visible):
        chains = jboltz.init_chains(GIBBS, params, visible, key)
        return jboltz.run_chains(GIBBS, params, chains, key, num_steps=2)[0].visible

    divided = NamedSharding(explicit_mesh(), PartitionSpec("dp"))
    whole = sharding.replicate(params, explicit_mesh())
    got = jax.jit(run)(whole, jax.device_put(visible, divided))
    np.testing.assert_array_equal(got, jax.jit(run)(params, visible))
    assert got.sharding.spec == PartitionSpec("dp", None)


def over_devices(function, mesh, out_specs):
    in_specs = PartitionSpec(), PartitionSpec("data"), PartitionSpec()
    return jax.jit(
        jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs)
    )


def of_device(key):
    return jax.random.fold_in(key, jax.lax.axis_index("data"))


def test_moments_in_shard_map_are_those_of_each_device(getkey):
    params, key, mesh = RBM.init(getkey()), getkey(), mesh_of((2, 1))
    visible = binary(getkey, 8, VISIBLE).astype(jnp.float32)

    @jax.jit
    def moments(visible, key):
        draw = partial(jboltz.sample_moments, RBM, warm_up=1, num_samples=3)
        return draw(params, key, start=visible, with_covariance=True)[1].covariance

    shared = over_devices(
        lambda _, v, k: moments(v, of_device(k))[None], mesh, PartitionSpec("data")
    )
    got = shared(params, visible, key)
    for index, part in enumerate(np.split(visible, 2)):
        expected = moments(jnp.asarray(part), jax.random.fold_in(key, index))
        np.testing.assert_allclose(got[index], expected, rtol=1e-4, atol=1e-6)


def test_an_estimate_in_shard_map_is_a_sum_unless_parameters_vary(getkey):
    params, key, mesh = RBM.init(getkey()), getkey(), mesh_of((2, 1))
    rows = binary(getkey, 8, VISIBLE).astype(jnp.float32)

    def estimate(params, rows, key):
        return CD.estimate(params, (), jboltz.Batch(values=rows), key)[0]

    def mean(params, rows, key):
        own = sharding.vary(params, "data")
        return jax.lax.pmean(estimate(own, rows, of_device(key)), "data")

    def total(params, rows, key):
        return estimate(params, rows, of_device(key))

    parts = [
        jax.jit(estimate)(params, part, jax.random.fold_in(key, index))
        for index, part in enumerate(jnp.split(rows, 2))
    ]
    expected = jax.tree.map(lambda *x: sum(x), *parts)
    close = partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-6)
    close(over_devices(total, mesh, PartitionSpec())(params, rows, key), expected)
    got = over_devices(mean, mesh, PartitionSpec())(params, rows, key)
    close(got, jax.tree.map(lambda x: x / 2, expected))


def test_what_devices_cannot_share_is_refused(getkey):
    setup = (
        "import jax; jax.config.update('jax_num_cpu_devices', 8); import jboltz as j; "
        "from jboltz import sharding as s; m = j.RBM(j.Bernoulli(6), j.Bernoulli(5)); "
        "p = {'params': m.init(jax.random.key(0))}"
    )
    errors = {
        "s.make_mesh(data=0)": "`mesh.data` is 0 but needs to be a whole number of at",
        "s.make_mesh(data=3)": "3 × 1 = 3, which does not divide the 8 devices; take",
        "s.make_mesh(data=4, model=4)": "4 × 4 = 16, which does not divide the 8 dev",
        "s.check_batch(100, s.make_mesh(data=8))": (
            "`batch_size` is 100, which `mesh.data` = 8 does not divide; take a "
            "multiple of it, or 4 along `data`."
        ),
        "s.place(p, s.make_mesh(model=2))": "is 5, which `mesh.model` = 2 does not",
    }
    found = errors_without_hook(setup, list(errors))
    for call, message in errors.items():
        assert found[call].startswith("InvalidValue")
        assert message in found[call]
