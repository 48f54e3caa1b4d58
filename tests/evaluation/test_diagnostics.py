"""R-hat, ESS and autocorrelation times are those of others; verdicts say what is so."""

import arviz_stats.base as arviz
import blackjax.diagnostics as blackjax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jboltz
from jboltz.evaluation.diagnostics import (
    autocorrelation_time,
    bulk_ess,
    free_energy_gap,
    tail_ess,
    training_traces,
)
from jboltz.evaluation.examples import binarise_by_threshold
from jboltz.samplers.traced_sampler import observe
from tests.helpers import draw_like, enable_x64, errors_without_hook, rng_of


def autoregressive(rng, num_chains, num_steps, phi, shift=0.0):
    """x_t = φ x_{t−1} + √(1 − φ²) ε_t from its N(0, 1), chain c moved by c·shift."""
    noise = rng.normal(size=(num_chains, num_steps))
    x = noise.copy()
    for t in range(1, num_steps):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * noise[:, t]
    return x + shift * np.arange(num_chains)[:, None]


TRACES = {
    "independent": lambda rng: rng.normal(size=(4, 250)),
    "odd length": lambda rng: rng.normal(size=(3, 101)),
    "slow": lambda rng: autoregressive(rng, 5, 400, 0.9),
    "antithetic": lambda rng: autoregressive(rng, 4, 300, -0.6),
    "shifted": lambda rng: autoregressive(rng, 4, 300, 0.5, shift=1.0),
    "unequal spread": lambda rng: rng.normal(size=(4, 200)) * [[1], [1], [1], [4]],
    "heavy tails": lambda rng: rng.standard_cauchy(size=(4, 200)),
    "few values": lambda rng: rng.integers(0, 4, size=(4, 200)).astype(float),
    "drifting": lambda rng: rng.normal(size=(4, 200)) + np.linspace(0, 2, 200),
    "shortest": lambda rng: rng.normal(size=(2, 4)),
}


AXES = {"chain_axis": 0, "draw_axis": 1}


@pytest.mark.parametrize("name", TRACES)
def test_numbers_are_those_of_arviz(name, getkey):
    trace = TRACES[name](rng_of(getkey()))
    expected = {
        jboltz.r_hat: arviz.array_stats.rhat(trace, method="rank", **AXES),
        bulk_ess: arviz.array_stats.ess(trace, method="bulk", **AXES),
        tail_ess: arviz.array_stats.ess(
            trace, method="tail", prob=(0.05, 0.95), **AXES
        ),
        autocorrelation_time: trace.size
        / arviz.array_stats.ess(trace, method="mean", **AXES),
    }
    for function, value in expected.items():
        np.testing.assert_allclose(function(trace), value, rtol=1e-9)


@pytest.mark.skipif(
    not hasattr(blackjax, "rhat"), reason="this BlackJAX has no rank-normalised R-hat"
)
def test_numbers_are_those_of_blackjax(getkey):
    """Its sums end a term later: a few hundredths where those are long."""
    rng = rng_of(getkey())
    traces = [
        rng.normal(size=(4, 300)),
        autoregressive(rng, 4, 300, 0.9),
        autoregressive(rng, 4, 300, 0.0, shift=1.0),
        rng.normal(size=(4, 300)) * [[1], [1], [1], [4]],
    ]
    with enable_x64(), jax.numpy_rank_promotion("allow"):
        functions = (blackjax.rhat, blackjax.ess_bulk, blackjax.ess_tail)
        expected = jax.jit(lambda x: [f(x) for f in functions])(np.stack(traces, -1))
    for ours, theirs, rtol in zip(
        (jboltz.r_hat, bulk_ess, tail_ess),
        expected,
        (1e-9, 0.03, 0.03),
        strict=True,
    ):
        np.testing.assert_allclose([ours(x) for x in traces], theirs, rtol=rtol)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_an_autoregression(phi, getkey):
    """τ = (1 + φ)/(1 − φ)."""
    trace = autoregressive(rng_of(getkey()), 50, 2000, phi)
    expected = (1 + phi) / (1 - phi)
    np.testing.assert_allclose(autocorrelation_time(trace), expected, rtol=0.1)


def test_chains_that_never_move_are_told_apart():
    trace = np.tile(np.arange(4.0)[:, None], (1, 50))
    assert jboltz.r_hat(trace) == np.inf
    assert bulk_ess(trace) < 20


def test_what_cannot_be_judged_is_refused():
    cases = {
        "r_hat(np.arange(6.0).reshape(2, 3))": "too short to judge",
        "autocorrelation_time(np.arange(6.0).reshape(2, 3))": "too short to judge",
        "r_hat(np.ones((3, 9)))": "need a quantity that varies",
        "bulk_ess(np.arange(9.0))": "needs (chains, steps)",
        "r_hat(np.arange(9.0)[None])": "at least 2 chain",
        "r_hat(np.arange(8.0).reshape(2, 4) * np.nan)": "NaN or infinite",
        "convergence_report({'x': np.arange(900.0)[None]}, num_steps=1)": (
            "at least 2 chain"
        ),
        "convergence_report({}, num_steps=1)": "at least one trace",
        "convergence_report({'x': np.ones((2, 9))}, num_steps=0)": (
            "`num_steps` is 0 but needs to be a whole number of at least 1"
        ),
        "convergence_report({'x': x}, num_steps=1, contrast=np.ones(2))": (
            "pass the trace `free_energy` too"
        ),
        "training_traces([{'contrast': np.ones(3)}])": "TracedEstimator(",
        "TracedEstimator(ContrastiveDivergence(rbm, Gibbs(rbm)))": (
            "PersistentEstimator"
        ),
    }
    setup = (
        "import numpy as np\nx = np.random.rand(9, 200)\nfrom jboltz import *\n"
        "rbm = RBM(Bernoulli(2), Bernoulli(1))\n"
    )
    for call, error in errors_without_hook(setup, cases).items():
        assert cases[call] in error, f"{call}: {error}"


# Verdicts.


def test_chains_that_mix_are_found_sound(getkey):
    rng = rng_of(getkey())
    traces = {"free_energy": autoregressive(rng, 20, 500, 0.5)}
    text = jboltz.convergence_report(
        traces, num_steps=1, contrast=0.1 * rng.normal(size=500)
    )
    assert text.startswith("No sign of chains out of equilibrium")


@pytest.mark.parametrize(
    ("trace", "reason"),
    [
        (lambda rng: autoregressive(rng, 20, 500, 0.97), "autocorrelation time of x"),
        (lambda rng: autoregressive(rng, 20, 500, 0.0, shift=0.05), "R-hat of x"),
        (
            lambda rng: np.geomspace(1, 4, 20)[:, None] * rng.normal(size=(20, 500)),
            "R-hat of x",
        ),
        (
            lambda rng: np.tile(np.arange(20.0)[:, None], (1, 500)),
            "R-hat of x is inf",
        ),
    ],
    ids=["slow", "shifted", "unequal spread", "frozen"],
)
def test_chains_out_of_equilibrium_are_said_to_be(trace, reason, getkey):
    text = jboltz.convergence_report({"x": trace(rng_of(getkey()))}, num_steps=1)
    assert text.startswith("Out of equilibrium")
    assert reason in text


def test_the_same_chains_are_slow_for_a_small_k_alone(getkey):
    """τ ≈ 39 steps of a trace with a point a step: 39 updates, or 4."""
    traces = {"x": autoregressive(rng_of(getkey()), 50, 6000, 0.95)}
    slow = jboltz.convergence_report(traces, num_steps=1, spacing=1)
    assert "updates of training with k = 1" in slow
    assert jboltz.convergence_report(traces, num_steps=10, spacing=1).startswith(
        "No sign"
    )


def test_chains_far_from_the_data_are_noticed(getkey):
    traces = {"free_energy": rng_of(getkey()).normal(size=(20, 500))}
    contrast = np.full(500, -3.0)
    text = jboltz.convergence_report(traces, num_steps=1, contrast=contrast)
    assert "differ by -3 standard deviations" in text


@pytest.mark.parametrize(
    ("num_chains", "num_points", "num_steps"), [(20, 99, 1), (20, 500, 10), (2, 150, 1)]
)
def test_short_chains_are_not_judged(num_chains, num_points, num_steps, getkey):
    trace = rng_of(getkey()).normal(size=(num_chains, num_points))
    text = jboltz.convergence_report({"x": trace}, num_steps=num_steps, spacing=1)
    assert text.startswith("Too short to judge")
    assert "R-hat" not in text


def test_traces_that_never_change_are_left_out(getkey):
    still = np.ones((20, 500))
    assert jboltz.convergence_report({"x": still}, num_steps=1).startswith(
        "Nothing to judge"
    )
    moving = rng_of(getkey()).normal(size=(20, 500))
    text = jboltz.convergence_report({"x": still, "y": moving}, num_steps=1)
    assert text.startswith("No sign")


# Where traces come from.

MODEL = jboltz.RBM(jboltz.Bernoulli(6), jboltz.Bernoulli(3))
GIBBS = jboltz.Gibbs(MODEL)
RANGE = range(1, 5)


def test_observed_chains_are_those_without_an_observer(getkey):
    params = draw_like(jax.eval_shape(MODEL.init, getkey()), getkey())
    starts = jnp.zeros((5, 6))
    key_init, key_run = getkey(), getkey()
    chains = jboltz.init_chains(GIBBS, params, starts, key_init)
    plain, _ = jboltz.run_chains(GIBBS, params, chains, key_run, num_steps=7)
    observed = jboltz.TracedSampler(GIBBS)
    chains = jboltz.init_chains(observed, params, starts, key_init)
    got, traces = jboltz.run_chains(observed, params, chains, key_run, num_steps=7)
    np.testing.assert_array_equal(got.visible, plain.visible)
    assert {name: x.shape for name, x in traces.items()} == {
        name: (5, 7) for name in ("free_energy", *(f"visible_mean_{i}" for i in RANGE))
    }
    last = MODEL.free_energy(params, got.visible[2])
    np.testing.assert_allclose(traces["free_energy"][2, -1], last, rtol=2e-5)


def test_parts_are_consecutive_numbers_of_the_state():
    v = jnp.arange(6.0)
    seen = observe(MODEL, MODEL.init(jax.random.key(0)), v)
    means = [float(seen[f"visible_mean_{i}"]) for i in RANGE]
    assert means == [0.5, 2.5, 4.0, 5.0]


PCD = jboltz.PersistentContrastiveDivergence(MODEL, GIBBS, num_chains=5)


def test_a_traced_estimator_estimates_as_without(getkey):
    params, batch = MODEL.init(getkey()), jboltz.Batch(values=jnp.ones((3, 6)))
    chains, key = PCD.init(params, getkey()), getkey()
    estimate = jax.jit(
        lambda *args: (PCD.estimate(*args), jboltz.TracedEstimator(PCD).estimate(*args))
    )
    plain, traced = estimate(params, chains, batch, key)
    jax.tree.map(np.testing.assert_array_equal, plain[:2], traced[:2])
    assert traced[2]["contrast"] == plain[2]["contrast"]


def test_traces_of_training_are_of_the_chains_that_train(getkey):
    """Over the short last batch of an epoch too."""
    data = np.round(rng_of(getkey()).uniform(size=(22, 6))).astype(np.float32)
    key, optimizer = getkey(), optax.sgd(0.1)
    estimator = jboltz.TracedEstimator(PCD)
    params = MODEL.init(key)
    state = jboltz.init_train_state(params, estimator, optimizer, key)
    step = jboltz.make_train_step(estimator, optimizer)
    state, histories = jboltz.fit(step, state, data, key, batch_size=8, num_epochs=2)
    assert histories[1]["chain_free_energy"].shape == (3, 5)
    traces = training_traces(histories)
    assert traces["visible_mean_4"].shape == (5, 6)
    last = np.asarray(state.estimator_state.visible)[:, 5]
    expected = last - last.mean()
    np.testing.assert_allclose(traces["visible_mean_4"][:, -1], expected, atol=1e-6)
    text = jboltz.convergence_report(traces, num_steps=1)
    assert text.startswith("Too short to judge")


def test_a_deep_machine_is_traced_inside_its_centring(getkey):
    model = jboltz.DBM(tuple(map(jboltz.Bernoulli, (4, 3, 2))))
    inner = jboltz.MeanFieldPCD(model, jboltz.Gibbs(model), num_chains=3)
    estimator = jboltz.Centred(jboltz.TracedEstimator(inner))

    def metrics(key):
        params = model.init(key)
        batch = jboltz.Batch(values=jnp.ones((2, 4)))
        return estimator.estimate(params, estimator.init(params, key), batch, key)[2]

    assert jax.eval_shape(metrics, getkey())["chain_free_energy"].shape == (3,)


# The free-energy gap.


def test_the_gap_is_a_difference_of_means(getkey):
    params = draw_like(jax.eval_shape(MODEL.init, getkey()), getkey())
    rng = rng_of(getkey())
    validation, train = (
        np.round(rng.uniform(size=(n, 6))).astype(np.float32) for n in (9, 14)
    )
    got = free_energy_gap(MODEL, params, validation, train)
    free = jax.jit(jax.vmap(MODEL.free_energy, in_axes=(None, 0)))
    v, t = (np.asarray(free(params, x), np.float64) for x in (validation, train))
    np.testing.assert_allclose(got.gap, v.mean() - t.mean(), rtol=2e-5)
    error = np.sqrt(v.var(ddof=1) / 9 + t.var(ddof=1) / 14)
    np.testing.assert_allclose(got.standard_error, error, rtol=2e-5)
    assert got.binarisation == "already binary"
    with pytest.raises(ValueError, match="treat both alike"):
        free_energy_gap(MODEL, params, validation, binarise_by_threshold(train))
