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


@pytest.fixture
def jax_without_cache():
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_compiled_programs_are_kept_by_processor_and_flags(
    jax_without_cache, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = set()
    for flags in ("", "--xla_dump_to=x", ""):
        monkeypatch.setenv("XLA_FLAGS", flags)
        jax.config.update("jax_compilation_cache_dir", None)
        machine.keep_compiled_programs()
        kept.add(jax.config.jax_compilation_cache_dir)
    assert kept == {str(path) for path in tmp_path.glob("jboltz/compiled/*")}
    assert len(kept) == 2


def test_the_users_own_folder_wins_and_a_home_that_cannot_be_written_is_no_error(
    jax_without_cache, monkeypatch, tmp_path
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    machine.keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir is None
    jax.config.update("jax_compilation_cache_dir", "mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine.keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == "mine"
