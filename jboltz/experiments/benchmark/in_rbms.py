"""The contestants by rbms, a library of RBMs in PyTorch.

Training is the loop of its `rbms.training.pcd.train`, with all that an update computes.
In its favour: on images binarised once, without the archive that it reads and writes
every update; not centred, and with the gradient as it is, where rbms would scale it to
length 1, so that it learns what the others learn.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jboltz.experiments.benchmark.contest import Work
from jboltz.experiments.benchmark.peers import LEARNING_RATE, torch
from jboltz.experiments.benchmark.works import Arrays, binarised


def cd(arrays: Arrays, images: np.ndarray, batch_size: int, seed: int) -> Work:
    """As many updates of CD-1 as an epoch has, each on a batch drawn anew."""

    def from_data(params, chains, batch):
        return params.init_chains(len(batch[0]), weights=batch[1], start_v=batch[0])

    return _training(arrays, images, batch_size, seed, from_data)


def pcd(arrays: Arrays, images: np.ndarray, batch_size: int, seed: int) -> Work:
    """The same by PCD-1, with as many chains as a batch has examples."""
    return _training(arrays, images, batch_size, seed, lambda _, chains, __: chains)


def gibbs(arrays: Arrays, starts: np.ndarray, num_sweeps: int, seed: int) -> Work:
    """Sweeps by `sample_state`; every call goes on where the last one stopped."""
    params = _params(arrays, seed)
    chains = params.init_chains(len(starts), start_v=torch().from_numpy(starts))

    def work():
        nonlocal chains
        with torch().no_grad():
            chains = params.sample_state(chains=chains, n_steps=num_sweeps)
        return (chains["visible"],)

    return work


def _training(
    arrays: Arrays,
    images: np.ndarray,
    batch_size: int,
    seed: int,
    start: Callable[..., Any],
) -> Work:
    """Updates of chains that begin at `start(params, chains, batch)`."""
    params, binary = _params(arrays, seed), binarised(images, seed)
    params.init_grad()
    fit_batch = importlib.import_module("rbms.training.pcd").fit_batch_pcd
    optimizer = torch().optim.SGD(params.parameters(), lr=LEARNING_RATE, maximize=True)
    data, weights = torch().from_numpy(binary), torch().ones(len(binary))
    chains = params.init_chains(batch_size)

    def work():
        nonlocal chains
        with torch().no_grad():
            for _ in range(-(-len(data) // batch_size)):
                index = torch().randperm(len(data))[:batch_size]
                batch = data[index], weights[index]
                chains = start(params, chains, batch)
                optimizer.zero_grad(set_to_none=False)
                options = {"gibbs_steps": 1, "beta": 1.0, "centered": False}
                chains, _ = fit_batch(batch, chains, params, **options)
                optimizer.step()
        return tuple(x.detach() for x in params.parameters())

    return work


def _params(arrays: Arrays, seed: int) -> Any:
    torch().manual_seed(seed)
    library = importlib.import_module("rbms.bernoulli_bernoulli.classes")

    class AsItIs(library.BBRBM):
        def normalize_grad(self):
            pass

    weights, visible_bias, hidden_bias = (
        torch().from_numpy(np.array(x)) for x in arrays
    )
    return AsItIs(weights, visible_bias, hidden_bias)
