"""The VAE: its divergence, its gradient, and its bounds beside exact likelihoods."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz import Batch, random
from jboltz.evaluation.bounds import vae_bounds
from jboltz.learning.best import BestSoFar, keep_least
from jboltz.nets.vae import (
    VAE,
    NegativeELBO,
    elbo,
    kl_to_prior,
    log_likelihood_of_pixels,
    log_weight,
    picture_from_prior,
)
from tests.helpers import binary_states, draw_like, rng_of, standard_errors

TINY = VAE(num_visible=4, hidden=(3,), code_size=2)
NUM_DRAWS = 40_000


def parameters(vae, key, scale=0.7):
    shapes = jax.eval_shape(vae.init, key, jnp.zeros(vae.num_visible))["params"]
    # Flax's parameters are float32 also where jax computes in float64.
    return optax.tree.cast(draw_like(shapes, key, scale), float)


def importance_weighted_bound(vae, params, v, key, *, num_samples):
    """log (1/K) Σ_k w_k, where sample k draws from `fold_in(key, k)`."""
    keys = random.fold_in_range(key, num_samples)
    log_w = jax.vmap(partial(log_weight, vae, params, v))(keys)
    return jax.nn.logsumexp(log_w) - np.log(num_samples)


def normal_nodes(size):
    """Nodes and weights of E over N(0, I): exact for polynomials of degree 79."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    grid = np.stack(np.meshgrid(*[nodes] * size, indexing="ij"), axis=-1)
    total = np.prod(np.stack(np.meshgrid(*[weights] * size, indexing="ij")), axis=0)
    return grid.reshape(-1, size), total.ravel() / total.sum()


def dense(layer, x):
    return x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])


def encoded(params, v):
    """μ and σ of a `TINY` one, by the equations."""
    h = np.tanh(dense(params["up_1"], v))
    return dense(params["mean"], h), np.exp(dense(params["log_variance"], h) / 2)


def log_p_of(params, v, z):
    x = dense(params["pixels"], np.tanh(dense(params["down_1"], z)))
    return np.sum(v * x - np.logaddexp(0, x), axis=-1)


def test_divergence_is_that_of_quadrature(getkey, x64):
    mean, log_variance = rng_of(getkey()).normal(size=(2, 2))
    nodes, weights = normal_nodes(2)
    z = mean + np.exp(log_variance / 2) * nodes
    # log q − log p; what both have of 2π cancels.
    log_ratio = 0.5 * np.sum(z**2 - nodes**2 - log_variance, axis=1)
    found = kl_to_prior(jnp.asarray(mean), jnp.asarray(log_variance))
    np.testing.assert_allclose(found, weights @ log_ratio, rtol=1e-10)
    assert kl_to_prior(jnp.zeros(2), jnp.zeros(2)) == 0


def test_bounds_have_the_right_means_and_are_in_order(getkey, x64):
    """ELBO ≤ L_2 ≤ L_10 ≤ log p(v), and E[w] = p(v): a code of two, by quadrature."""
    params, v = parameters(TINY, getkey()), np.array([1.0, 0.0, 1.0, 1.0])
    # A q wider than the prior: the weights are bounded, and their errors what they say.
    wide = {"kernel": 0.1 * params["log_variance"]["kernel"], "bias": jnp.full(2, 0.5)}
    params |= {"log_variance": wide}
    nodes, weights = normal_nodes(2)
    exact = np.log(weights @ np.exp(log_p_of(params, v, nodes)))
    mean, deviation = encoded(params, v)
    z = mean + deviation * nodes
    divergence = np.sum(mean**2 + deviation**2 - 1 - 2 * np.log(deviation)) / 2
    expected = weights @ log_p_of(params, v, z) - divergence
    assert expected < exact
    keys = jax.random.split(getkey(), NUM_DRAWS)

    def draws(function):
        one = partial(function, TINY, params, jnp.asarray(v))
        return np.asarray(jax.jit(jax.vmap(one))(keys))

    elbos, log_w = draws(elbo), draws(log_weight)
    assert standard_errors(elbos, expected) < 5
    assert standard_errors(log_w, expected) < 5
    assert standard_errors(np.exp(log_w), np.exp(exact)) < 5
    # Means of so many draws that their errors are far below the gaps.
    two, ten = (
        draws(partial(importance_weighted_bound, num_samples=k)) for k in (2, 10)
    )
    assert standard_errors(np.exp(ten), np.exp(exact)) < 5
    errors = 5 * sum(x.std() / np.sqrt(NUM_DRAWS) for x in (elbos, two, ten))
    assert expected + errors < two.mean() < ten.mean() - errors < exact


def test_bounds_of_a_data_set_are_those_of_its_examples(getkey, x64):
    params, data, key = parameters(TINY, getkey()), binary_states(4), getkey()
    bounds = vae_bounds(TINY, params, data, key, num_samples=3, batch_size=5)
    keys = random.fold_in_range(key, len(data))
    one = partial(importance_weighted_bound, TINY, params, num_samples=3)
    expected = jnp.mean(jax.vmap(one)(data, keys))
    np.testing.assert_allclose(bounds[1].mean, expected, rtol=1e-10)
    assert bounds[0].mean < bounds[1].mean
    assert bounds[1].lower == bounds[1].mean == bounds[1].upper
    assert bounds[1].quantity == "lower bound (K = 3)"


def test_gray_pixels_are_an_average_over_binary_images(getkey, x64):
    x, v = rng_of(getkey()).normal(size=4), rng_of(getkey()).uniform(size=4)
    images = np.asarray(binary_states(4))
    p = np.prod(np.where(images == 1, v, 1 - v), axis=1)
    expected = p @ np.sum(images * x - np.logaddexp(0, x), axis=1)
    found = log_likelihood_of_pixels(jnp.asarray(x), jnp.asarray(v))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_pictures_are_drawn_from_the_prior(getkey):
    params, (nodes, weights) = parameters(TINY, getkey()), normal_nodes(2)
    x = dense(params["pixels"], np.tanh(dense(params["down_1"], nodes)))
    keys = jax.random.split(getkey(), NUM_DRAWS)
    pictures = jax.jit(jax.vmap(partial(picture_from_prior, TINY, params)))(keys)
    assert np.all(
        standard_errors(np.asarray(pictures), weights @ jax.nn.sigmoid(x)) < 5
    )


def test_gradient_is_that_of_the_loss_written_out(getkey, x64):
    """Of −ELBO at the same draws, and of an example as often as its weight says."""
    params, key, counts = parameters(TINY, getkey()), getkey(), [1, 0, 3, 2, 0, 1]
    data = jnp.asarray(rng_of(getkey()).integers(0, 2, (6, 4)), float)
    noise = jax.vmap(lambda k: jax.random.normal(k, (2,), float))(
        random.fold_in_range(key, 6)
    )

    def loss(p, rows):
        def linear(name, x):
            return jnp.matmul(x, p[name]["kernel"]) + p[name]["bias"][None]

        v = data[rows]
        h = jnp.tanh(linear("up_1", v))
        mean, log_variance = linear("mean", h), linear("log_variance", h)
        z = mean + jnp.sqrt(jnp.exp(log_variance)) * noise[rows]
        x = linear("pixels", jnp.tanh(linear("down_1", z)))
        q = jax.nn.sigmoid(x)
        fits = jnp.sum(v * jnp.log(q) + (1 - v) * jnp.log(1 - q))
        cost = jnp.sum(mean**2 + jnp.exp(log_variance) - 1 - log_variance) / 2
        return (cost - fits) / len(rows), cost / len(rows)

    estimator = NegativeELBO(TINY)
    memory = estimator.init(params, getkey())
    for weights, rows in (
        (None, np.arange(6)),
        (jnp.asarray(counts, float), np.repeat(np.arange(6), counts)),
    ):
        batch = Batch(values=data, weights=weights)
        gradient, _, metrics = estimator.estimate(params, memory, batch, key)
        (value, kl), expected = jax.value_and_grad(loss, has_aux=True)(params, rows)
        chex.assert_trees_all_close(gradient, expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(metrics["negative_elbo"], value, rtol=1e-10)
        np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-10)


def test_it_learns_by_fit_and_keeps_the_best_epoch(getkey):
    rng = rng_of(getkey())
    data = jnp.asarray(np.repeat(rng.integers(0, 2, (60, 1)), 4, axis=1), jnp.float32)
    estimator, keys = BestSoFar(NegativeELBO(TINY)), jax.random.split(getkey(), 60)
    step = jboltz.make_train_step(estimator, optax.adam(0.03))
    state = jboltz.init_train_state(
        parameters(TINY, getkey()), estimator, optax.adam(0.03), getkey()
    )
    each = jax.jit(jax.vmap(partial(elbo, TINY), in_axes=(None, 0, 0)))
    states = []
    _, histories = jboltz.fit(
        step,
        state,
        data,
        getkey(),
        batch_size=20,
        num_epochs=60,
        end_epoch=keep_least(
            lambda p: {"negative_elbo": -jnp.mean(each(p, data, keys))},
            "negative_elbo",
        ),
        on_epoch=lambda _, s, __: states.append(s),
    )
    losses = [history["held_out_negative_elbo"].item() for history in histories]
    # Two images are worth log 2; four pixels on their own are worth four times that.
    assert np.log(2) < min(losses) < 2 * np.log(2) < losses[0]
    best, last = states[int(np.argmin(losses))], states[-1].estimator_state
    chex.assert_trees_all_equal(last.params, best.params)
    assert last.error.item() == min(losses)


def test_a_mask_no_samples_and_an_empty_layer_are_refused(getkey):
    params, v = parameters(TINY, getkey()), jnp.zeros(4)
    estimator = NegativeELBO(TINY)
    batch = Batch(values=v[None], mask=jnp.ones((1, 4), bool))
    with pytest.raises(ValueError, match=r"`batch\.mask`"):
        estimator.estimate(params, estimator.init(params, getkey()), batch, getkey())
    with pytest.raises(ValueError, match="`num_samples` is 0"):
        vae_bounds(TINY, params, v[None], getkey(), num_samples=0)
    with pytest.raises(ValueError, match="at least 1 unit"):
        VAE(num_visible=4, hidden=(0,), code_size=2).init(getkey(), v)
