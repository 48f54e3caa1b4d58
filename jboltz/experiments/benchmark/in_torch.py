"""The contestants in PyTorch: as fast as is easily written, and as the notes do it."""

import dataclasses
import os
from collections.abc import Callable, Iterable
from functools import cache, partial

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from jboltz.experiments.benchmark.floors import in_python
from jboltz.experiments.benchmark.peers import LEARNING_RATE, affinity
from jboltz.experiments.benchmark.works import Job, Outcome, Work, binary_images, gray
from jboltz.runs.progress import say

torch.set_num_threads(len(affinity() or ()) or os.cpu_count() or 1)


class RBM:
    """The notes' RBM, in their notation, with updates in place.

    In PyTorch's favour: without the draws that the notes make and never use, without
    their loss, and of PyTorch's ways to draw the fastest (twice `torch.bernoulli`).
    """

    def __init__(self, job):
        torch.manual_seed(job.seed)
        W, self.b, self.c = (torch.from_numpy(np.array(x)) for x in job.arrays[0])
        self.W = W.T.contiguous()

    def mean_hidden(self, v):
        return torch.sigmoid(torch.nn.functional.linear(v, self.W, self.c))

    def mean_visible(self, h):
        return torch.sigmoid(torch.nn.functional.linear(h, self.W.T, self.b))

    def draw(self, p):
        return (torch.rand_like(p) < p).to(p.dtype)

    def sweep(self, h):
        v = self.draw(self.mean_visible(h))
        return v, self.draw(self.mean_hidden(v))

    def update(self, x) -> float | None:
        x = self.draw(x)
        p = self.mean_hidden(x)
        v = self.draw(self.mean_visible(self.draw(p)))
        p_k, rate = self.mean_hidden(v), LEARNING_RATE / len(x)
        self.W.addmm_(p.T, x, alpha=rate).addmm_(p_k.T, v, alpha=-rate)
        self.b.add_((x - v).sum(0), alpha=rate)
        self.c.add_((p - p_k).sum(0), alpha=rate)


class NotesRBM(RBM):
    """As the notes write it, with all that they compute and never use."""

    def draw(self, p):
        return torch.bernoulli(p)

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
        self.b += LEARNING_RATE * torch.mean(x - v, dim=0)
        self.c += LEARNING_RATE * torch.mean(p - p_k, dim=0)
        return torch.mean((x - v) ** 2).item()


class PersistentRBM(RBM):
    """Learns by PCD-1, with as many chains as a batch has examples."""

    def __init__(self, job):
        super().__init__(job)
        p = torch.sigmoid(self.c)
        self.chains = self.draw(p.expand(job.sizes.batch_size, -1))

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


class CompiledRBM(RBM):
    """By `torch.compile`, once for each shape; the first calls are slow."""

    def __init__(self, job):
        super().__init__(job)
        self.update = torch.compile(self.update)
        self.sweep = torch.compile(self.sweep)


@cache
def can_compile() -> bool:
    """Whether `torch.compile` runs here; says why not, such as no C++ compiler."""
    try:
        torch.compile(lambda x: torch.sigmoid(x) + 1)(torch.ones(2))
    except Exception as error:  # Of whatever compiler it finds, or does not.
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        say(f"torch.compile does not run here and is left out: {why}")
        return False
    return True


products = partial(in_python, convert=torch.from_numpy)


def cd(job: Job, rbm_class: Callable[[Job], RBM] = RBM) -> Work:
    """CD-1 on slices of a shuffled index, shuffled anew at every call."""
    rbm, data = rbm_class(job), torch.from_numpy(gray(job.rows))

    def work():
        order = torch.randperm(len(data)).split(job.sizes.batch_size)
        return _updates(rbm, (data[index] for index in order))

    return work


def cd_loader(job: Job, rbm_class: Callable[[Job], RBM] = RBM) -> Work:
    """The same with batches from a DataLoader in this process."""
    rbm, data = rbm_class(job), torch.from_numpy(gray(job.rows))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(data),
        batch_size=job.sizes.batch_size,
        shuffle=True,
    )
    return lambda: _updates(rbm, (x for (x,) in loader))


def _updates(rbm: RBM, batches: Iterable[torch.Tensor]) -> Outcome:
    for x in batches:
        rbm.update(x)
    return rbm.W.T, rbm.b, rbm.c


pcd = partial(cd, rbm_class=PersistentRBM)
notes = partial(cd_loader, rbm_class=NotesRBM)


def if_it_compiles(train: Callable[..., Work], job: Job) -> Work | None:
    """The work of `CompiledRBM`; None where nothing compiles."""
    torch.compiler.reset()  # Else what earlier tasks compiled counts against a limit.
    return train(job, CompiledRBM) if can_compile() else None


cd_compiled = partial(if_it_compiles, cd)


def stacked(train: Callable[[Job], Work], job: Job) -> Work:
    """An epoch of each layer by `train`, from the means of the layers below.

    In PyTorch's favour: means are computed once, and all at a time.
    """

    def work():
        x, done = gray(job.rows), []
        for arrays in job.arrays:
            layer = dataclasses.replace(job, arrays=(arrays,), rows=x)
            W, b, c = train(layer)()
            done += [W, b, c]
            x = torch.sigmoid(torch.from_numpy(x) @ W + c).numpy()
        return tuple(done)

    return work


stacked_cd = partial(stacked, cd_loader)
stacked_notes = partial(stacked, notes)


def gibbs(job: Job, rbm_class: Callable[[Job], RBM] = RBM) -> Work:
    """Gibbs sweeps in a loop; every call goes on where the last one stopped."""
    rbm = rbm_class(job)
    v = torch.from_numpy(binary_images(job, job.sizes.num_chains))
    h = rbm.draw(rbm.mean_hidden(v))

    def work():
        nonlocal v, h
        for _ in range(job.sizes.num_sweeps):
            v, h = rbm.sweep(h)
        return (v,)

    return work


gibbs_compiled = partial(if_it_compiles, gibbs)
