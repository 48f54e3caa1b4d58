"""Arrays become parameters of the same energy, whatever their convention."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz.errors import InvalidType, InvalidValue
from jboltz.weights import Convention, params_from
from tests.helpers import draw_like

B, S, G = jboltz.Bernoulli, jboltz.Spin, jboltz.Gaussian
W = np.random.default_rng(0).normal(size=(3, 2))
A, C = np.array([0.3, -1.0, 0.7]), np.array([-0.4, 0.9])


def states(unit):
    """All states, or some of them for real units."""
    if isinstance(unit, G):
        return np.random.default_rng(1).normal(size=(6, unit.size))
    low = -1.0 if isinstance(unit, S) else 0.0
    return np.array(list(itertools.product((low, 1.0), repeat=unit.size)))


@partial(jax.jit, static_argnames="rbm")
def energies(rbm, params, v, h):
    return jax.vmap(rbm.energy, (None, 0, 0))(params, v, h)


def assert_same_energy(rbm, params, theirs):
    """`theirs` of the states of `rbm`, up to a constant."""
    pairs = list(itertools.product(states(rbm.visible), states(rbm.hidden)))
    v, h = (jnp.asarray(x) for x in zip(*pairs, strict=True))
    ours = energies(rbm, params, v, h)
    difference = np.asarray(ours) - np.array([theirs(*pair) for pair in pairs])
    np.testing.assert_allclose(difference, difference[0], atol=1e-9)


@pytest.mark.parametrize(("beta", "sign"), [(1.0, -1), (0.3, -1), (2.5, 1)])
@pytest.mark.parametrize("units", list(itertools.product((B, S), (B, S))))
@pytest.mark.parametrize("values", ["own", "0/1", "+1/-1"])
def test_binary_units(units, values, beta, sign, x64):
    rbm = jboltz.RBM(units[0](3), units[1](2))
    convention = Convention(beta=beta, sign=sign, values=values)
    params = params_from(rbm, W, A, C, convention=convention)

    def there(unit, x):
        """The state as the other program has it."""
        if isinstance(unit, B) and values == "+1/-1":
            return 2 * x - 1
        return (x + 1) / 2 if isinstance(unit, S) and values == "0/1" else x

    def theirs(v, h):
        v, h = there(rbm.visible, v), there(rbm.hidden, h)
        return beta * sign * (A @ v + C @ h + v @ W @ h)

    assert_same_energy(rbm, params, theirs)


SIGMA = np.array([0.5, 1.0, 3.0])


@pytest.mark.parametrize(
    "given",
    [
        {"deviation": SIGMA},
        {"precision": SIGMA**-2},
        {"variance": SIGMA**2},
        {"log_variance": 2 * np.log(SIGMA)},
    ],
)
def test_a_variance_by_any_name(given, x64):
    found = params_from(jboltz.RBM(G(3), B(2)), W, given, C)
    np.testing.assert_allclose(found.visible.log_variance, 2 * np.log(SIGMA))
    assert not found.visible.mean.any()


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("coupling", ["variance", "deviation", "plain"])
@pytest.mark.parametrize("center", ["mean", "bias"])
@pytest.mark.parametrize("spread", ["deviation", "precision"])
def test_gaussian_visible_units(spread, center, coupling, beta, x64):
    rbm = jboltz.RBM(G(3), B(2))
    convention = Convention(beta=beta, coupling=coupling)
    given = {center: A, spread: SIGMA if spread == "deviation" else SIGMA**-2}
    params = params_from(rbm, W, given, C, convention=convention)
    mean = A if center == "mean" else A * SIGMA**2
    scale = {"variance": SIGMA**2, "deviation": SIGMA, "plain": 1}[coupling]

    def theirs(v, h):
        own = 0.5 * np.sum((v - mean) ** 2 / SIGMA**2)
        return beta * (own - C @ h - (v / scale) @ W @ h)

    assert_same_energy(rbm, params, theirs)


@pytest.mark.parametrize("coupling", ["variance", "deviation", "plain"])
def test_gaussian_units_on_both_sides(coupling, x64):
    rbm, beta, tau = jboltz.RBM(G(3), G(2)), 0.6, np.array([0.7, 2.0])
    visible, hidden = {"mean": A, "deviation": SIGMA}, {"bias": C, "deviation": tau}
    convention = Convention(beta=beta, coupling=coupling, sign=1)
    params = params_from(rbm, W, visible, hidden, convention=convention)
    power = {"variance": 2, "deviation": 1, "plain": 0}[coupling]

    def theirs(v, h):
        own = np.sum((v - A) ** 2 / SIGMA**2) + np.sum(h**2 / tau**2)
        return beta * (0.5 * own + C @ h + (v / SIGMA**power) @ W @ (h / tau**power))

    assert_same_energy(rbm, params, theirs)


def test_spins_beside_real_units(x64):
    rbm = jboltz.RBM(G(3), B(2))
    visible, convention = {"mean": A, "deviation": SIGMA}, Convention(values="+1/-1")
    params = params_from(rbm, W, visible, C, convention=convention)

    def theirs(v, h):
        s = 2 * h - 1
        own = 0.5 * np.sum((v - A) ** 2 / SIGMA**2)
        return own - C @ s - (v / SIGMA**2) @ W @ s

    assert_same_energy(rbm, params, theirs)


def test_shapes_of_matlab_and_transposes():
    rbm = jboltz.RBM(B(3), B(2))
    params = params_from(rbm, W, A, C)
    for weights, transpose in ((W.T, None), (W.T, True), (W, False), (W, None)):
        found = params_from(rbm, weights, A[None], C[:, None], transpose=transpose)
        assert jax.tree.all(jax.tree.map(lambda x, y: (x == y).all(), found, params))
    square = jboltz.RBM(B(2), B(2))
    for transpose in (None, False, True):
        found = params_from(square, W[:2], C, C, transpose=transpose)
        expected = W[:2].T if transpose else W[:2]
        np.testing.assert_allclose(found.weights, expected, rtol=1e-6)


def test_units_with_more_parameters_and_axes():
    rbm = jboltz.RBM(jboltz.Softmax(2, 3), jboltz.ReLU(2))
    weights, bias = np.arange(12.0).reshape(2, 3, 2), np.arange(6.0).reshape(2, 3)
    hidden = {"bias": C, "log_precision": np.log([1.0, 4.0])}
    params = params_from(rbm, weights, bias, hidden)
    np.testing.assert_array_equal(params.weights, weights.reshape(6, 2))
    np.testing.assert_array_equal(params.visible.bias, bias)
    np.testing.assert_allclose(params.hidden.log_precision, np.log([1.0, 4.0]))
    assert params_from(rbm, weights, bias, C).hidden.log_precision.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((W[:2], A, C), r"`weights` have shape \(2, 2\) but .* needs \(3, 2\)"),
        ((W, C, A), r"`visible` has shape \(2,\) for 'bias'.*not exchanged"),
        ((W, A, np.ones((2, 1, 1))), r"`hidden` has shape \(2, 1, 1\)"),
        ((W, {"mean": A}, C), "`visible` has mean but .* has bias"),
        ((W, {"bias": A * np.nan}, C), "holds NaN"),
        ((W, np.array(["a", "b", "c"]), C), r"`visible` has dtype <U1 .*need numbers"),
        ((W * 1j, A, C), "`weights` has dtype complex128 .*need numbers"),
    ],
)
def test_what_does_not_fit(arguments, words):
    with pytest.raises((InvalidValue, InvalidType), match=words):
        params_from(jboltz.RBM(B(3), B(2)), *arguments)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"deviation": 0 * SIGMA}, "holds 0.0 for 'deviation'.*above 0"),
        ({"variance": SIGMA, "deviation": SIGMA}, "give its log_variance twice"),
        ({"bias": SIGMA[:2]}, r"`visible` has shape \(2,\)"),
        ({"width": SIGMA}, "`visible` has width but Gaussian"),
    ],
)
def test_variances_that_are_none(given, words):
    with pytest.raises(InvalidValue, match=words):
        params_from(jboltz.RBM(G(3), B(2)), W, given, C)


def test_records_and_units_made_of_units():
    unit = jboltz.Joined(B(2), jboltz.Softmax(1, 2))
    rbm, weights = jboltz.RBM(unit, jboltz.Copies(B(2), 2)), np.ones((4, 2))
    record = draw_like(unit.init(), jax.random.key(0))
    params = params_from(rbm, weights, record, C)
    assert (params.visible.first.bias == record.first.bias).all()
    assert (params.hidden.bias == C.astype(np.float32)).all()
    with pytest.raises(InvalidValue, match="or the record JoinedParams"):
        params_from(rbm, weights, np.ones(4), C)
    by_deviation = Convention(coupling="deviation")
    rbm = jboltz.RBM(G(3), jboltz.ReLU(2))
    given = {"deviation": SIGMA}
    params = params_from(rbm, W, given, C, convention=by_deviation)
    np.testing.assert_allclose(params.weights, SIGMA[:, None] * W, rtol=1e-6)


def test_a_convention_that_a_unit_does_not_know():
    rbm = jboltz.RBM(B(3), jboltz.NoisyReLU(2))
    params_from(rbm, W, A, C)
    with pytest.raises(InvalidValue, match=r"`hidden` are NoisyReLU.*not converted"):
        params_from(rbm, W, A, C, convention=Convention(beta=2.0))


@pytest.mark.parametrize(
    "field",
    [{"beta": 0.0}, {"sign": 2}, {"values": "-1/1"}, {"coupling": "precision"}],
)
def test_what_is_no_convention(field):
    with pytest.raises(InvalidValue, match=f"`{next(iter(field))}` is "):
        Convention(**field)
