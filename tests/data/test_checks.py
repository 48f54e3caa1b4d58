"""Data that would train to nonsense are refused, with advice that helps."""

import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.data import check_values, from_arrays
from jboltz.domains import NonNegative, OneHot, Reals, Spins, UnitInterval

PIXELS = np.array([[0, 128, 255], [3, 2, 1]])


def with_value(value, dtype=np.float32):
    array = np.full((4, 3), 0.5, dtype)
    array[2, 1] = value
    return array


@pytest.mark.parametrize(
    ("values", "domain"),
    [
        (PIXELS.astype(np.uint8), UnitInterval()),
        (PIXELS.astype(np.uint8), Reals()),
        (np.zeros((2, 3), np.uint8), UnitInterval()),
        (PIXELS > 2, UnitInterval()),
        (PIXELS // 128, UnitInterval()),
        (PIXELS, Reals()),
        (PIXELS, NonNegative()),
        (-PIXELS * 1.5, Reals()),
        (np.array([[0.0, 1.0]], np.float16), UnitInterval()),
        (jnp.array([[0.0, 1.0]]), UnitInterval()),
        (jnp.array([[0.0, 1.0]], jnp.bfloat16), UnitInterval()),
        ([[0.0, 0.5], [1.0, 0.25]], UnitInterval()),
        (np.asfortranarray(np.eye(3))[::2], UnitInterval()),
        (2 * np.eye(3) - 1, Spins()),
        (2 * np.eye(3, dtype=int) - 1, Spins()),
        (np.eye(3)[None], OneHot(3)),
        (np.eye(3, dtype=bool)[:, None], OneHot(3)),
    ],
)
def test_sound_values_pass(values, domain):
    check_values(values, domain=domain)


@pytest.mark.parametrize(
    ("values", "domain", "error", "message"),
    [
        (np.zeros((0, 3)), Reals(), ValueError, r"is empty, shape \(0, 3\)"),
        (np.zeros((3, 0)), Reals(), ValueError, r"is empty, shape \(3, 0\)"),
        ([], Reals(), ValueError, r"shape \(0,\) .* must be"),
        (0.5, Reals(), ValueError, r"shape \(\) .* must be"),
        (np.zeros(3), Reals(), ValueError, r"shape \(3,\) .*`data\[None\]`"),
        (np.zeros((2, 3, 3)), Reals(), ValueError, r"reshape\(len\(data\), -1\)"),
        (with_value(np.nan), Reals(), ValueError, "1 NaN .* row 2, column 1"),
        (with_value(np.nan), UnitInterval(), ValueError, "1 NaN .* row 2, column 1"),
        (with_value(np.inf), Reals(), ValueError, "1 NaN or inf.* row 2, column 1"),
        (with_value(-np.inf), NonNegative(), ValueError, "row 2, column 1"),
        (with_value(np.nan, jnp.bfloat16), Reals(), ValueError, "row 2, column 1"),
        (np.full((2, 2), np.nan), Reals(), ValueError, "4 NaN .* row 0, column 0"),
        (
            with_value(255),
            UnitInterval(),
            ValueError,
            r"from 0\.5 to 255\.0, .*`data / 255`",
        ),
        (
            with_value(-1),
            UnitInterval(),
            ValueError,
            r"from -1\.0 to 0\.5, .*shift and",
        ),
        (
            with_value(1 + 1e-7),
            UnitInterval(),
            ValueError,
            r"to 1\.0000001.*clip\(0, 1",
        ),
        (with_value(16), UnitInterval(), ValueError, "divide by the largest value"),
        (with_value(1e6), UnitInterval(), ValueError, "shift and scale"),
        (with_value(-1), NonNegative(), ValueError, r"from -1\.0 to 0\.5"),
        (with_value(1e300, np.float64), Reals(), ValueError, "to 1e[+]300, .*scale"),
        (PIXELS, UnitInterval(), ValueError, r"\(int64\).*pass uint8 with a `prepare`"),
        (PIXELS.astype(np.int8), UnitInterval(), ValueError, r"\(int8\)"),
        (np.eye(3, dtype=np.uint8), UnitInterval(), ValueError, r"astype\(bool\)"),
        (
            np.eye(3),
            Spins(),
            ValueError,
            r"0\.0 in row 0, unit 1.*2\.0 \* data",
        ),
        (np.eye(3) > 0, Spins(), ValueError, "False in row 0, unit 1"),
        (with_value(np.nan), Spins(), ValueError, "1 NaN .* row 2, column 1"),
        (np.eye(6), OneHot(3), ValueError, r"shape \(6, 6\) .*sites, num_categories"),
        (np.ones((2, 1, 3)), OneHot(3), ValueError, r"\[1\.0, 1\.0, 1\.0\] in row 0"),
        (np.eye(3)[None] / 2, OneHot(3), ValueError, "row 0, site 0.*a single 1 among"),
        (-np.eye(3)[None], OneHot(3), ValueError, "row 0, site 0.*class numbers"),
        (np.zeros((2, 1, 3)), OneHot(3), ValueError, "row 0, site 0"),
        (np.eye(3, dtype=np.uint8)[None], OneHot(3), ValueError, r"astype\(bool\)"),
        (np.full((2, 2, 2), np.nan), OneHot(2), ValueError, "8 NaN .* row 0, column"),
        (np.array([["a"]]), Reals(), TypeError, "dtype <U1"),
        (np.array([[None]]), Reals(), TypeError, "dtype object"),
        (None, Reals(), TypeError, r"object \(from NoneType\)"),
        (np.array([[1j]]), Reals(), TypeError, "complex128"),
        (np.array([["2020-01-01"]], "M8[D]"), Reals(), TypeError, "datetime64"),
        ([[1.0, 2.0], [3.0]], Reals(), ValueError, "cannot be read as one array"),
    ],
)
def test_bad_values_raise(values, domain, error, message):
    with pytest.raises(error, match=message):
        check_values(values, domain=domain)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_checking_makes_no_copy(dtype):
    values = np.ones((20_000, 100), dtype) * dtype(1)
    values[0] = 0
    if dtype == np.uint8:
        values *= 255
    tracemalloc.start()
    try:
        check_values(values, domain=UnitInterval())
        from_arrays(values, values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Only float64 must be converted, once for each of the two arguments.
    assert peak < values.nbytes / 10 + (values.nbytes if dtype == np.float64 else 0)
