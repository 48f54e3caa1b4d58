"""The uniforms are JAX's own, bit for bit; and those of the cheaper stream."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz import random
from jboltz.samplers.chains import run
from tests.helpers import binary_states, random_params


@pytest.mark.parametrize("shape", [(), (1,), (7,), (784,), (3, 5), (2, 3, 4)], ids=str)
def test_uniform_is_bit_for_bit_that_of_jax(shape, getkey):
    key = getkey()
    expected = jax.random.uniform(key, shape)
    np.testing.assert_array_equal(random.uniform(key, shape), expected)


def test_uniform_under_vmap_and_jit_is_that_of_jax(getkey):
    keys = jax.random.split(getkey(), 5)
    ours = jax.jit(jax.vmap(lambda key: random.uniform(key, (11,))))(keys)
    theirs = jax.vmap(lambda key: jax.random.uniform(key, (11,)))(keys)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("impl", ["threefry2x32", jboltz.THREEFRY_13, "rbg"], ids=str)
@pytest.mark.parametrize("shape", [(), (7,), (3, 500)], ids=str)
def test_normal_is_bit_for_bit_that_of_jax(shape, impl):
    key = jax.random.key(4, impl=impl)
    expected = jax.random.normal(key, shape)
    np.testing.assert_array_equal(random.normal(key, shape), expected)
    keys = jax.random.split(key, 5)
    ours = jax.jit(jax.vmap(lambda key: random.normal(key, shape)))(keys)
    theirs = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_other_generators_are_left_to_jax(impl):
    key = jax.random.key(3, impl=impl)
    expected = jax.random.uniform(key, (9,))
    np.testing.assert_array_equal(random.uniform(key, (9,)), expected)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float64])
def test_other_dtypes_are_left_to_jax(dtype, getkey, x64):
    key = getkey()
    draws = random.uniform(key, (9,), dtype)
    assert draws.dtype == dtype
    np.testing.assert_array_equal(draws, jax.random.uniform(key, (9,), dtype))


@pytest.mark.parametrize("impl", ["threefry2x32", jboltz.THREEFRY_13, "rbg"], ids=str)
@pytest.mark.parametrize("count", [1, 2, 1625, 1626, 200_000])
def test_permutation_is_that_of_jax(count, impl):
    """Sorted once up to 1625, then twice; among 200 000 numbers some are equal."""
    key = jax.random.key(count, impl=impl)
    order, expected = random.permutation(key, count), jax.random.permutation(key, count)
    assert order.dtype == expected.dtype
    np.testing.assert_array_equal(order, expected)


def test_a_permutation_under_jit_is_the_same(getkey):
    """Of a key that is traced, and of one that is not."""
    key = getkey()
    expected = random.permutation(key, 30)
    traced = jax.jit(random.permutation, static_argnums=1)(key, 30)
    np.testing.assert_array_equal(traced, expected)
    constant = jax.jit(lambda: random.permutation(key, 30))()
    np.testing.assert_array_equal(constant, expected)


# The cheaper stream.


def short_key(seed=0):
    return jax.random.key(seed, impl=jboltz.THREEFRY_13)


def threefry(key, counters, num_rounds):
    """In numpy, from the paper: counters (count, 2) of 32-bit words."""
    rotations = (13, 15, 26, 6, 17, 29, 16, 24)
    keys = [*map(int, key), int(key[0]) ^ int(key[1]) ^ 0x1BD11BDA]
    x, y = (np.asarray(c, np.uint64) for c in np.transpose(counters))
    mask = np.uint64(0xFFFFFFFF)
    x, y = (x + np.uint64(keys[0])) & mask, (y + np.uint64(keys[1])) & mask
    for index in range(num_rounds):
        turn = np.uint64(rotations[index % 8])
        x = (x + y) & mask
        y = ((y << turn) | (y >> (np.uint64(32) - turn))) & mask ^ x
        if index % 4 == 3:
            group = index // 4 + 1
            x = (x + np.uint64(keys[group % 3])) & mask
            y = (y + np.uint64(keys[(group + 1) % 3]) + np.uint64(group)) & mask
    return x, y


@pytest.mark.parametrize(
    ("key", "counter", "rounds", "expected"),
    [
        ((0, 0), (0, 0), 13, (0x9D1C5EC6, 0x8BD50731)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, 13, (0xFD36D048, 0x2D17272C)),
        ((0, 0), (0, 0), 20, (0x6B200159, 0x99BA4EFE)),
    ],
)
def test_the_hash_gives_the_known_answers(key, counter, rounds, expected):
    """Of the tests that come with Random123."""
    words = (jnp.uint32(x) for x in (*key, *counter))
    found = random._threefry2x32(*words, num_rounds=rounds)
    assert tuple(map(int, found)) == expected
    assert tuple(int(x[0]) for x in threefry(key, [counter], rounds)) == expected


def uniforms_in_numpy(key, count):
    words = np.asarray(jax.random.key_data(key))
    high, low = threefry(words, [(0, i) for i in range(count)], 13)
    return ((high ^ low) >> np.uint64(8)).astype(np.float32) * np.float32(2**-24)


def test_uniforms_are_24_bits_of_both_words():
    draws = np.asarray(random.uniform(short_key(5), (40, 25)))
    np.testing.assert_array_equal(draws.ravel(), uniforms_in_numpy(short_key(5), 1000))
    np.testing.assert_array_equal(draws * 2**24, np.floor(draws * 2**24))
    theirs = np.asarray(jax.random.uniform(short_key(5), (40, 25)))
    np.testing.assert_array_equal(theirs, np.floor(draws * 2**23) / 2**23)


def test_keys_are_those_of_jax():
    """Twenty rounds each, as ever: the streams of two keys have nothing in common."""
    data = jax.random.key_data
    np.testing.assert_array_equal(data(short_key(3)), data(jax.random.key(3)))
    for ours, theirs in (
        (random.fold_in(short_key(), 7), jax.random.fold_in(jax.random.key(0), 7)),
        (random.split(short_key(), 3), jax.random.split(jax.random.key(0), 3)),
        (jax.random.split(short_key(), 3), jax.random.split(jax.random.key(0), 3)),
    ):
        assert jax.random.key_impl(ours) == jboltz.THREEFRY_13
        np.testing.assert_array_equal(data(ours), data(theirs))


def test_draws_are_uniform_and_do_not_follow_one_another():
    """Of 2²⁰ draws, in 256 cells alone and in 256 with the draw before; of 64 keys in
    a row, at one place: χ² within five standard deviations of its mean."""
    draws = np.asarray(random.uniform(short_key(1), (2**20,)))
    keys = random.fold_in_range(short_key(2), 2**14)
    across = np.asarray(jax.vmap(lambda key: random.uniform(key, (64,)))(keys))
    pairs = np.floor(16 * draws[:-1]) * 16 + np.floor(16 * draws[1:])
    for cells in (np.floor(256 * draws), pairs, np.floor(256 * across[:, 0])):
        counts = np.bincount(cells.astype(int), minlength=256)
        expected = len(cells) / 256
        chi2 = np.sum((counts - expected) ** 2) / expected
        assert abs(chi2 - 255) < 5 * np.sqrt(2 * 255)


def test_a_chain_draws_from_the_stream_of_its_key():
    """Gibbs in numpy on the same uniforms, which a parity test can replay."""
    rbm = jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(5))
    params = random_params(rbm.init(jax.random.key(0)), jax.random.key(1))
    gibbs, start = jboltz.Gibbs(rbm), jnp.ones(6)
    key_start, key_run = random.split(short_key(4))
    chain = gibbs.init(params, start, key_start)
    found, _ = run(gibbs, params, chain, key_run, num_steps=7)
    W, b, c = params.weights, params.visible.bias, params.hidden.bias

    def draw(inputs, key):
        p = 1 / (1 + np.exp(-np.asarray(inputs)))
        return (uniforms_in_numpy(key, len(p)) < p).astype(np.float32)

    h = draw(start @ W + c, key_start)
    for step in range(7):
        key_v, key_h = random.split(random.fold_in(key_run, step))
        v = draw(W @ h + b, key_v)
        h = draw(v @ W + c, key_h)
    np.testing.assert_array_equal(found.visible, v)
    np.testing.assert_array_equal(found.hidden, h)


def test_chains_stay_at_the_model():
    """From exact samples, and against what they were drawn from, after 20 sweeps."""
    rbm = jboltz.RBM(jboltz.Bernoulli(4), jboltz.Bernoulli(3))
    params = random_params(rbm.init(jax.random.key(0)), jax.random.key(2))
    v = binary_states(4)
    p = np.asarray(jax.nn.softmax(-jax.vmap(rbm.free_energy, (None, 0))(params, v)))
    count, gibbs = 20_000, jboltz.Gibbs(rbm)
    drawn = np.random.default_rng(0).choice(len(v), count, p=p / p.sum())
    key_start, key_run = random.split(short_key(9))
    chains = jboltz.init_chains(gibbs, params, v[drawn], key_start)
    chains, _ = jboltz.run_chains(gibbs, params, chains, key_run, num_steps=20)
    states = (np.asarray(chains.visible) @ 2 ** np.arange(4)).astype(int)
    order = (np.asarray(v) @ 2 ** np.arange(4)).astype(int)
    expected = count * p[np.argsort(order)]
    chi2 = np.sum((np.bincount(states, minlength=16) - expected) ** 2 / expected)
    assert abs(chi2 - 15) < 5 * np.sqrt(2 * 15)
