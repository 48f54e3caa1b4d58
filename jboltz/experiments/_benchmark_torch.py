"""The work of `benchmark` in PyTorch, as fast as it is easily written, and as the notes
write it."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from jboltz.experiments._benchmark_peers import LEARNING_RATE, torch
from jboltz.experiments._benchmark_timing import Work
from jboltz.runs import progress as _run


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it stands."""
    return function


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """By `torch.compile`, once a shape; the first calls are slow."""
    return torch().compile(function)


@cache
def can_compile() -> bool:
    """Whether `torch.compile` runs here; says why not, such as no C++ compiler."""
    x = torch().ones(2)
    try:
        compiled(lambda x: torch().sigmoid(x) + 1)(x)
    except Exception as error:  # Of whatever compiler it finds, or does not.
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        _run.say(f"torch.compile does not run here and is left out: {why}")
        return False
    return True


def cd(
    machine: tuple[Any, ...],
    images: np.ndarray,
    batch_size: int,
    seed: int,
    transform: Callable[..., Any] = eager,
) -> Work:
    """One epoch of CD-1 on slices of a shuffled index; every call is the next epoch.

    Args:
      transform: what becomes of the function that takes an update.
    """
    rbm = _rbm(machine, seed)
    rbm.update = transform(rbm.update)
    return partial(_epoch, rbm, _shuffled(images, batch_size))


def pcd(
    machine: tuple[Any, ...], images: np.ndarray, batch_size: int, seed: int
) -> Work:
    """The same by PCD-1, with as many chains as a batch has examples."""
    rbm = _rbm(machine, seed)
    rbm.__class__ = _with_chains(type(rbm))
    with torch().no_grad():
        rbm.chains = rbm.draw(torch().sigmoid(rbm.c).expand(batch_size, -1))
    return partial(_epoch, rbm, _shuffled(images, batch_size))


def cd_loader(
    machine: tuple[Any, ...], images: np.ndarray, batch_size: int, seed: int
) -> partial:
    """CD-1, with batches from a DataLoader in this process."""
    rbm, utils = _rbm(machine, seed), torch().utils.data
    loader = utils.DataLoader(
        utils.TensorDataset(torch().from_numpy(images)),
        batch_size=batch_size,
        shuffle=True,
        num_workers=0,
    )
    return partial(_epoch, rbm, lambda: (x for (x,) in loader))


def notes(
    machine: tuple[Any, ...], images: np.ndarray, batch_size: int, seed: int
) -> Work:
    """The same as the notes write it, with all that they compute and never use."""
    work = cd_loader(machine, images, batch_size, seed)
    rbm = work.args[0]
    rbm.__class__ = _as_the_notes(type(rbm))
    return work


def stacked(
    train: Callable[..., Work],
    machines: tuple[tuple[Any, ...], ...],
    images: np.ndarray,
    batch_size: int,
    seed: int,
) -> Work:
    """An epoch of each layer by `train`, from the means of the layers below.

    In PyTorch's favour: means are computed once, and all at a time.
    """

    def work():
        x, done = images, []
        for machine in machines:
            W, b, c = train(machine, x, batch_size, seed)()
            done += [W, b, c]
            with torch().no_grad():
                x = torch().sigmoid(torch().from_numpy(x) @ W + c).numpy()
        return tuple(done)

    return work


def gibbs(
    machine: tuple[Any, ...],
    starts: np.ndarray,
    num_sweeps: int,
    seed: int,
    transform: Callable[..., Any] = eager,
) -> Work:
    """Gibbs sweeps in a loop; every call goes on where the last one stopped.

    Args:
      transform: what becomes of the function that takes a sweep.
    """
    rbm, v = _rbm(machine, seed), torch().from_numpy(starts)
    with torch().no_grad():
        h = rbm.draw(rbm.mean_hidden(v))
    sweep = transform(rbm.sweep)

    def work():
        nonlocal v, h
        with torch().no_grad():
            for _ in range(num_sweeps):
                v, h = sweep(h)
        return (v,)

    return work


def _shuffled(images, batch_size):
    data = torch().from_numpy(images)

    def batches():
        return (data[i] for i in torch().randperm(len(data)).split(batch_size))

    return batches


def _epoch(rbm, batches):
    with torch().no_grad():
        for x in batches():
            rbm.update(x)
    return rbm.W.detach().T, rbm.b.detach(), rbm.c.detach()


def _as_the_notes(rbm_class: Any) -> Any:
    class NotesRBM(rbm_class):
        def draw(self, p):
            return torch().bernoulli(p)

        def sample_h(self, v):
            p = self.mean_hidden(v)
            return p, self.draw(p)

        def update(self, x):
            x = self.draw(x)
            p, _ = self.sample_h(x)
            _, h = self.sample_h(x)
            v = self.draw(self.mean_visible(h))
            p_k, _ = self.sample_h(v)
            self.W += LEARNING_RATE * (p.T @ x - p_k.T @ v) / len(x)
            self.b += LEARNING_RATE * torch().mean(x - v, dim=0)
            self.c += LEARNING_RATE * torch().mean(p - p_k, dim=0)
            return torch().mean((x - v) ** 2).item()

    return NotesRBM


def _with_chains(rbm_class: Any) -> Any:
    class PersistentRBM(rbm_class):
        def update(self, x):
            x = self.draw(x)
            v = self.draw(self.mean_visible(self.chains))
            p, p_k = self.mean_hidden(x), self.mean_hidden(v)
            self.chains = self.draw(p_k)
            # The last batch may be shorter than there are chains.
            data, model = LEARNING_RATE / len(x), LEARNING_RATE / len(v)
            self.W.addmm_(p.T, x, alpha=data).addmm_(p_k.T, v, alpha=-model)
            self.b.add_(x.sum(0), alpha=data).add_(v.sum(0), alpha=-model)
            self.c.add_(p.sum(0), alpha=data).add_(p_k.sum(0), alpha=-model)

    return PersistentRBM


def _rbm(machine: tuple[Any, ...], seed: int) -> Any:
    """The notes' RBM, in their notation, with updates in place.

    In PyTorch's favour: without the draws that the notes make and never use, without
    their loss, and of PyTorch's ways to draw the fastest (twice `torch.bernoulli`).
    """
    library = torch()
    library.manual_seed(seed)
    linear = library.nn.functional.linear

    class RBM(library.nn.Module):
        def __init__(self, W, b, c):
            super().__init__()
            self.W, self.b, self.c = (library.nn.Parameter(x) for x in (W, b, c))

        def mean_hidden(self, v):
            return library.sigmoid(linear(v, self.W, self.c))

        def mean_visible(self, h):
            return library.sigmoid(linear(h, self.W.T, self.b))

        def draw(self, p):
            return (library.rand_like(p) < p).to(p.dtype)

        def sweep(self, h):
            v = self.draw(self.mean_visible(h))
            return v, self.draw(self.mean_hidden(v))

        def update(self, x):
            x = self.draw(x)
            p = self.mean_hidden(x)
            v = self.draw(self.mean_visible(self.draw(p)))
            p_k, rate = self.mean_hidden(v), LEARNING_RATE / len(x)
            self.W.addmm_(p.T, x, alpha=rate).addmm_(p_k.T, v, alpha=-rate)
            self.b.add_((x - v).sum(0), alpha=rate)
            self.c.add_((p - p_k).sum(0), alpha=rate)

    weights, visible_bias, hidden_bias = (np.array(x) for x in machine)
    tensors = (weights.T.copy(), visible_bias, hidden_bias)
    return RBM(*(library.from_numpy(x) for x in tensors))
