"""The probe is ridge regression, and finds what is there to find."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from jboltz.evaluation.probe import fit_linear_probe, predict


def classes(count, seed, distance=3.0):
    """Three classes in ten numbers of different size, one of which never changes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    codes = rng.normal(size=(count, 10)) * np.logspace(-2, 2, 10)
    codes[:, 4] += distance * (labels == 1) * 10 ** (-2 / 9)
    codes[:, 6] += distance * (labels == 2) * 10 ** (6 / 9)
    codes[:, 5] = 7.0
    return codes, labels


def test_it_is_the_ridge_regression_of_standardised_codes():
    codes, labels = classes(200, 0)
    probe = fit_linear_probe(
        codes, labels, codes, labels, num_classes=3, penalties=[0.1]
    )
    varying = np.delete(np.arange(10), 5)
    z = (codes - codes.mean(axis=0))[:, varying] / codes.std(axis=0)[varying]
    # Theirs is the sum over examples, ours the mean.
    ridge = Ridge(alpha=0.1 * len(codes)).fit(z, np.eye(3)[labels])
    np.testing.assert_allclose(probe.weights[varying], ridge.coef_.T, atol=1e-10)
    np.testing.assert_allclose(probe.weights[5], 0, atol=1e-10)
    np.testing.assert_allclose(probe.bias, ridge.intercept_, atol=1e-10)
    expected = np.argmax(ridge.predict(z), axis=1)
    np.testing.assert_array_equal(predict(probe, codes), expected)


def test_the_penalty_with_the_fewest_held_out_errors_is_taken():
    train, held_out = classes(40, 1, 1.0), classes(500, 2, 1.0)
    penalties = [1e-5, 1e-1, 1.0, 30.0]

    def errors(chosen):
        probe = fit_linear_probe(*train, *held_out, num_classes=3, penalties=chosen)
        return np.mean(predict(probe, held_out[0]) != held_out[1]), probe.penalty

    alone = {penalty: errors([penalty])[0] for penalty in penalties}
    least, chosen = errors(penalties)
    assert least == min(alone.values()) == alone[chosen]
    assert errors([1.0, 1.0 + 1e-12])[1] == 1.0 + 1e-12  # The largest of equals.


def test_far_classes_are_told_apart_and_codes_of_noise_are_not():
    train, held_out = classes(500, 3, 30.0), classes(200, 4, 30.0)
    probe = fit_linear_probe(*train, *held_out, num_classes=3)
    np.testing.assert_array_equal(predict(probe, held_out[0]), held_out[1])
    noise = classes(500, 5, 0.0), classes(3000, 6, 0.0)
    probe = fit_linear_probe(*noise[0], *noise[1], num_classes=3)
    fresh = classes(3000, 7, 0.0)
    error = np.mean(predict(probe, fresh[0]) != fresh[1])
    assert abs(error - 2 / 3) < 5 * (2 / 9 / 3000) ** 0.5


def test_bad_input_is_refused():
    codes, labels = classes(20, 0)
    with pytest.raises(ValueError, match=r"`labels` are from 0 to 2 .* 0 to 1"):
        fit_linear_probe(codes, labels, codes, labels, num_classes=2)
    for penalties in ([], [-1.0]):
        with pytest.raises(ValueError, match="`penalties`"):
            fit_linear_probe(
                codes, labels, codes, labels, num_classes=3, penalties=penalties
            )
