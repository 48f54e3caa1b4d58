"""Standardised features have location 0 and scale 1; constant ones are left alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jboltz.data import (
    check_values,
    fit_standardizer,
    from_arrays,
    scale_pixels,
    standardize,
    unstandardize,
)
from jboltz.data.checks import warn_unstandardized
from jboltz.domains import NonNegative, Reals, UnitInterval
from tests.helpers import errors_without_hook


def measurements(num_examples=500):
    """Features of very different location and scale, and a constant one."""
    rng = np.random.default_rng(0)
    values = rng.normal([0, 1e3, -5, 0.1], [1, 30, 1e-3, 0], (num_examples, 4))
    return values.astype(np.float32)


def test_mean_and_standard_deviation():
    values = measurements(5000)  # more than one block of rows
    fitted = fit_standardizer(values)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(fitted.location, exact.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(fitted.scale[:3], exact.std(axis=0)[:3], rtol=1e-6)
    z = standardize(fitted, values)
    assert z.dtype == np.float32
    assert np.abs(z.mean(axis=0)).max() < 0.01  # −5 ± 0.001 has few digits in float32
    np.testing.assert_allclose(z.std(axis=0)[:3], 1, rtol=1e-3)


def test_median_and_interquartile_range():
    values = measurements()
    fitted = fit_standardizer(values, scaling="robust")
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose(fitted.location, median, rtol=1e-6)
    np.testing.assert_allclose(fitted.scale[:3], (high - low)[:3], rtol=1e-3)
    outlying = np.concatenate([values, values[:1] + np.float32(1e6)])
    shift = fit_standardizer(outlying, scaling="robust").location - fitted.location
    assert np.all(np.abs(shift) <= 0.05 * fitted.scale)


@pytest.mark.parametrize("scaling", ["standard", "robust", "min-max"])
def test_constant_feature_is_shifted_to_zero_and_left_alone(scaling):
    values = measurements()
    fitted = fit_standardizer(values, scaling=scaling)
    assert fitted.scale[3] == 1
    z = standardize(fitted, values)
    assert np.all(z[:, 3] == 0)
    assert standardize(fitted, values + 1)[0, 3] == pytest.approx(1)


def test_feature_whose_quartiles_agree_keeps_its_scale():
    values = np.zeros((100, 1), np.float32)
    values[:10] = 0.5
    fitted = fit_standardizer(values, scaling="robust")
    assert (fitted.location[0], fitted.scale[0]) == (0, 1)
    assert fit_standardizer(values).scale[0] == pytest.approx(0.15)


@pytest.mark.parametrize("scaling", ["standard", "robust", "min-max"])
def test_pixels_are_read_as_the_unit_interval(scaling):
    pixels = np.random.default_rng(1).integers(0, 256, (300, 5)).astype(np.uint8)
    unit = pixels / np.float32(255)
    fitted, expected = (fit_standardizer(x, scaling=scaling) for x in (pixels, unit))
    np.testing.assert_allclose(fitted.location, expected.location, rtol=1e-6)
    np.testing.assert_allclose(fitted.scale, expected.scale, rtol=1e-6)
    z = standardize(fitted, pixels)
    np.testing.assert_allclose(z, standardize(fitted, unit), rtol=1e-6)
    np.testing.assert_allclose(unstandardize(fitted, z), unit, atol=1e-6)


def test_jax_arrays_of_any_rank():
    values = measurements()
    fitted = fit_standardizer(values)
    z = standardize(fitted, values)
    batch = jax.jit(lambda x: standardize(fitted, x))(jnp.asarray(values))
    assert isinstance(batch, jax.Array)
    np.testing.assert_allclose(batch, z, rtol=1e-6)
    np.testing.assert_allclose(
        standardize(fitted, jnp.asarray(values[7])), z[7], rtol=1e-6
    )
    np.testing.assert_allclose(unstandardize(fitted, batch), values, rtol=1e-5)


@pytest.mark.parametrize("call", [standardize, unstandardize])
def test_another_number_of_features(call):
    fitted = fit_standardizer(measurements())
    with pytest.raises(ValueError, match=r"shape \(500, 1\) but 4 features were"):
        call(fitted, measurements()[:, :1])


def test_values_that_cannot_be_fitted():
    with pytest.raises(ValueError, match="`values` has 1 NaN or infinite"):
        fit_standardizer(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match=r"must be \(num_examples, num_features"):
        fit_standardizer(np.zeros(3))
    call = "fit_standardizer([[0.0]], scaling='minmax')"
    errors = errors_without_hook("from jboltz.data import fit_standardizer", [call])
    assert "InvalidValue: `scaling` is 'minmax' but needs" in errors[call]


def test_minimum_and_maximum_become_0_and_1():
    values = measurements()
    fitted = fit_standardizer(values, scaling="min-max")
    np.testing.assert_array_equal(fitted.location, values.min(axis=0))
    z = standardize(fitted, values)
    np.testing.assert_array_equal(z.min(axis=0), 0)
    np.testing.assert_allclose(z.max(axis=0), [1, 1, 1, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("scaling", "domain"),
    [
        *(("min-max", domain) for domain in (UnitInterval(), NonNegative(), Reals())),
        ("standard", Reals()),
        ("robust", Reals()),
    ],
)
def test_a_unit_takes_what_a_scaling_makes(scaling, domain):
    values = measurements()
    z = standardize(fit_standardizer(values, scaling=scaling), values)
    check_values(np.clip(z, 0, 1) if scaling == "min-max" else z, domain=domain)


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_pixels_are_not_scaled_out_of_the_unit_interval(scaling):
    pixels = from_arrays(np.zeros((5, 2), np.uint8))
    with pytest.raises(ValueError, match=f"{scaling!r} but pixels stay"):
        scale_pixels(pixels, scaling)


# The warning.


def test_raw_pixels_warn_and_standardized_ones_do_not():
    pixels = np.random.default_rng(1).integers(0, 256, (300, 5)).astype(np.uint8)
    data = from_arrays(pixels)
    with pytest.warns(UserWarning, match=r"`train` has features with means from 0\.4"):
        warn_unstandardized(data.train, "train")
    for scaling in ("standard", "robust"):
        z = standardize(fit_standardizer(data.train, scaling=scaling), data.train)
        check_values(z, domain=Reals())
        warn_unstandardized(z)


@pytest.mark.parametrize(
    ("mean", "deviation", "message"),
    [
        ([0, 0, 1.5], [1, 1, 1], r"means from -?0\.0\d+ to 1\.5"),
        ([0, -1.5, 0], [1, 1, 1], r"means from -1\.5"),
        ([0, 0, 0], [1, 1, 4], r"deviations from 1 to 4"),
        ([0, 0, 0], [0.2, 0.3, 1], r"deviations from 0\.2 to 1"),
        ([2, 2, 2], [0, 0, 0], r"deviations from 0 to 0,"),
    ],
)
def test_what_warns(mean, deviation, message):
    with pytest.warns(UserWarning, match=message):
        warn_unstandardized(exact_moments(mean, deviation))


@pytest.mark.parametrize(
    "deviation", [[1, 1, 1], [0, 0.01, 1], [0, 0, 0], [0.6, 0.6, 2]]
)
def test_what_does_not_warn(deviation):
    warn_unstandardized(exact_moments([0.3, 0, -0.3], deviation))


def exact_moments(mean, deviation):
    """±1 in equal numbers, scaled and shifted."""
    signs = np.where(np.arange(200)[:, None] % 2, 1.0, -1.0)
    return (signs * deviation + mean + 0.001).astype(np.float32)


def test_small_scales_are_raised_to_the_least():
    """One that never varies, one that hardly does, and one that does."""
    data = np.array([[0.2, 0.49, 0.0], [0.2, 0.51, 1.0]])
    fitted = fit_standardizer(data, least_scale=0.1)
    np.testing.assert_allclose(fitted.scale, [0.1, 0.1, 0.5])
    np.testing.assert_allclose(fitted.location, [0.2, 0.5, 0.5])
