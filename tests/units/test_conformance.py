"""Every unit is the exponential family it says it is.

Γ, the means and the draws are held against sums over all states of the unit, or
quadrature where it is real, of nothing but its `energy` and `activity`.
"""

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import jboltz
from jboltz.base import Domain, Unit, log_normalizer_gain
from tests.helpers import (
    draw_like,
    enable_x64,
    errors_without_hook,
    rng_of,
    rows_of,
    states_of,
)
from tests.units.cases import EXACT_UNITS, UNITS, is_enumerable

CLOSED_FORM, AUTODIFF = 1e-9, 1e-7  # relative, in float64
NUM_DRAWS = 20_000
each_unit = pytest.mark.parametrize("unit", UNITS, ids=repr)
each_exact_unit = pytest.mark.parametrize("unit", EXACT_UNITS, ids=repr)


def assert_close(tree, expected, **options):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, **options), tree, expected
    )


def draw_case(unit, getkey, dtype=None):
    """Parameters with nothing at its initial value, and inputs."""
    shapes = jax.eval_shape(lambda: (unit.init(), jnp.zeros(unit.size)))
    params, inputs = draw_like(shapes, getkey())
    cast = (params, 3 * inputs)
    return jax.tree.map(lambda x: x.astype(dtype or x.dtype), cast)


def log_joint(unit, params, inputs):
    """The states of the unit, and log w(x) + I·a(x) − E(x) of each."""
    states, log_weights = states_of(unit)
    return states, log_weights + exponents(unit, params, inputs, states)


@partial(jax.jit, static_argnums=0)
def exponents(unit, params, inputs, states):
    def exponent(x):
        return inputs @ unit.activity(params, x) - unit.energy(params, x)

    return jax.vmap(exponent)(states)


def probabilities(unit, params, inputs):
    """The states as rows, their activities and probabilities, in NumPy's float64."""
    states, log_p = log_joint(unit, params, inputs)
    activities = activities_of(unit, params, states)
    log_p = np.asarray(log_p, np.float64)
    p = np.exp(log_p - np.logaddexp.reduce(log_p))
    return np.asarray(rows_of(states), np.float64), activities, p


def activities_of(unit, params, states):
    activity = jax.jit(jax.vmap(unit.activity, in_axes=(None, 0)))
    return np.asarray(activity(params, states), np.float64)


@partial(jax.jit, static_argnums=(0, 4))
def draw(unit, params, inputs, key, num_draws=NUM_DRAWS):
    keys = jax.random.split(key, num_draws)
    return jax.vmap(unit.sample, in_axes=(None, None, 0))(params, inputs, keys)


def functions(unit, params, inputs, key):
    """What every function of the contract returns, by name."""
    base = jax.tree.map(jnp.zeros_like, params)
    x = unit.sample(params, inputs, key)
    return {
        "sample": x,
        "energy": unit.energy(params, x),
        "activity": unit.activity(params, x),
        "log_normalizer": unit.log_normalizer(params, inputs),
        "mean": unit.mean(params, inputs),
        "mean_state": unit.mean_state(params, inputs),
        "interpolate": unit.interpolate(params, base, jnp.asarray(0.3, inputs.dtype)),
    }


def derivatives(unit, params, inputs):
    """Those of Γ that training and the tests take."""
    return {
        "slope": jax.grad(unit.log_normalizer)(params, inputs),
        "gradient": jax.grad(unit.log_normalizer, argnums=1)(params, inputs),
        "curvature": jax.hessian(unit.log_normalizer, argnums=1)(params, inputs),
    }


@partial(jax.jit, static_argnums=0)
def everything(unit, params, inputs, key):
    return functions(unit, params, inputs, key) | derivatives(unit, params, inputs)


@each_unit
def test_it_satisfies_the_protocol(unit, getkey):
    assert isinstance(unit, Unit)
    assert isinstance(unit.domain, Domain)
    params, inputs = draw_case(unit, getkey)
    out = jax.eval_shape(partial(functions, unit), params, inputs, getkey())
    assert jax.tree.map(jnp.shape, out["sample"]) == unit.shape
    assert jax.tree.map(jnp.shape, out["mean_state"]) == unit.shape
    assert out["activity"].shape == out["mean"].shape == (unit.size,)
    assert out["energy"].shape == out["log_normalizer"].shape == ()
    assert jax.tree.map(jnp.shape, out["interpolate"]) == jax.tree.map(
        jnp.shape, unit.init()
    )


@each_unit
def test_a_unit_built_again_is_equal_and_has_the_same_hash(unit):
    again = dataclasses.replace(unit)
    assert again == unit
    assert hash(again) == hash(unit)


@each_exact_unit
def test_log_normalizer_is_the_log_of_the_sum_over_states(unit, getkey, x64):
    params, inputs = draw_case(unit, getkey)
    _, log_p = log_joint(unit, params, inputs)
    np.testing.assert_allclose(
        everything(unit, params, inputs, getkey())["log_normalizer"],
        np.logaddexp.reduce(log_p),
        rtol=CLOSED_FORM,
        atol=CLOSED_FORM,
    )


@each_unit
def test_mean_is_the_gradient_of_log_normalizer(unit, getkey, x64):
    params, inputs = draw_case(unit, getkey)
    got = everything(unit, params, inputs, getkey())
    np.testing.assert_allclose(got["mean"], got["gradient"], rtol=AUTODIFF)


@each_exact_unit
def test_means_are_those_of_the_sum_over_states(unit, getkey, x64):
    params, inputs = draw_case(unit, getkey)
    states, activities, p = probabilities(unit, params, inputs)
    got = everything(unit, params, inputs, getkey())
    np.testing.assert_allclose(got["mean"], p @ activities, rtol=CLOSED_FORM)
    mean_state = ravel_pytree(got["mean_state"])[0]
    np.testing.assert_allclose(mean_state, p @ states, rtol=CLOSED_FORM)


@each_exact_unit
def test_second_derivative_of_log_normalizer_is_the_covariance(unit, getkey, x64):
    params, inputs = draw_case(unit, getkey)
    _, activities, p = probabilities(unit, params, inputs)
    centred = activities - p @ activities
    np.testing.assert_allclose(
        everything(unit, params, inputs, getkey())["curvature"],
        np.einsum("x,xi,xj->ij", p, centred, centred),
        rtol=AUTODIFF,
        atol=AUTODIFF,
    )


@each_exact_unit
def test_slope_of_log_normalizer_in_the_parameters_is_that_of_the_sum(
    unit, getkey, x64
):
    """∂Γ/∂θ = E[I·∂a/∂θ − ∂E/∂θ], which is what training differentiates."""
    params, inputs = draw_case(unit, getkey)

    def log_sum(params):
        return jax.nn.logsumexp(log_joint(unit, params, inputs)[1])

    got = everything(unit, params, inputs, getkey())["slope"]
    assert_close(got, jax.jit(jax.grad(log_sum))(params), rtol=AUTODIFF)


@each_exact_unit
def test_activity_of_samples_has_the_moments_that_log_normalizer_says(unit, getkey):
    """E[a] = ∂Γ and Cov[a] = ∂²Γ; the bands come from the sum over states."""
    params, inputs = draw_case(unit, getkey)
    a = activities_of(unit, params, draw(unit, params, inputs, getkey()))
    _, exact, p = probabilities(unit, params, inputs)
    out = everything(unit, params, inputs, getkey())
    mean, covariance = np.asarray(out["gradient"]), np.asarray(out["curvature"])

    def products(a):
        return np.einsum("ni,nj->nij", a - mean, a - mean)

    z_mean = (a.mean(0) - mean) / np.sqrt(np.diag(covariance) / NUM_DRAWS)
    assert np.abs(z_mean).max() < 5
    variance = np.einsum("n,nij->ij", p, products(exact) ** 2) - covariance**2
    z = (products(a).mean(0) - covariance) / np.sqrt(variance / NUM_DRAWS)
    assert np.abs(z).max() < 5


@each_exact_unit
def test_samples_have_the_moments_of_the_sum_over_states(unit, getkey):
    """Of x, of x xᵀ and of cos 2x, which sees the shape of a density too."""
    params, inputs = draw_case(unit, getkey)
    states, _, p = probabilities(unit, params, inputs)
    x = draw(unit, params, inputs, getkey())

    def statistics(x):
        x = np.asarray(rows_of(x), np.float64)
        products = np.einsum("ni,nj->nij", x, x).reshape(len(x), -1)
        return np.concatenate([x, products, np.cos(2 * x)], axis=1)

    exact = statistics(states)
    mean = p @ exact
    error = np.sqrt(np.maximum(p @ exact**2 - mean**2, 0) / NUM_DRAWS)
    # No error where there is no spread: two categories of a site are never both on.
    z = (statistics(x).mean(0) - mean) / (error + 1e-9)
    assert np.abs(z).max() < 5


@pytest.mark.parametrize("unit", [*filter(is_enumerable, EXACT_UNITS)], ids=repr)
def test_each_state_is_drawn_as_often_as_its_probability_says(unit, getkey):
    params, inputs = draw_case(unit, getkey)
    states, _, p = probabilities(unit, params, inputs)
    num_draws = int(np.ceil(500 / p.min()))
    assert num_draws < 1_000_000
    x = np.asarray(rows_of(draw(unit, params, inputs, getkey(), num_draws)))
    counts = (x[:, None] == states).all(axis=-1).sum(axis=0)
    assert counts.sum() == num_draws, "a draw is no state of the unit"
    z = (counts - num_draws * p) / np.sqrt(num_draws * p * (1 - p))
    assert np.abs(z).max() < 5


@each_unit
@pytest.mark.parametrize("size", [-1e3, 1e3], ids=["-1e3", "1e3"])
def test_extreme_inputs_stay_finite_and_right(unit, size, getkey):
    """In float32, against the same functions in float64."""
    params, _ = draw_case(unit, getkey)
    # No two alike: the categories of a site know their inputs' differences alone.
    inputs, key = jnp.linspace(size, size / 2, unit.size), getkey()
    got = everything(unit, params, inputs, key)
    for name, value in got.items():
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(value)), name
    with enable_x64():
        wide = jax.tree.map(lambda x: x.astype(jnp.float64), (params, inputs))
        exact = everything(unit, *wide, key)
    # A draw in float64 is another draw, and interpolation sees no inputs.
    for name in exact.keys() - {"sample", "energy", "activity", "interpolate"}:
        assert_close(got[name], exact[name], rtol=2e-5, atol=1e-30, err_msg=name)
    if is_enumerable(unit):
        x = draw(unit, params, inputs, key)
        likeliest = np.round(ravel_pytree(got["mean_state"])[0])
        np.testing.assert_array_equal(rows_of(x), likeliest[None].repeat(NUM_DRAWS, 0))


def test_jit_changes_nothing(getkey, x64):
    unit = UNITS[0]
    params, inputs = draw_case(unit, getkey)
    key = getkey()
    eager = functions(unit, params, inputs, key)
    compiled = jax.jit(functions, static_argnums=0)(unit, params, inputs, key)
    assert_close(compiled, eager, rtol=1e-12, atol=1e-12)


@each_unit
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_dtype_is_kept_where_the_default_is_float64(unit, dtype, getkey, x64):
    params, inputs = draw_case(unit, getkey, dtype)
    with jax.numpy_dtype_promotion("strict"):
        out = jax.eval_shape(partial(functions, unit), params, inputs, getkey())
        out |= jax.eval_shape(partial(derivatives, unit), params, inputs)
    for name, value in out.items():
        for leaf in jax.tree.leaves(value):
            assert leaf.dtype == dtype, name


@each_unit
def test_interpolate_mixes_the_energies_up_to_a_constant(unit, getkey, x64):
    params, base = (draw_case(unit, getkey)[0] for _ in range(2))
    states = jax.tree.map(lambda x: x[-100:], states_of(unit)[0])
    energy = jax.jit(jax.vmap(unit.energy, in_axes=(None, 0)))
    interpolate = jax.jit(unit.interpolate)
    of_params, of_base = (np.asarray(energy(p, states)) for p in (params, base))
    for beta in (0.0, 0.3, 1.0):
        rung = interpolate(params, base, jnp.asarray(beta))
        mixed = np.asarray(energy(rung, states))
        expected = (1 - beta) * of_base + beta * of_params
        np.testing.assert_allclose(
            mixed - mixed[0], expected - expected[0], rtol=CLOSED_FORM, atol=CLOSED_FORM
        )


def counts_of(unit):
    """The fields of a unit that are numbers."""
    return [
        f.name for f in dataclasses.fields(unit) if type(getattr(unit, f.name)) is int
    ]


@each_unit
@pytest.mark.parametrize("bad", [0, -3, True], ids=repr)
def test_a_size_below_one_is_refused(unit, bad):
    for field in counts_of(unit):
        with pytest.raises(ValueError, match=f"`{field}` is {bad!r} .*at least"):
            dataclasses.replace(unit, **{field: bad})


METHODS = ["energy", "activity", "log_normalizer", "mean", "mean_state", "sample"]
BAD_SHAPES = {"batched": "(7, *SHAPE)", "too long": "(LENGTH + 1, *SHAPE[1:])"}


def bad_call(index, method, shape):
    key = ", key" if method == "sample" else ""
    return f"call({index}, {method!r}, {BAD_SHAPES[shape]!r}{key})"


def complex_call(index, method):
    key = ", key" if method == "sample" else ""
    return f"call_complex({index}, {method!r}{key})"


def first_shape(unit, method):
    """Of the argument of a method; of its first array, where it is a tuple."""
    shape = unit.shape if method in ("energy", "activity") else (unit.size,)
    while isinstance(shape[0], tuple):
        shape = shape[0]
    return shape


@pytest.fixture(scope="module")
def errors():
    """What units answer to wrong arguments, by call: one subprocess for all."""
    setup = (
        "import dataclasses\n"
        "import jax, jax.numpy as jnp\n"
        "from tests.units.cases import UNITS\n"
        "key = jax.random.key(0)\n"
        "def call(index, method, shape, *key):\n"
        "    unit = UNITS[index]\n"
        "    of_state = method in ('energy', 'activity')\n"
        "    expected = unit.shape if of_state else (unit.size,)\n"
        "    getattr(unit, method)(unit.init(), bad(expected, shape), *key)\n"
        "def call_complex(index, method, *key):\n"
        "    unit = UNITS[index]\n"
        "    cast = (unit.init(), jnp.zeros(unit.size))\n"
        "    cast = jax.tree.map(lambda x: x + 0j, cast)\n"
        "    getattr(unit, method)(*cast, *key)\n"
        "def bad(expected, shape):\n"
        "    if isinstance(expected[0], tuple):\n"
        "        return tuple(bad(part, shape) for part in expected)\n"
        "    names = {'SHAPE': expected, 'LENGTH': expected[0]}\n"
        "    return jnp.zeros(eval(shape, names))\n"
        "def build(index, field, value):\n"
        "    dataclasses.replace(UNITS[index], **{field: value})\n"
    )
    calls = [
        bad_call(index, method, shape)
        for index in range(len(UNITS))
        for method in METHODS
        for shape in BAD_SHAPES
    ]
    calls += [
        complex_call(index, method)
        for index in range(len(UNITS))
        for method in (*METHODS, "shift")
        if method not in ("energy", "activity")
    ]
    calls += [
        f"build({index}, {field!r}, {value!r})"
        for index, unit in enumerate(UNITS)
        for field in counts_of(unit)
        for value in (2.5, "3", None)
    ]
    return errors_without_hook(setup, calls)


@each_unit
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_refused_with_the_way_to_map_over_it(unit, method, errors):
    error = errors[bad_call(UNITS.index(unit), method, "batched")]
    expected = first_shape(unit, method)
    assert error.startswith("InvalidValue: "), error
    assert f"has shape {(7, *expected)}" in error
    assert f"needs shape {expected}" in error
    assert "jax.vmap" in error


@each_unit
@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_length_is_refused_with_both_shapes(unit, method, errors):
    error = errors[bad_call(UNITS.index(unit), method, "too long")]
    expected = first_shape(unit, method)
    assert error.startswith("InvalidValue: "), error
    assert f"has shape {(expected[0] + 1, *expected[1:])}" in error
    assert f"needs shape {expected}" in error
    assert "jax.vmap" not in error


@each_unit
@pytest.mark.parametrize("bad", [2.5, "3", None], ids=repr)
def test_a_size_that_is_no_whole_number_is_refused(unit, bad, errors):
    for field in counts_of(unit):
        error = errors[f"build({UNITS.index(unit)}, {field!r}, {bad!r})"]
        assert error.startswith(f"InvalidValue: `{field}` is {bad!r} "), error


@each_unit
def test_a_shift_of_the_biases_is_a_shift_of_the_inputs(unit, getkey, x64):
    params, inputs = draw_case(unit, getkey)
    shift = jax.random.normal(getkey(), (unit.size,))

    @jax.jit
    def means(params, inputs):
        return unit.mean(params, inputs), unit.mean_state(params, inputs)

    got = means(jax.jit(unit.shift)(params, shift), inputs)
    expected = means(params, inputs + shift)
    assert_close(got, expected, rtol=CLOSED_FORM, atol=CLOSED_FORM)


@each_exact_unit
def test_a_fit_makes_the_data_most_likely(unit, getkey, x64):
    """At many examples the smoothing is gone, and no direction improves the fit."""
    states = states_of(unit)[0]
    rows = np.asarray(rows_of(states))
    near = np.flatnonzero((np.abs(rows) < 5).all(axis=1))
    index = rng_of(getkey()).choice(near, 100)
    values = jax.tree.map(lambda x: x[index], states)
    repeated = jax.tree.map(lambda x: jnp.concatenate([x] * 50), values)

    def negative_log_likelihood(fitted):
        energies = jax.vmap(unit.energy, in_axes=(None, 0))(fitted, values)
        return jnp.mean(energies) + unit.log_normalizer(fitted, jnp.zeros(unit.size))

    fitted = jax.jit(unit.fit)(repeated)
    slope = jax.jit(jax.grad(negative_log_likelihood))(fitted)
    scale = 3 / (50 * 100)  # what one more example may move
    jax.tree.map(lambda x: np.testing.assert_allclose(x, 0.0, atol=scale), slope)


@each_unit
def test_a_fit_to_one_value_is_finite(unit, getkey):
    params, inputs = draw_case(unit, getkey)
    x = draw(unit, params, inputs, getkey())
    values = jax.tree.map(lambda x: jnp.repeat(x[:1], 100, axis=0), x)
    fitted = jax.jit(unit.fit)(values)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(fitted))


def complex_case(unit, getkey):
    """Complex parameters and inputs, with real parts of any size that a float holds."""
    shapes = jax.eval_shape(lambda: (unit.init(), jnp.zeros(unit.size)))
    real, imaginary = (draw_like(shapes, getkey()) for _ in range(2))
    return jax.tree.map(lambda x, y: x + 0.7j * y, real, imaginary)


@each_unit
def test_with_complex_parameters_gamma_is_analytic_or_refused(unit, getkey, x64):
    """exp Γ = Σ_x exp(I·a(x) − E(x)), and ∂Γ is its slope, also along the imaginary
    axis; as differences of the logarithm may be off by 2πi, of exp Γ."""
    params, inputs = complex_case(unit, getkey)
    if isinstance(unit, (jboltz.ReLU, jboltz.NoisyReLU)):
        return

    @jax.jit
    def values(params, inputs):
        gamma = partial(jax.value_and_grad, argnums=(0, 1), holomorphic=True)
        value, slope = gamma(unit.log_normalizer)(params, inputs)
        return value, unit.mean(params, inputs), slope

    flat, unravel = ravel_pytree((params, inputs))

    def total(flat):
        params, inputs = unravel(flat)
        states, log_weights = states_of(unit)
        exponent = np.asarray(exponents(unit, params, inputs, states))
        return np.sum(np.exp(np.asarray(log_weights) + exponent))

    z = total(flat)
    gamma, mean, slope = values(params, inputs)
    np.testing.assert_allclose(np.exp(gamma), z, rtol=CLOSED_FORM)
    slope = np.asarray(ravel_pytree(slope)[0])
    np.testing.assert_allclose(mean, slope[-unit.size :], rtol=CLOSED_FORM, atol=1e-12)
    step = 1e-6 * np.exp(1j * np.arange(len(slope)))
    got = (total(flat + step) - total(flat - step)) / (2 * z)
    np.testing.assert_allclose(got, slope @ step, rtol=1e-6)


@each_unit
def test_complex_parameters_are_not_drawn_from(unit, errors):
    methods = ["sample"]
    if isinstance(unit, (jboltz.ReLU, jboltz.NoisyReLU)):
        methods += ["log_normalizer", "mean", "mean_state", "shift"]
    for method in methods:
        error = errors[complex_call(UNITS.index(unit), method)]
        assert error.startswith("InvalidType: `params` "), error
        assert "complex64" in error
        assert "real" in error


gain = jax.jit(log_normalizer_gain, static_argnums=0)


@each_unit
def test_a_gain_of_gamma_is_the_difference_of_two(unit, getkey, x64):
    params, inputs = draw_case(unit, getkey)
    change = inputs[::-1]
    got = gain(unit, params, inputs, change)
    log_normalizer = jax.jit(unit.log_normalizer)
    here, there = (log_normalizer(params, x) for x in (inputs, inputs + change))
    np.testing.assert_allclose(got, there - here, rtol=CLOSED_FORM, atol=CLOSED_FORM)


@pytest.mark.parametrize(
    "unit", [jboltz.Bernoulli(500), jboltz.Spin(500), jboltz.Softmax(200, 3)], ids=repr
)
def test_a_gain_in_float32_is_rounded_as_what_is_gained(unit, getkey):
    """Small changes of a large layer, against float64; Γ itself rounds by 1e-4."""
    params, inputs = draw_case(unit, getkey)
    params = jax.tree.map(lambda x: 4 * x, params)
    change = 1e-3 * inputs
    got = gain(unit, params, inputs, change)
    with enable_x64():
        wide = jax.tree.map(lambda x: x.astype(jnp.float64), (params, inputs, change))
        expected = gain(unit, *wide)
    assert abs(float(got) - float(expected)) < 2e-7 * float(jnp.sum(jnp.abs(change)))


LARGE = 1_000_000
RARE = {  # a unit, its bias, and the rare part of its state; all have p = σ(−9)
    "Bernoulli": (jboltz.Bernoulli(LARGE), [-9.0], lambda x: x > 0),
    "Spin": (jboltz.Spin(LARGE), [-4.5], lambda x: x > 0),
    "Softmax": (jboltz.Softmax(LARGE, 2), [[0.0, -9.0]], lambda x: x[:, 1] > 0),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("name", RARE)
def test_rare_states_are_as_rare_in_half_precision(name, dtype, getkey):
    """p = 1.2e-4, of which the uniforms of the types themselves know nothing."""
    unit, bias, is_rare = RARE[name]
    like = unit.init()
    params = like.replace(bias=jnp.broadcast_to(jnp.asarray(bias, dtype), unit.shape))
    x = unit.sample(params, jnp.zeros(unit.size, dtype), getkey())
    assert x.dtype == dtype
    p = 1 / (1 + np.exp(9.0))
    count = int(np.sum(is_rare(np.asarray(x, np.float32))))
    assert abs(count - LARGE * p) < 5 * np.sqrt(LARGE * p)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("unit", [jboltz.Gaussian(LARGE), jboltz.ReLU(LARGE)], ids=repr)
def test_tails_of_real_units_are_as_heavy_in_half_precision(unit, dtype, getkey):
    params, inputs = jax.tree.map(
        lambda x: x.astype(dtype), (unit.init(), jnp.zeros(unit.size))
    )
    x = np.asarray(unit.sample(params, inputs, getkey()), np.float32)
    # A value rounds to 3.5 or more from half a step below it on.
    least = 3.5 - float(jnp.finfo(dtype).eps)
    p = math.erfc(least / math.sqrt(2))
    assert abs(np.sum(np.abs(x) >= 3.5) - LARGE * p) < 5 * np.sqrt(LARGE * p)
