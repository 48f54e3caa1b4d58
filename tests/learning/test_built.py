"""Optimizers that were built alike are told apart from those that were not."""

import jax.numpy as jnp
import optax
import pytest

import jboltz
from jboltz.learning.built import how_built
from tests.helpers import errors_without_hook
from tests.learning.cases import BATCH_SIZE, DATA, ESTIMATOR, start

BUILDERS = {
    "sgd": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.5, nesterov=True),
    "adamw": lambda rate: optax.adamw(rate, weight_decay=0.1),
    "a schedule": lambda rate: optax.adam(optax.linear_schedule(rate, 0.0, 100)),
    "a chain": lambda rate: optax.chain(
        optax.clip_by_global_norm(1.0), optax.sgd(rate)
    ),
    "parts": lambda rate: optax.partition(
        {"a": optax.sgd(rate), "b": optax.set_to_zero()}, {"x": "a", "y": "b"}
    ),
    "several batches": lambda rate: optax.MultiSteps(optax.sgd(rate), 2),
    "hyper-parameters": lambda rate: optax.inject_hyperparams(optax.sgd)(rate),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_what_was_built_alike_is_equal(name):
    build = BUILDERS[name]
    one, again, other = (how_built(build(rate)) for rate in (0.1, 0.1, 0.2))
    assert one == again
    assert hash(one) == hash(again)
    assert one != other


def test_what_may_have_changed_is_not_equal():
    """A function of the user's may read globals; an array may hold other numbers."""

    def build(function):
        return how_built(optax.sgd(function))

    def rate(count):
        return 0.1

    schedules = [lambda count: 0.1 for _ in range(2)]
    optimizer = optax.sgd(rate)
    assert how_built(optimizer) == how_built(optimizer) != build(rate)
    assert build(schedules[0]) != build(schedules[1])
    assert build(jnp.asarray(0.1)) != build(jnp.asarray(0.1))
    assert build(1) != build(1.0)


def test_a_step_that_is_built_again_compiles_nothing(getkey):
    traces = []

    def counted(rows, key):
        traces.append(key)
        return jboltz.unchanged(rows, key)

    counts = []
    for _ in range(2):
        optimizer = optax.chain(optax.clip(1.0), optax.sgd(0.1, momentum=0.9))
        jboltz.fit(
            jboltz.make_train_step(ESTIMATOR, optimizer),
            start(getkey(), optimizer),
            DATA,
            getkey(),
            batch_size=BATCH_SIZE,
            num_epochs=1,
            prepare=counted,
        )
        counts.append(len(traces))
    assert counts[0] == counts[1] > 0


def run(optimizer, getkey, **options):
    step = jboltz.make_train_step(ESTIMATOR, optimizer, **options)
    state = start(getkey(), optimizer)
    return jboltz.fit(step, state, DATA, getkey(), batch_size=BATCH_SIZE, num_epochs=1)


def test_an_optimizer_is_given_the_value_that_it_follows(getkey):
    plateau = optax.contrib.reduce_on_plateau(patience=1, accumulation_size=1)
    optimizer = optax.chain(optax.sgd(0.0), plateau)
    state, (history,) = run(optimizer, getkey, value="contrast")
    assert state.opt_state[1].best_value == history["contrast"].min()
    run(optax.polyak_sgd(0.1), getkey, value="contrast")
    run(optax.MultiSteps(optax.polyak_sgd(0.1), 2), getkey, value="contrast")


@pytest.mark.parametrize(
    ("build", "options", "words"),
    [
        (lambda: optax.polyak_sgd(0.1), {}, r"`optimizer` .*value='reconstr"),
        (lambda: optax.lbfgs(), {"value": "contrast"}, r"`optimizer` .*exact loss"),
        (lambda: optax.sgd(0.1), {"value": "loss"}, r"`value` is 'loss'.*\['contrast"),
    ],
)
def test_what_no_estimate_can_drive_is_refused(build, options, words, getkey):
    with pytest.raises((TypeError, ValueError), match=words):
        run(build(), getkey, **options)


def test_what_is_no_optimizer_is_refused():
    setup = "import optax; from tests.learning.cases import *"
    calls = [
        f"{call}({optimizer})"
        for call in ("make_step", "init")
        for optimizer in ("optax.sgd", "0.1", "None")
    ]
    setup += """
def make_step(optimizer):
    jboltz.make_train_step(ESTIMATOR, optimizer)
def init(optimizer):
    start(jax.random.key(0), optimizer)
"""
    for call, error in errors_without_hook(setup, calls).items():
        assert error.startswith("InvalidType: `optimizer` is "), call
        assert "such as `optax.sgd(0.01)`" in error, call
