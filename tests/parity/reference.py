"""The notes' PyTorch code, in their notation: W is (n_hid, n_vis), parameters change in
place, nothing is differentiated.

Two differences. Every draw takes its uniforms as an argument, s = 1 iff u < p; and the
h⁺ and h⁻ that contrastive divergence draws beside p⁺ and p⁻ and never uses are left
out: with injected uniforms they change nothing.
"""

import sys

import pytest

if sys.version_info < (3, 12):
    import torch
else:
    torch = pytest.importorskip("torch", reason="torch is pinned for Python 3.11 only")


def bernoulli(p, u):
    """1 iff u < p. In float32 another seed is due if rounding could decide a draw."""
    assert p.shape == u.shape
    if p.dtype == torch.float32:
        assert float((u - p).abs().min()) > 1e-5, "choose another seed"
    return (u < p).to(p.dtype)


class RBM:
    def __init__(self, weights, visible_bias, hidden_bias):
        self.W, self.b, self.c = (
            weights.clone(),
            visible_bias.clone(),
            hidden_bias.clone(),
        )

    def sample_h(self, v, u):
        p = torch.sigmoid(v @ self.W.T + self.c)
        return p, bernoulli(p, u)

    def sample_v(self, h, u):
        p = torch.sigmoid(h @ self.W + self.b)
        return p, bernoulli(p, u)

    def forward(self, v, u_h, u_v):
        _, h = self.sample_h(v, u_h)
        _, v = self.sample_v(h, u_v)
        return v

    def energy(self, v, h):
        return -(v @ self.b) - h @ self.c - ((h @ self.W) * v).sum(-1)

    def free_energy(self, v):
        return -(v @ self.b) - torch.nn.functional.softplus(v @ self.W.T + self.c).sum(
            -1
        )

    def statistics(self, x, v_k):
        """Ascent directions of W, b, c: data x against v_k, each over its own count."""
        p_x = torch.sigmoid(x @ self.W.T + self.c)
        p_k = torch.sigmoid(v_k @ self.W.T + self.c)
        return (
            p_x.T @ x / len(x) - p_k.T @ v_k / len(v_k),
            x.mean(0) - v_k.mean(0),
            p_x.mean(0) - p_k.mean(0),
        )

    def update(self, statistics, lr):
        for parameter, ascent in zip((self.W, self.b, self.c), statistics, strict=True):
            parameter += lr * ascent

    def gibbs(self, x, draws):
        """v_k, after one round {h ~ p(h | v); v ~ p(v | h)} a pair (u_h, u_v)."""
        v = x
        for u_h, u_v in draws:
            v = self.forward(v, u_h, u_v)
        return v

    def contrastive_divergence(self, x, lr, k, draws):
        assert len(draws) == k
        v_k = self.gibbs(x, draws)
        self.update(self.statistics(x, v_k), lr)
        return ((x - v_k) ** 2).mean()

    def persistent_contrastive_divergence(self, x, lr, chains, draws):
        """Chains (v, h), a round {v ~ p(v | h); h ~ p(h | v)} a pair (u_v, u_h).

        Not in the notes.
        """
        v, h = chains
        for u_v, u_h in draws:
            _, v = self.sample_v(h, u_v)
            _, h = self.sample_h(v, u_h)
        self.update(self.statistics(x, v), lr)
        return v, h

    def blog_contrastive_divergence(self, x, k, uniforms):
        """The ascent direction of W as the blog has it; its loop never moves x."""
        p, _ = self.sample_h(x, uniforms[0])
        for step in range(k):
            _, h = self.sample_h(x, uniforms[step])
        v_prob = torch.sigmoid(h @ self.W + self.b)
        return (p.T @ x - h.T @ v_prob) / len(x), ((x - v_prob) ** 2).mean()


class GRBM(RBM):
    """h ~ σ(vWᵀ + c) with no σ², v = hW + b + σ·noise; the updates of the RBM."""

    def __init__(self, weights, visible_bias, hidden_bias, sigma):
        super().__init__(weights, visible_bias, hidden_bias)
        self.sigma = sigma

    def sample_v(self, h, noise):
        mean = h @ self.W + self.b
        return mean, mean + self.sigma * noise


class SsRBM:
    """z is what others call the slab; it reaches v where its spike s is off too."""

    def __init__(self, weights, v_bias, s_bias, z_bias, sigma):
        self.W, self.v_bias = weights.clone(), v_bias.clone()
        self.s_bias, self.z_bias = s_bias.clone(), z_bias.clone()
        self.sigma = sigma

    def p(self, v):
        return torch.sigmoid(v @ self.W.T + self.s_bias)

    def sample_h(self, v, u, noise):
        s = bernoulli(self.p(v), u)
        return s, (v @ self.W.T + self.z_bias) * s + self.sigma * noise

    def sample_v(self, z, noise):
        return z @ self.W + self.v_bias + self.sigma * noise

    def contrastive_divergence(self, x, lr, k, draws):
        assert len(draws) == k
        v_k = x
        for u_s, noise_z, noise_v in draws:
            _, z = self.sample_h(v_k, u_s, noise_z)
            v_k = self.sample_v(z, noise_v)
        p_x, p_k = self.p(x), self.p(v_k)
        update = torch.matmul(p_x.t(), x) - torch.matmul(p_k.t(), v_k)
        self.W += lr * update / x.shape[0]
        self.v_bias += lr * torch.mean(x - v_k, dim=0)
        self.s_bias += lr * torch.mean(p_x - p_k, dim=0)
        # The mean is over hidden units: it is as long as v, not as z_bias.
        self.z_bias += lr * torch.mean(update, dim=0)
        return torch.mean((x - v_k) ** 2)


def means_of_gray(below, gray, uniforms):
    """What the notes feed a layer: means of the gray data, then one draw."""
    (u,) = uniforms
    for rbm in below:
        gray = torch.sigmoid(gray @ rbm.W.T + rbm.c)
    return bernoulli(gray.clamp(0, 1), u)


def samples_of_pixels(below, gray, uniforms):
    """The other choice: a draw of the pixels, then a sample of every layer."""
    u_pixels, *u_layers = uniforms
    v = bernoulli(gray.clamp(0, 1), u_pixels)
    for rbm, u in zip(below, u_layers, strict=True):
        _, v = rbm.sample_h(v, u)
    return v


class DBN:
    def __init__(self, rbms):
        self.rbms = rbms

    def pretrain(self, data, num_epochs, lr, k, batches, feed=means_of_gray):
        """Every layer in turn. Returns the loss of every layer, epoch and batch.

        `batches(layer, epoch)` gives (rows, uniforms of the feed, draws of CD).
        """
        losses = []
        for index, rbm in enumerate(self.rbms):
            losses.append([])
            for epoch in range(num_epochs):
                losses[-1].append([])
                for rows, uniforms, draws in batches(index, epoch):
                    x = feed(self.rbms[:index], data[rows], uniforms)
                    loss = rbm.contrastive_divergence(x, lr, k, draws)
                    losses[-1][-1].append(float(loss))
        return losses

    def forward(self, x, uniforms):
        for rbm, u in zip(self.rbms, uniforms, strict=True):
            _, x = rbm.sample_h(x, u)
        return x
