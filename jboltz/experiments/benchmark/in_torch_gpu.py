"""CD-1 and Gibbs sampling in PyTorch, on the device that JAX computes on."""

from typing import Any

import jax
import torch  # pyright: ignore[reportMissingImports]

from jboltz.errors import MissingPackage
from jboltz.experiments.benchmark.on_device import Row


def work(row: Row, num_steps: int, key: Any) -> Any:
    """A state, and a function of it and a key that takes the steps of a row.

    In bfloat16 the products take and return bfloat16; parameters stay float32.
    """
    del key
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingPackage(
            "PyTorch sees no GPU but JAX has an accelerator; to compare them, install "
            "a PyTorch with CUDA."
        )
    tf32 = {"tensorfloat32": "high"}.get(row.precision, "highest")
    torch.set_float32_matmul_precision(tf32)
    torch.manual_seed(0)
    is_half = row.precision == "bfloat16"

    def product(x, y):
        return (x.bfloat16() @ y.bfloat16()).float() if is_half else x @ y

    def draw(p):
        return (torch.rand_like(p) < p).to(p.dtype)

    def hidden(W, c, v):
        return torch.sigmoid(product(v, W) + c)

    def visible(W, b, h):
        return torch.sigmoid(product(h, W.T) + b)

    def update(state):
        W, b, c, x = state
        p = hidden(W, c, x)
        v = draw(visible(W, b, draw(p)))
        p_k, rate = hidden(W, c, v), 1e-3 / len(x)
        W = W + rate * (product(x.T, p) - product(v.T, p_k))
        b, c = b + rate * (x - v).sum(0), c + rate * (p - p_k).sum(0)
        return W, b, c, x

    def sweep(state):
        W, b, c, v = state
        return W, b, c, draw(visible(W, b, draw(hidden(W, c, v))))

    step = {"CD-1": update, "Gibbs": sweep}[row.work]
    if row.library == "torch_compiled":
        step = torch.compile(step)

    def advance(state, key):
        del key
        with torch.no_grad():
            for _ in range(num_steps):
                state = step(state)
        if device == "cuda":
            torch.cuda.synchronize()
        return state

    W = 0.01 * torch.randn(row.shape, device=device)
    b, c = (torch.zeros(n, device=device) for n in row.shape)
    v = draw(torch.full((row.num_rows, row.shape[0]), 0.2, device=device))
    return (W, b, c, v), advance
