"""What jboltz draws, made again from its keys with `jax.random` alone.

The keys are those that the docstrings of jboltz name: layer, epoch, step and example
or chain are folded in, one key a purpose is split off. Draws come back as numpy
arrays, in the order in which the notes' code uses them.
"""

import jax
import numpy as np


def each(key, count):
    """`fold_in(key, i)` for every example or chain i."""
    return [jax.random.fold_in(key, index) for index in range(count)]


def uniforms(keys, size, dtype):
    """(len(keys), size) uniforms, one key a row."""
    return np.stack([jax.random.uniform(key, (size,), dtype) for key in keys])


def normals(keys, size, dtype):
    """(len(keys), size) normals, one key a row."""
    return np.stack([jax.random.normal(key, (size,), dtype) for key in keys])


def epoch(key, index, num_examples, batch_size):
    """The batches of an epoch of `fit`: (rows, key of `prepare`, key of the update)."""
    key_order, key_steps = jax.random.split(jax.random.fold_in(key, index))
    order = np.asarray(jax.random.permutation(key_order, num_examples))
    for step, start in enumerate(range(0, num_examples, batch_size)):
        key_prepare, key_update = jax.random.split(jax.random.fold_in(key_steps, step))
        yield order[start : start + batch_size], key_prepare, key_update


def layer_input(key, num_rows, widths, features, dtype):
    """The uniforms of `LayerFeatures`; `widths` are those of the data and the layers
    below, up to what the layer sees."""
    keys = each(key, num_rows)
    if features == "means":
        return [uniforms(keys, widths[-1], dtype)]
    key_pixels, key_layers = _split(keys)
    draws = [uniforms(key_pixels, widths[0], dtype)]
    for index, width in enumerate(widths[1:]):
        keys = [jax.random.fold_in(key, index) for key in key_layers]
        draws.append(uniforms(keys, width, dtype))
    return draws


def chains_from_data(key, num_chains, sizes, num_steps, dtype, visible_draws=uniforms):
    """The (u_h, u_v) of CD-k; the hidden state that ends a chain is left out."""
    key_init, key_run = jax.random.split(key)
    u_hidden = [uniforms(each(key_init, num_chains), sizes[1], dtype)]
    u_visible = []
    for u_v, u_h in chain_steps(
        key_run, num_chains, sizes, num_steps, dtype, visible_draws
    ):
        u_visible.append(u_v)
        u_hidden.append(u_h)
    return list(zip(u_hidden[:num_steps], u_visible, strict=True))


def chain_steps(key, num_chains, sizes, num_steps, dtype, visible_draws=uniforms):
    """The (u_v, u_h) of `run_chains` with `Gibbs`."""
    keys, steps = each(key, num_chains), []
    for step in range(num_steps):
        key_v, key_h = _split([jax.random.fold_in(key, step) for key in keys])
        u_v = visible_draws(key_v, sizes[0], dtype)
        steps.append((u_v, uniforms(key_h, sizes[1], dtype)))
    return steps


def chains_of_notes(key, num_chains, sizes, num_steps, dtype):
    """The (u_h, noise_v) of `NotesContrastiveDivergence`."""
    return [
        (uniforms(key_h, sizes[1], dtype), normals(key_v, sizes[0], dtype))
        for key_h, key_v in _keys_of_notes(key, num_chains, num_steps)
    ]


def slab_chains_of_notes(key, num_chains, size, num_steps, dtype):
    """The (u_s, noise_z, noise_v) of `NotesContrastiveDivergence`."""
    draws = []
    for key_h, key_v in _keys_of_notes(key, num_chains, num_steps):
        key_spikes, key_slabs = _split(key_h)
        u_s = uniforms(key_spikes, size, dtype)
        noise_z, noise_v = (normals(keys, size, dtype) for keys in (key_slabs, key_v))
        draws.append((u_s, noise_z, noise_v))
    return draws


def _keys_of_notes(key, num_chains, num_steps):
    keys = each(key, num_chains)
    for step in range(num_steps):
        yield _split([jax.random.fold_in(key, step) for key in keys])


def persistent_start(key, num_chains, sizes, dtype):
    """The (u_v, u_h) with which the chains of PCD begin."""
    key_visible, key_chains = jax.random.split(key)
    return (
        uniforms(each(key_visible, num_chains), sizes[0], dtype),
        uniforms(each(key_chains, num_chains), sizes[1], dtype),
    )


def _split(keys):
    return zip(*[jax.random.split(key) for key in keys], strict=True)
