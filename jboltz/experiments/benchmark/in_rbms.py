"""The contestants by rbms, a library of RBMs in PyTorch.

Training is the loop of its `rbms.training.pcd.train`, with all that an update computes.
In its favour: on images binarised once, without the archive that it reads and writes
every update; not centred, and with the gradient as it is, where rbms would scale it to
length 1, so that it learns what the others learn.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from rbms.bernoulli_bernoulli.classes import BBRBM  # pyright: ignore
from rbms.training.pcd import fit_batch_pcd  # pyright: ignore

from jboltz.experiments.benchmark.in_torch import torch
from jboltz.experiments.benchmark.peers import LEARNING_RATE
from jboltz.experiments.benchmark.works import Job, Work, binary_images, num_updates


class UnscaledRBM(BBRBM):
    """The library's RBM, without its scaling of the gradient."""

    def normalize_grad(self):
        pass


def cd(job: Job) -> Work:
    """As many updates of CD-1 as an epoch has, each on a batch drawn anew."""

    def from_data(params, chains, batch):
        return params.init_chains(len(batch[0]), weights=batch[1], start_v=batch[0])

    return _training(job, from_data)


def pcd(job: Job) -> Work:
    """The same by PCD-1, with as many chains as a batch has examples."""
    return _training(job, lambda _, chains, __: chains)


def gibbs(job: Job) -> Work:
    """Sweeps by `sample_state`; every call goes on where the last one stopped."""
    params = _params(job)
    starts = torch.from_numpy(binary_images(job, job.sizes.num_chains))
    chains = params.init_chains(len(starts), start_v=starts)

    def work():
        nonlocal chains
        with torch.no_grad():
            chains = params.sample_state(chains=chains, n_steps=job.sizes.num_sweeps)
        return (chains["visible"],)

    return work


def _training(job: Job, start: Callable[..., Any]) -> Work:
    """Updates of chains that begin at `start(params, chains, batch)`."""
    params = _params(job)
    params.init_grad()
    optimizer = torch.optim.SGD(params.parameters(), lr=LEARNING_RATE, maximize=True)
    data = torch.from_numpy(binary_images(job, len(job.rows)))
    weights, chains = torch.ones(len(data)), params.init_chains(job.sizes.batch_size)

    def work():
        nonlocal chains
        with torch.no_grad():
            for _ in range(num_updates(job.sizes)):
                index = torch.randperm(len(data))[: job.sizes.batch_size]
                batch = data[index], weights[index]
                chains = start(params, chains, batch)
                optimizer.zero_grad(set_to_none=False)
                options = {"gibbs_steps": 1, "beta": 1.0, "centered": False}
                chains, _ = fit_batch_pcd(batch, chains, params, **options)
                optimizer.step()
        return tuple(x.detach() for x in params.parameters())

    return work


def _params(job: Job) -> UnscaledRBM:
    torch.manual_seed(job.seed)
    W, b, c = (torch.from_numpy(np.array(x)) for x in job.arrays[0])
    return UnscaledRBM(W, b, c)
