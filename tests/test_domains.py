"""What a state may be: domains count, number and check states, without JAX."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.base import Domain
from jboltz.domains import (
    Counts,
    NonNegative,
    OneHot,
    Product,
    Reals,
    Spins,
    UnitInterval,
    as_numbers,
)
from jboltz.errors import InvalidType

PAIR = Product((UnitInterval(), OneHot(3)))
FINITE = [
    (UnitInterval(), (3,), [0, 1]),
    (Spins(), (2, 2), [-1, 1]),
    (Counts(3), (2,), [0, 1, 2, 3]),
    (OneHot(3), (2, 3), [(1, 0, 0), (0, 1, 0), (0, 0, 1)]),
]
ALL = [Reals(), NonNegative(), PAIR, *(domain for domain, *_ in FINITE)]


@pytest.mark.parametrize("domain", ALL, ids=str)
def test_a_domain_is_a_value(domain):
    again = eval(repr(domain))
    assert isinstance(domain, Domain)
    assert (again, hash(again)) == (domain, hash(domain))
    assert sum(domain == other for other in ALL) == 1
    assert len(domain.leaves) == max(1, len(domain.parts))


@pytest.mark.parametrize(("domain", "shape", "values"), FINITE, ids=str)
def test_the_numbers_of_states_go_through_all_of_them(domain, shape, values):
    count = domain.count(shape)
    states = [domain.state_at(shape, number)[0] for number in range(count)]
    sites = math.prod(domain.site_shape(shape))
    expected = {np.ravel(x).tobytes() for x in itertools.product(values, repeat=sites)}
    assert {state.astype(int).tobytes() for state in states} == expected
    assert len(expected) == count
    for state in states[:5]:
        domain.check(state.astype(np.float32)[None], "state")
        assert domain.holds(state).all()


def test_a_traced_number_gives_the_same_states():
    shapes = ((2,), (1, 3))
    every = jax.jit(jax.vmap(lambda number: PAIR.state_at(shapes, number)))
    states, left = every(jnp.arange(24))
    assert PAIR.count(shapes) == 12
    np.testing.assert_array_equal(left, np.arange(24) // 12)
    for number in range(12):
        expected, _ = PAIR.state_at(shapes, number)
        jax.tree.map(
            np.testing.assert_array_equal,
            expected,
            jax.tree.map(lambda x, n=number: x[n], states),
        )


def test_a_real_site_has_no_number_of_states():
    assert Reals().count((2,)) == NonNegative().count((2,)) == math.inf
    assert Product((Reals(), Spins())).count(((1,), (2,))) == math.inf


GRAY = np.array([[0.0, 0.5], [1.0, 0.25]])
SPIN = np.array([[1, -1], [-1, 1]])
CODES = np.array([[0, 2], [1, 1]])

ADMITTED = [
    (UnitInterval(), GRAY, GRAY),
    (UnitInterval(), GRAY.astype(np.float16), GRAY),
    (UnitInterval(), GRAY.astype(jnp.bfloat16), GRAY),
    (UnitInterval(), GRAY.astype(">f4"), GRAY),
    (UnitInterval(), GRAY.tolist(), GRAY),
    (UnitInterval(), GRAY > 0.3, GRAY > 0.3),
    (UnitInterval(), (GRAY > 0.3).astype(">i8"), GRAY > 0.3),
    (UnitInterval(), np.bool_(True), 1),
    (Spins(), SPIN, SPIN),
    (Spins(), SPIN.astype(np.int8), SPIN),
    (Counts(2), CODES, CODES),
    (Counts(255), CODES.astype(np.uint8), CODES),
    (OneHot(3), CODES, np.eye(3)[CODES]),
    (OneHot(3), CODES.astype(np.uint8), np.eye(3)[CODES]),
    (OneHot(3), CODES.tolist(), np.eye(3)[CODES]),
    (OneHot(3), np.eye(3)[CODES], np.eye(3)[CODES]),
    (OneHot(3), np.eye(3)[[2, 0]], np.eye(3)[[2, 0]]),
    (Reals(), -7 * SPIN, -7 * SPIN),
    (NonNegative(), np.zeros((0, 2)), np.zeros((0, 2))),
]


@pytest.mark.parametrize(("domain", "values", "expected"), ADMITTED)
def test_what_is_unambiguous_is_admitted(domain, values, expected):
    got = domain.admit(values, "data")
    np.testing.assert_array_equal(got.astype(float), expected)
    assert got.dtype.kind not in "iu"
    jnp.asarray(got)


REFUSED = [
    (UnitInterval(), 8 * GRAY, r"has 4\.0 in row 0, unit 1,.*`Binomial`.*`Gaussian`"),
    (UnitInterval(), 255 * GRAY, r"from 0\.0 to 255\.0.*`data / 255`"),
    (UnitInterval(), SPIN, "has -1 in row 0, unit 1.*`Spin` units for -1 and 1"),
    (UnitInterval(), GRAY * 1.0000001, r"clip\(0, 1\)"),
    (UnitInterval(), CODES.astype(np.uint8), "uint8, pixels.*`LayerFeatures`"),
    (UnitInterval(), np.full((1, 2, 3), 2.0), r"row 0, unit \(0, 0\)"),
    (UnitInterval(), np.array([0.0, 2.0]), "has 2.0 in unit 1"),
    (Spins(), GRAY > 0.3, r"False in row 0, unit 0.*2\.0 \* data - 1.*`Bernoulli`"),
    (Counts(2), CODES + 1, "has 3 in row 0, unit 1.*from 0 to 2.*`trials`"),
    (Counts(4), GRAY, r"0\.5 in row 0, unit 1.*`np\.round\(4 \* data\)`"),
    (OneHot(3), np.zeros((2, 2, 3)), r"\[0\.0, 0\.0, 0\.0\] in row 0, site 0"),
    (OneHot(2), CODES, "has 2 in row 0, site 1.*class numbers from 0"),
    (OneHot(4), np.eye(3)[CODES], r"\(2, 2, 3\).*last axis needs the length 4"),
    (Reals(), GRAY * np.nan, "4 NaN .* row 0, column 0"),
    (Reals(), np.array([[1e300]]), "float32 holds no such numbers"),
    (NonNegative(), SPIN, "has -1 in row 0, unit 1.*from 0 up.*`Gaussian`"),
    (
        Reals(),
        np.ma.masked_array(GRAY, GRAY > 0.3),
        "masked array.*`MissingDataEstimator`",
    ),
]


@pytest.mark.parametrize(("domain", "values", "message"), REFUSED)
def test_what_is_no_state_is_named_with_a_remedy(domain, values, message):
    with pytest.raises(ValueError, match=f"^`data` .*{message}"):
        domain.admit(values, "data")


@pytest.mark.parametrize("site", [0, 1])
def test_what_a_mask_leaves_out_is_not_looked_at(site):
    values = np.where(np.arange(2)[:, None] == site, np.nan, np.eye(3)[CODES])
    seen = np.arange(2) != site
    masks = np.broadcast_to(seen, (2, 2)), np.broadcast_to(seen[:, None], (2, 2, 3))
    for mask in (*masks, masks[0][..., None]):
        OneHot(3).admit(values, "data", mask)
        np.testing.assert_array_equal(OneHot(3).spread(mask, (2, 2, 3)), masks[1])
    with pytest.raises(ValueError, match="6 NaN"):
        OneHot(3).admit(values, "data", ~masks[0])
    with pytest.raises(
        ValueError, match=r"`data` has shape .* its mask, .* has \(5,\)"
    ):
        OneHot(3).admit(values, "data", np.ones(5, bool))


def test_only_one_number_of_zero_or_one_is_binary():
    binary = [domain for domain in [*ALL, Counts(1), OneHot(2)] if domain.is_binary]
    assert binary == [UnitInterval(), Counts(1)]


def test_class_numbers_may_be_missing_and_whole_states_are_no_numbers():
    numbers, mask = np.array([[0, 2], [-1, 1]]), np.array([[True] * 2, [False, True]])
    states = OneHot(3).admit(numbers, "data", mask)
    np.testing.assert_array_equal(states[0], np.eye(3)[[0, 2]])
    state = np.eye(3, dtype=int)
    np.testing.assert_array_equal(OneHot(3).admit(state, "start"), state)


def test_a_tensor_that_numpy_cannot_read_is_refused_with_the_remedy():
    torch = pytest.importorskip("torch")
    with pytest.raises(InvalidType, match=r"`x` is of type Tensor .*\.detach\(\)"):
        as_numbers(torch.ones(3, requires_grad=True), "x")
    with pytest.raises(InvalidType, match=r"`x` is of type Tensor .*\.float\(\)"):
        as_numbers(torch.ones(3, dtype=torch.bfloat16), "x")
