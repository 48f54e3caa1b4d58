"""Programs ask XLA for wide vectors, which changes how long they take and nothing else.

What is computed is printed by a process of its own for each width, at the optimisation
that users have: the suite's own processes take less.
"""

import os
import subprocess
import sys

import jax
import pytest

from jboltz.runs import machine

FLAG = "--xla_cpu_prefer_vector_width"

CODE = """
import hashlib, jax, jax.numpy as jnp, numpy as np, optax
import jboltz
from jboltz.runs import machine

machine.use_wide_vectors()

model = jboltz.RBM(jboltz.Bernoulli(83), jboltz.Bernoulli(50))
key = jax.random.key(0)
params = model.init(key)
v = (jax.random.uniform(key, (40, 83)) < 0.3).astype(jnp.float32)
estimator = jboltz.PersistentContrastiveDivergence(model, jboltz.Gibbs(model), 20)
optimizer = optax.adam(0.01)
state = jboltz.init_train_state(params, estimator, optimizer, key)
step = jboltz.make_train_step(estimator, optimizer)
state, history = jboltz.fit(step, state, v, key, batch_size=16, num_epochs=3)
tempering = jboltz.ParallelTempering(jboltz.Annealed(model), 5)
chains = jboltz.init_chains(tempering, state.params, v, key)
chains, _ = jboltz.run_chains(tempering, state.params, chains, key, num_steps=5)
for x in jax.tree.leaves((state, history, chains)):
    print(hashlib.md5(np.asarray(x).tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_the_bits_of_a_training_run_and_of_chains_are_those_of_half_the_width():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", CODE],
            env=os.environ | {"XLA_FLAGS": flags},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for flags in ("", f"{FLAG}=256")
    ]
    assert outputs[0] == outputs[1] != ""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, f"{FLAG}=512"),
        ("", f"{FLAG}=512"),
        ("--xla_dump_to=x", f"--xla_dump_to=x {FLAG}=512"),
        (f"{FLAG}=256", f"{FLAG}=256"),
        ("flags.txt", "flags.txt"),
    ],
)
def test_what_the_user_has_set_is_kept(given, expected, monkeypatch):
    monkeypatch.setattr(jax, "__version_info__", (0, 10, 0))
    if given is None:
        monkeypatch.delenv("XLA_FLAGS", raising=False)
    else:
        monkeypatch.setenv("XLA_FLAGS", given)
    machine.use_wide_vectors()
    assert os.environ["XLA_FLAGS"] == expected


def test_an_xla_whose_bits_would_change_is_not_asked(monkeypatch):
    monkeypatch.setattr(jax, "__version_info__", (0, 9, 9))
    monkeypatch.setenv("XLA_FLAGS", "")
    machine.use_wide_vectors()
    assert os.environ["XLA_FLAGS"] == ""
