"""The contestants in PyTorch: as fast as is easily written, and as the notes do it.

All are one class of RBM, or a class that extends it.
"""

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import numpy as np

from jboltz.experiments import _run
from jboltz.experiments.benchmark.contest import Outcome, Work
from jboltz.experiments.benchmark.peers import LEARNING_RATE, torch
from jboltz.experiments.benchmark.works import Arrays


def cd(
    arrays: Arrays,
    images: np.ndarray,
    batch_size: int,
    seed: int,
    extend: Callable[[type], type] | None = None,
) -> Work:
    """One epoch of CD-1 on slices of a shuffled index; every call is the next epoch.

    Args:
      extend: makes another class of the RBM's.
    """
    rbm, data = _rbm(arrays, seed, extend), torch().from_numpy(images)

    def batches():
        return (data[i] for i in torch().randperm(len(data)).split(batch_size))

    return lambda: _epoch(rbm, batches())


def cd_loader(
    arrays: Arrays,
    images: np.ndarray,
    batch_size: int,
    seed: int,
    extend: Callable[[type], type] | None = None,
) -> Work:
    """The same with batches from a DataLoader in this process."""
    rbm, utils = _rbm(arrays, seed, extend), torch().utils.data
    loader = utils.DataLoader(
        utils.TensorDataset(torch().from_numpy(images)),
        batch_size=batch_size,
        shuffle=True,
        num_workers=0,
    )
    return lambda: _epoch(rbm, (x for (x,) in loader))


def stacked(
    train: Callable[..., Work],
    stack: tuple[Arrays, ...],
    images: np.ndarray,
    batch_size: int,
    seed: int,
) -> Work:
    """An epoch of each layer by `train`, from the means of the layers below.

    In PyTorch's favour: means are computed once, and all at a time.
    """

    def work():
        x, done = images, []
        for arrays in stack:
            W, b, c = train(arrays, x, batch_size, seed)()
            done += [W, b, c]
            with torch().no_grad():
                x = torch().sigmoid(torch().from_numpy(x) @ W + c).numpy()
        return tuple(done)

    return work


def gibbs(
    arrays: Arrays,
    starts: np.ndarray,
    num_sweeps: int,
    seed: int,
    extend: Callable[[type], type] | None = None,
) -> Work:
    """Gibbs sweeps in a loop; every call goes on where the last one stopped."""
    rbm, v = _rbm(arrays, seed, extend), torch().from_numpy(starts)
    with torch().no_grad():
        h = rbm.draw(rbm.mean_hidden(v))

    def work():
        nonlocal v, h
        with torch().no_grad():
            for _ in range(num_sweeps):
                v, h = rbm.sweep(h)
        return (v,)

    return work


def as_the_notes(rbm_class: Any) -> type:
    """As the notes write it, with all that they compute and never use."""

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


def with_chains(rbm_class: Any) -> type:
    """By PCD-1, with as many chains as the first batch has examples."""

    class PersistentRBM(rbm_class):
        chains = None

        def update(self, x):
            if self.chains is None:
                self.chains = self.draw(torch().sigmoid(self.c).expand(len(x), -1))
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


def compiled(rbm_class: Any) -> type:
    """By `torch.compile`, once for each shape; the first calls are slow."""

    class CompiledRBM(rbm_class):
        def __init__(self, W, b, c):
            super().__init__(W, b, c)
            self.update = torch().compile(self.update)
            self.sweep = torch().compile(self.sweep)

    return CompiledRBM


def where_compiled(build: Callable[..., Work]) -> Callable[..., Work | None]:
    """The contestant by `compiled`; None where nothing compiles."""

    def build_compiled(arrays, rows, size, seed):
        return build(arrays, rows, size, seed, compiled) if can_compile() else None

    return build_compiled


@cache
def can_compile() -> bool:
    """Whether `torch.compile` runs here; says why not, such as no C++ compiler."""
    x = torch().ones(2)
    try:
        torch().compile(lambda x: torch().sigmoid(x) + 1)(x)
    except Exception as error:  # Of whatever compiler it finds, or does not.
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        _run.say(f"torch.compile does not run here and is left out: {why}")
        return False
    return True


def _epoch(rbm: Any, batches: Iterable[Any]) -> Outcome:
    with torch().no_grad():
        for x in batches:
            rbm.update(x)
    return rbm.W.detach().T, rbm.b.detach(), rbm.c.detach()


def _rbm(
    arrays: Arrays, seed: int, extend: Callable[[type], type] | None = None
) -> Any:
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

    weights, visible_bias, hidden_bias = (np.array(x) for x in arrays)
    W, b, c = map(library.from_numpy, (weights.T.copy(), visible_bias, hidden_bias))
    return (extend(RBM) if extend else RBM)(W, b, c)


notes = partial(cd_loader, extend=as_the_notes)
pcd = partial(cd, extend=with_chains)
