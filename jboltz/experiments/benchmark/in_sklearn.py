"""The contestants by scikit-learn."""

import numpy as np
from sklearn.neural_network import BernoulliRBM  # pyright: ignore

from jboltz.experiments.benchmark.peers import LEARNING_RATE
from jboltz.experiments.benchmark.worker import Work
from jboltz.experiments.benchmark.works import Job, binarised, epoch_and_parts, gray


def pcd(job: Job) -> Work:
    """`BernoulliRBM.fit`, which begins anew at every call, from weights of its own.

    It is PCD-1 with a chain an example of a batch: the five products of CD-1, on images
    binarised once and never shuffled.
    """
    binary, rbm = binarised(gray(job.rows), job.seed), _rbm(job)
    rbm.set_params(batch_size=job.size)

    def run(num_steps):
        rbm.fit(binary[: num_steps * job.size])
        return rbm.components_.T, rbm.intercept_visible_, rbm.intercept_hidden_

    return epoch_and_parts(job, run)


def gibbs(job: Job) -> Work:
    """Sweeps by `BernoulliRBM.gibbs`; every call goes on where the last one stopped."""
    weights, visible_bias, hidden_bias = (np.asarray(x) for x in job.arrays)
    rbm, v = _rbm(job), job.rows
    # As `fit` lays them out.
    rbm.components_ = np.asfortranarray(weights.T)
    rbm.intercept_visible_, rbm.intercept_hidden_ = visible_bias, hidden_bias

    def work():
        nonlocal v
        for _ in range(job.size):
            v = rbm.gibbs(v)
        return (v,)

    return work


def _rbm(job: Job) -> BernoulliRBM:
    options = {"learning_rate": LEARNING_RATE, "n_iter": 1, "random_state": job.seed}
    return BernoulliRBM(len(job.arrays[2]), **options)
