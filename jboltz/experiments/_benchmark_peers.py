"""The work of `benchmark` in PyTorch and in scikit-learn, which need not be there.

Each is imported where it is used: after jboltz's memory has been read, and only if it
is installed.
"""

import importlib
import importlib.metadata
import os
from functools import partial
from typing import Any

import numpy as np

from jboltz.experiments._benchmark_timing import Work

LEARNING_RATE = 0.01
"""The notes'. Every contestant learns at this one."""


def installed() -> dict[str, str | None]:
    """Versions by package; None for one that is not installed."""
    versions: dict[str, str | None] = {}
    for package in ("torch", "scikit-learn"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def threads(versions: dict[str, str | None]) -> dict[str, Any]:
    """How many threads each library computes on."""
    counts: dict[str, Any] = {"cores": os.cpu_count()}
    # XLA has no call that tells; its pool has a thread a core that it may use.
    is_linux = hasattr(os, "sched_getaffinity")
    counts["xla"] = len(os.sched_getaffinity(0)) if is_linux else os.cpu_count()
    if versions["torch"]:
        counts["torch"] = _torch().get_num_threads()
    if versions["scikit-learn"]:
        # scikit-learn depends on it; its products are those of NumPy's BLAS.
        pools = importlib.import_module("threadpoolctl").threadpool_info()
        counts["blas"] = [p["num_threads"] for p in pools if p["user_api"] == "blas"]
    return counts


def torch_cd(
    machine: tuple[Any, ...], images: np.ndarray, batch_size: int, seed: int
) -> Work:
    """One epoch of CD-1 on slices of a shuffled index; every call is the next epoch."""
    torch, rbm = _torch(), _torch_rbm(machine, seed)
    data = torch.from_numpy(images)

    def batches():
        return (data[i] for i in torch.randperm(len(data)).split(batch_size))

    return partial(_torch_epoch, rbm, batches)


def torch_cd_loader(
    machine: tuple[Any, ...], images: np.ndarray, batch_size: int, seed: int
) -> partial:
    """The same, with batches from a DataLoader in this process."""
    torch, rbm = _torch(), _torch_rbm(machine, seed)
    utils = torch.utils.data
    loader = utils.DataLoader(
        utils.TensorDataset(torch.from_numpy(images)),
        batch_size=batch_size,
        shuffle=True,
        num_workers=0,
    )
    return partial(_torch_epoch, rbm, lambda: (x for (x,) in loader))


def torch_notes(
    machine: tuple[Any, ...], images: np.ndarray, batch_size: int, seed: int
) -> Work:
    """The same as the notes write it, with all that they compute and never use."""
    work = torch_cd_loader(machine, images, batch_size, seed)
    rbm = work.args[0]
    rbm.__class__ = _as_the_notes(type(rbm))
    return work


def torch_gibbs(
    machine: tuple[Any, ...], starts: np.ndarray, num_sweeps: int, seed: int
) -> Work:
    """Gibbs sweeps in a loop; every call goes on where the last one stopped."""
    torch, rbm = _torch(), _torch_rbm(machine, seed)
    v = torch.from_numpy(starts)
    with torch.no_grad():
        h = rbm.draw(rbm.mean_hidden(v))

    def work():
        nonlocal v, h
        with torch.no_grad():
            for _ in range(num_sweeps):
                v = rbm.draw(rbm.mean_visible(h))
                h = rbm.draw(rbm.mean_hidden(v))
        return (v,)

    return work


def sklearn_cd(binary: np.ndarray, num_hidden: int, batch_size: int, seed: int) -> Work:
    """One epoch of `BernoulliRBM.fit`, which begins anew at every call.

    It is PCD-1, with one product fewer than CD-1, on images binarised once and never
    shuffled.
    """
    rbm = _sklearn_rbm(num_hidden, batch_size=batch_size, random_state=seed)

    def work():
        rbm.fit(binary)
        return rbm.components_.T, rbm.intercept_visible_, rbm.intercept_hidden_

    return work


def sklearn_gibbs(
    machine: tuple[Any, ...], starts: np.ndarray, num_sweeps: int, seed: int
) -> Work:
    """Sweeps by `BernoulliRBM.gibbs`; every call goes on where the last one stopped."""
    weights, visible_bias, hidden_bias = (np.asarray(x) for x in machine)
    rbm, v = _sklearn_rbm(len(hidden_bias), random_state=seed), starts
    # As `fit` lays them out.
    rbm.components_ = np.asfortranarray(weights.T)
    rbm.intercept_visible_, rbm.intercept_hidden_ = visible_bias, hidden_bias

    def work():
        nonlocal v
        for _ in range(num_sweeps):
            v = rbm.gibbs(v)
        return (v,)

    return work


def _sklearn_rbm(num_hidden: int, **options: Any) -> Any:
    rbm = importlib.import_module("sklearn.neural_network").BernoulliRBM
    return rbm(num_hidden, learning_rate=LEARNING_RATE, n_iter=1, **options)


def _torch() -> Any:
    torch = importlib.import_module("torch")
    torch.set_num_threads(os.cpu_count() or 1)
    return torch


def _torch_epoch(rbm, batches):
    with _torch().no_grad():
        for x in batches():
            rbm.contrastive_divergence(rbm.draw(x))
    return rbm.W.detach().T, rbm.b.detach(), rbm.c.detach()


def _as_the_notes(rbm_class: Any) -> Any:
    torch = _torch()

    class NotesRBM(rbm_class):
        def draw(self, p):
            return torch.bernoulli(p)

        def sample_h(self, v):
            p = self.mean_hidden(v)
            return p, self.draw(p)

        def contrastive_divergence(self, x):
            p, _ = self.sample_h(x)
            _, h = self.sample_h(x)
            v = self.draw(self.mean_visible(h))
            p_k, _ = self.sample_h(v)
            self.W += LEARNING_RATE * (p.T @ x - p_k.T @ v) / len(x)
            self.b += LEARNING_RATE * torch.mean(x - v, dim=0)
            self.c += LEARNING_RATE * torch.mean(p - p_k, dim=0)
            return torch.mean((x - v) ** 2).item()

    return NotesRBM


def _torch_rbm(machine: tuple[Any, ...], seed: int) -> Any:
    """The notes' RBM, in their notation, with updates in place.

    In PyTorch's favour: without the draws that the notes make and never use, without
    their loss, and of PyTorch's ways to draw the fastest (twice `torch.bernoulli`).
    """
    torch = _torch()
    torch.manual_seed(seed)
    linear = torch.nn.functional.linear

    class RBM(torch.nn.Module):
        def __init__(self, W, b, c):
            super().__init__()
            self.W, self.b, self.c = (torch.nn.Parameter(x) for x in (W, b, c))

        def mean_hidden(self, v):
            return torch.sigmoid(linear(v, self.W, self.c))

        def mean_visible(self, h):
            return torch.sigmoid(linear(h, self.W.T, self.b))

        def draw(self, p):
            return (torch.rand_like(p) < p).to(p.dtype)

        def contrastive_divergence(self, x):
            p = self.mean_hidden(x)
            v = self.draw(self.mean_visible(self.draw(p)))
            p_k, rate = self.mean_hidden(v), LEARNING_RATE / len(x)
            self.W.addmm_(p.T, x, alpha=rate).addmm_(p_k.T, v, alpha=-rate)
            self.b.add_((x - v).sum(0), alpha=rate)
            self.c.add_((p - p_k).sum(0), alpha=rate)

    weights, visible_bias, hidden_bias = (np.array(x) for x in machine)
    tensors = (weights.T.copy(), visible_bias, hidden_bias)
    return RBM(*(torch.from_numpy(x) for x in tensors))
