"""Data that would train to nonsense are refused, with advice that helps."""

import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.data import check_values, from_arrays

PIXELS = np.array([[0, 128, 255], [3, 2, 1]])


def with_value(value, dtype=np.float32):
    array = np.full((4, 3), 0.5, dtype)
    array[2, 1] = value
    return array


@pytest.mark.parametrize(
    ("values", "domain"),
    [
        (PIXELS.astype(np.uint8), "unit interval"),
        (PIXELS.astype(np.uint8), "real"),
        (np.zeros((2, 3), np.uint8), "unit interval"),
        (PIXELS > 2, "unit interval"),
        (PIXELS // 128, "unit interval"),
        (PIXELS, "real"),
        (PIXELS, "non-negative"),
        (-PIXELS * 1.5, "real"),
        (np.array([[0.0, 1.0]], np.float16), "unit interval"),
        (jnp.array([[0.0, 1.0]]), "unit interval"),
        (jnp.array([[0.0, 1.0]], jnp.bfloat16), "unit interval"),
        ([[0.0, 0.5], [1.0, 0.25]], "unit interval"),
        (np.asfortranarray(np.eye(3))[::2], "unit interval"),
        (2 * np.eye(3) - 1, "spin"),
        (2 * np.eye(3, dtype=int) - 1, "spin"),
        (np.eye(3)[None], "one-hot"),
        (np.eye(3, dtype=bool)[:, None], "one-hot"),
    ],
)
def test_sound_values_pass(values, domain):
    check_values(values, domain=domain)


@pytest.mark.parametrize(
    ("values", "domain", "error", "message"),
    [
        (np.zeros((0, 3)), "real", ValueError, r"is empty, shape \(0, 3\)"),
        (np.zeros((3, 0)), "real", ValueError, r"is empty, shape \(3, 0\)"),
        ([], "real", ValueError, r"shape \(0,\) but must be"),
        (0.5, "real", ValueError, r"shape \(\) but must be"),
        (np.zeros(3), "real", ValueError, r"shape \(3,\) .*`data\[None\]`"),
        (np.zeros((2, 3, 3)), "real", ValueError, r"reshape\(len\(data\), -1\)"),
        (with_value(np.nan), "real", ValueError, "1 NaN .* row 2, column 1"),
        (with_value(np.nan), "unit interval", ValueError, "1 NaN .* row 2, column 1"),
        (with_value(np.inf), "real", ValueError, "1 NaN or inf.* row 2, column 1"),
        (with_value(-np.inf), "non-negative", ValueError, "row 2, column 1"),
        (with_value(np.nan, jnp.bfloat16), "real", ValueError, "row 2, column 1"),
        (np.full((2, 2), np.nan), "real", ValueError, "4 NaN .* row 0, column 0"),
        (
            with_value(255),
            "unit interval",
            ValueError,
            r"from 0\.5 to 255\.0 .*`data / 255`",
        ),
        (
            with_value(-1),
            "unit interval",
            ValueError,
            r"from -1\.0 to 0\.5 .*shift and",
        ),
        (
            with_value(1 + 1e-7),
            "unit interval",
            ValueError,
            r"to 1\.0000001.*clip\(0, 1",
        ),
        (with_value(16), "unit interval", ValueError, "the largest possible value"),
        (with_value(1e6), "unit interval", ValueError, "shift and scale"),
        (with_value(-1), "non-negative", ValueError, r"from -1\.0 to 0\.5"),
        (with_value(1e300, np.float64), "real", ValueError, "to 1e[+]300 .*scale"),
        (PIXELS, "unit interval", ValueError, r"\(int64\).*`data.astype\(np.uint8\)`"),
        (PIXELS.astype(np.int8), "unit interval", ValueError, r"\(int8\)"),
        (np.eye(3, dtype=np.uint8), "unit interval", ValueError, r"astype\(bool\)"),
        (np.eye(3), "spin", ValueError, r"value 0\.0 in row 0, column 1.*2\.0 \* data"),
        (np.eye(3) > 0, "spin", ValueError, "value False in row 0, column 1"),
        (with_value(np.nan), "spin", ValueError, "1 NaN .* row 2, column 1"),
        (np.eye(6), "one-hot", ValueError, r"shape \(6, 6\) .*sites, num_categories"),
        (np.ones((2, 1, 3)), "one-hot", ValueError, r"\[1\.0, 1\.0, 1\.0\] in row 0"),
        (np.eye(3)[None] / 2, "one-hot", ValueError, "row 0, site 0.*a single 1 among"),
        (-np.eye(3)[None], "one-hot", ValueError, "row 0, site 0.*class numbers"),
        (np.zeros((2, 1, 3)), "one-hot", ValueError, "row 0, site 0"),
        (np.eye(3, dtype=np.uint8)[None], "one-hot", ValueError, r"astype\(bool\)"),
        (np.full((2, 2, 2), np.nan), "one-hot", ValueError, "8 NaN .* row 0, column 0"),
        (np.array([["a"]]), "real", TypeError, "dtype <U1"),
        (np.array([[None]]), "real", TypeError, "dtype object"),
        (None, "real", TypeError, r"object \(from NoneType\)"),
        (np.array([[1j]]), "real", TypeError, "complex128"),
        (np.array([["2020-01-01"]], "M8[D]"), "real", TypeError, "datetime64"),
        ([[1.0, 2.0], [3.0]], "real", ValueError, "cannot be read as one array"),
        (
            np.eye(3),
            "one interval",
            ValueError,
            "'unit interval', 'non-negative', 'real'",
        ),
    ],
)
def test_bad_values_raise(values, domain, error, message):
    with pytest.raises(error, match=message):
        check_values(values, domain=domain)


def test_the_width_of_the_model_is_checked():
    check_values(np.eye(3), domain="real", num_features=3)
    with pytest.raises(ValueError, match="`images` has 3 features but 784 are needed"):
        check_values(np.eye(3), domain="real", num_features=784, name="images")
    check_values(np.eye(3)[None], domain="one-hot", num_features=9)
    with pytest.raises(ValueError, match="`data` has 9 features but 3 are needed"):
        check_values(np.eye(3)[None], domain="one-hot", num_features=3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_checking_makes_no_copy(dtype):
    values = np.ones((20_000, 100), dtype) * dtype(1)
    values[0] = 0
    if dtype == np.uint8:
        values *= 255
    tracemalloc.start()
    try:
        check_values(values, domain="unit interval")
        from_arrays(values, values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Only float64 must be converted, once for each of the two arguments.
    assert peak < values.nbytes / 10 + (values.nbytes if dtype == np.float64 else 0)
