"""The contestants by scikit-learn."""

import importlib
from typing import Any

import numpy as np

from jboltz.experiments.benchmark.contest import Work
from jboltz.experiments.benchmark.peers import LEARNING_RATE
from jboltz.experiments.benchmark.works import Arrays, binarised


def pcd(arrays: Arrays, images: np.ndarray, batch_size: int, seed: int) -> Work:
    """One epoch of `BernoulliRBM.fit`, which begins anew at every call, from weights of
    its own.

    It is PCD-1 with a chain an example of a batch: the five products of CD-1, on images
    binarised once and never shuffled.
    """
    num_hidden, binary = arrays[0].shape[1], binarised(images, seed)
    rbm = _rbm(num_hidden, batch_size=batch_size, random_state=seed)

    def work():
        rbm.fit(binary)
        return rbm.components_.T, rbm.intercept_visible_, rbm.intercept_hidden_

    return work


def gibbs(arrays: Arrays, starts: np.ndarray, num_sweeps: int, seed: int) -> Work:
    """Sweeps by `BernoulliRBM.gibbs`; every call goes on where the last one stopped."""
    weights, visible_bias, hidden_bias = (np.asarray(x) for x in arrays)
    rbm, v = _rbm(len(hidden_bias), random_state=seed), starts
    # As `fit` lays them out.
    rbm.components_ = np.asfortranarray(weights.T)
    rbm.intercept_visible_, rbm.intercept_hidden_ = visible_bias, hidden_bias

    def work():
        nonlocal v
        for _ in range(num_sweeps):
            v = rbm.gibbs(v)
        return (v,)

    return work


def _rbm(num_hidden: int, **options: int) -> Any:
    rbm = importlib.import_module("sklearn.neural_network").BernoulliRBM
    return rbm(num_hidden, learning_rate=LEARNING_RATE, n_iter=1, **options)
