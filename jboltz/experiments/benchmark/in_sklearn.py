"""The contestants by scikit-learn."""

import numpy as np
from sklearn.neural_network import BernoulliRBM  # pyright: ignore

from jboltz.experiments.benchmark.peers import LEARNING_RATE
from jboltz.experiments.benchmark.works import Job, Work, binary_images


def pcd(job: Job) -> Work:
    """`BernoulliRBM.fit`, which begins anew at every call, from weights of its own.

    It is PCD-1 with a chain an example of a batch: the five products of CD-1, on images
    binarised once and never shuffled.
    """
    binary, rbm = binary_images(job, len(job.rows)), _rbm(job)

    def work():
        rbm.fit(binary)
        return rbm.components_.T, rbm.intercept_visible_, rbm.intercept_hidden_

    return work


def gibbs(job: Job) -> Work:
    """Sweeps by `BernoulliRBM.gibbs`; every call goes on where the last one stopped."""
    weights, visible_bias, hidden_bias = (np.asarray(x) for x in job.arrays[0])
    rbm, v = _rbm(job), binary_images(job, job.sizes.num_chains)
    # As `fit` lays them out.
    rbm.components_ = np.asfortranarray(weights.T)
    rbm.intercept_visible_, rbm.intercept_hidden_ = visible_bias, hidden_bias

    def work():
        nonlocal v
        for _ in range(job.sizes.num_sweeps):
            v = rbm.gibbs(v)
        return (v,)

    return work


def _rbm(job: Job) -> BernoulliRBM:
    return BernoulliRBM(
        len(job.arrays[0][2]),
        learning_rate=LEARNING_RATE,
        batch_size=job.sizes.batch_size,
        n_iter=1,
        random_state=job.seed,
    )
