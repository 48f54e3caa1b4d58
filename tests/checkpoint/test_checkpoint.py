"""A checkpoint comes back bit for bit, or says what is wrong with it."""

import contextlib
import logging
import pathlib
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import jboltz
from jboltz import seals
from jboltz.checkpoint import Checkpoints
from jboltz.samplers.ladders import stack_params


def train_state(num_hidden=3, optimizer=None, key=None):
    rbm = jboltz.RBM(jboltz.Gaussian(4), jboltz.Bernoulli(num_hidden))
    estimator = jboltz.PersistentContrastiveDivergence(rbm, jboltz.Gibbs(rbm), 5)
    key = jax.random.key(0) if key is None else key
    params = rbm.init(key)
    optimizer = optimizer or optax.adam(0.1)
    return jboltz.init_train_state(params, estimator, optimizer, key)


def template(**kwargs):
    return jax.eval_shape(lambda key: train_state(key=key, **kwargs), jax.random.key(0))


def data_file(folder, step):
    """The file that holds most of a step's bytes."""
    return max((folder / str(step)).rglob("*"), key=lambda f: f.stat().st_size)


@pytest.fixture
def saved(tmp_path):
    """Steps 1 to 3, with the step as a factor of every leaf."""
    state = train_state()
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2, 3):
            scaled = jax.tree.map(lambda x, step=step: x * step, state)
            checkpoints.save(step, scaled, {"loss": step / 3})
    return tmp_path, state


def test_round_trip_is_bit_equal(saved):
    folder, state = saved
    with Checkpoints(folder) as checkpoints:
        found, damaged = checkpoints.restore(template())
    assert (found.step, found.notes, damaged) == (3, {"loss": 3 / 3}, [])
    expected = jax.tree.map(lambda x: x * 3, state)
    assert jax.tree.structure(found.state) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found.state, expected)


@pytest.mark.parametrize("method", ["restore", "restore_all"])
def test_a_folder_without_checkpoints_is_named_and_not_made(tmp_path, method):
    with Checkpoints(tmp_path / "mispelt") as checkpoints:
        assert checkpoints.steps() == []
        with pytest.raises(ValueError, match="mispelt holds no checkpoints"):
            getattr(checkpoints, method)(template())
    assert not list(tmp_path.iterdir())


def test_only_the_newest_are_kept(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in range(1, 6):
            checkpoints.save(step, train_state(), {})
        assert checkpoints.steps() == [4, 5]


def test_a_step_is_deleted_once_a_newer_one_is_sealed(tmp_path, monkeypatch):
    def crash(folder):
        raise KeyboardInterrupt

    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(1, train_state(), {})
        monkeypatch.setattr(seals, "seal", crash)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(2, train_state(), {})
        found, damaged = checkpoints.restore(template())
    assert found.step == 1
    assert len(damaged) == 1


def test_flipped_bit_is_found_and_the_step_before_used(saved):
    folder, _ = saved
    file = data_file(folder, 3)
    content = bytearray(file.read_bytes())
    # Somewhere in the middle of the arrays: what Orbax would restore in silence.
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with Checkpoints(folder) as checkpoints:
        found, damaged = checkpoints.restore(template())
    assert found.step == 2
    (line,) = damaged
    assert str(folder / "3") in line
    assert "damaged" in line


@pytest.mark.parametrize("harm", ["truncate", "delete", "empty folder"])
def test_unreadable_step_is_passed_over(saved, harm):
    import shutil

    folder, _ = saved
    if harm == "empty folder":
        shutil.rmtree(folder / "3")
        (folder / "3").mkdir()
    elif harm == "delete":
        data_file(folder, 3).unlink()
    else:
        data_file(folder, 3).write_bytes(data_file(folder, 3).read_bytes()[:100])
    with Checkpoints(folder) as checkpoints:
        found, damaged = checkpoints.restore(template())
        assert found.step == 2
        assert len(damaged) == 1
        # The damaged step gives way to the next save.
        checkpoints.save(3, found.state, {})
        assert checkpoints.restore(template())[0].step == 3


def test_all_steps_damaged_is_said(saved):
    folder, _ = saved
    for step in (1, 2, 3):
        data_file(folder, step).unlink()
    with Checkpoints(folder) as checkpoints:
        found, damaged = checkpoints.restore(template())
    assert found is None
    assert len(damaged) == 3


def test_saving_an_earlier_step_leaves_its_future(saved):
    folder, state = saved
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(2, state, {"again": True}, overwrite=True)
        found, _ = checkpoints.restore(template())
    assert (found.step, found.notes) == (2, {"again": True})


def test_sound_steps_are_not_deleted_without_being_told(saved):
    """Neither sound ones nor such as nobody looked at; damaged ones give way."""
    folder, state = saved
    data_file(folder, 3).unlink()
    with Checkpoints(folder) as checkpoints:
        for step in (0, 2, 3):
            with pytest.raises(ValueError, match=r"`step` is \d but .*overwrite"):
                checkpoints.save(step, state, {})
        assert checkpoints.restore(template())[0].step == 2
        with pytest.raises(ValueError, match=r"holds steps \[2\]"):
            checkpoints.save(2, state, {})
        checkpoints.save(3, state, {})
        assert checkpoints.steps() == [1, 2, 3]


@pytest.fixture
def full_disk():
    """While it lasts, no file of more than 2 kB can be written."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextlib.contextmanager
    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return full


def test_a_save_that_fails_leaves_no_thread_and_no_log(tmp_path, full_disk, capfd):
    """What still writes a step that was given up is in the way of the next save."""
    state = {"noise": jax.random.normal(jax.random.key(0), (64, 64))}
    logger = logging.getLogger("absl")
    as_it_was = logger.level, [*logger.filters]
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            with pytest.raises(OSError, match=r"File too large.*the disk has room"):
                with full_disk():
                    checkpoints.save(step, state, {})
            threads = (type(x).__module__ for x in threading.enumerate())
            assert not any(x.startswith("orbax") for x in threads)
            checkpoints.save(step, state, {})
        assert checkpoints.restore(jax.eval_shape(lambda: state))[0].step == 2
    assert (logger.level, logger.filters) == as_it_was
    assert "Traceback" not in capfd.readouterr().err


def test_a_folder_may_be_at_home_or_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with Checkpoints("~/run") as checkpoints:
        assert pathlib.Path(checkpoints.folder) == tmp_path / "home" / "run"
    with pytest.raises(ValueError, match="`folder` is '~nobody_at_all/x' but"):
        Checkpoints("~nobody_at_all/x")
    with pytest.raises(ValueError, match=r"'ftp://host/run'.*no scheme"):
        Checkpoints("ftp://host/run")
    asked = []
    monkeypatch.setattr(ocp, "CheckpointManager", lambda x, **_: asked.append(str(x)))
    assert str(Checkpoints("gs://bucket/run").folder) == "gs://bucket/run"
    assert asked == ["gs://bucket/run"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"num_hidden": 4}, ["estimator_state.hidden", "(5, 3)", "(5, 4)"]),
        ({"optimizer": optax.sgd(0.1)}, ["opt_state", "nothing"]),
    ],
    ids=["size", "optimizer"],
)
def test_another_model_is_a_mismatch_not_damage(saved, other, words):
    folder, _ = saved
    with Checkpoints(folder) as checkpoints:
        with pytest.raises(ValueError, match="asked for") as error:
            checkpoints.restore(template(**other))
        assert all(word in str(error.value) for word in words)
        assert checkpoints.restore(template())[0].step == 3


def test_another_dtype_is_refused(saved):
    # Orbax casts in silence.
    folder, _ = saved
    half = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            x.shape, jnp.bfloat16 if x.dtype == jnp.float32 else x.dtype
        ),
        template(),
    )
    with Checkpoints(folder) as checkpoints:
        with pytest.raises(ValueError, match="bfloat16"):
            checkpoints.restore(half)


def test_a_full_disk_is_an_os_error_and_keeps_earlier_steps(saved, monkeypatch):
    folder, state = saved
    with Checkpoints(folder) as checkpoints:

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoints._manager, "save", full)
        with pytest.raises(OSError, match="No space left"):
            checkpoints.save(4, state, {})
        assert checkpoints.restore(template())[0].step == 3


def test_an_archive_grows_by_its_factor(tmp_path):
    """Besides the newest: 1, then each step at least twice the one before it."""
    params = {"weights": jnp.zeros(2)}
    with Checkpoints(tmp_path, keep=2, growth=2.0) as checkpoints:
        for step in (1, 2, 3, 5, 6, 9):
            checkpoints.save(step, params, {})
    # Another process goes on where this one ended.
    with Checkpoints(tmp_path, keep=2, growth=2.0) as checkpoints:
        for step in (10, 11, 12):
            checkpoints.save(step, params, {})
        assert checkpoints.steps() == [1, 2, 5, 10, 11, 12]


def test_a_trajectory_comes_back_in_order(tmp_path):
    params = train_state().params
    expected = [jax.tree.map(lambda x, s=s: x + s, params) for s in (0, 1, 2, 3)]
    with Checkpoints(tmp_path, keep=1, growth=1.0) as checkpoints:
        for step, x in enumerate(expected):
            checkpoints.save(step, x, {"step": step})
        (tmp_path / "2" / "checksums.json").unlink()
        found, damaged = checkpoints.restore_all(template().params)
    assert [x.notes["step"] for x in found] == [x.step for x in found] == [0, 1, 3]
    assert len(damaged) == 1
    assert str(tmp_path / "2") in damaged[0]
    ladder = stack_params([x.state for x in found])
    assert ladder.weights.shape == (3, 4, 3)
    for i, step in enumerate((0, 1, 3)):
        restored = jax.tree.map(lambda x, i=i: x[i], ladder)
        jax.tree.map(np.testing.assert_array_equal, restored, expected[step])


def test_training_leaves_a_trajectory(tmp_path):
    """`fit` hands out the state at the end of every chunk, and so of early steps."""
    rbm = jboltz.RBM(jboltz.Bernoulli(4), jboltz.Bernoulli(3))
    estimator, optimizer = (
        jboltz.ContrastiveDivergence(rbm, jboltz.Gibbs(rbm)),
        optax.sgd(0.1),
    )
    key, data = jax.random.key(0), np.eye(4, dtype=np.float32)
    state = jboltz.init_train_state(rbm.init(key), estimator, optimizer, key)
    with Checkpoints(tmp_path, keep=1, growth=2.0) as archive:
        archive.save(0, state.params, {})
        jboltz.fit(
            jboltz.make_train_step(estimator, optimizer),
            state,
            data,
            key,
            batch_size=1,
            num_epochs=2,
            chunks_per_epoch=4,
            on_chunk=lambda _, state, __: archive.save(
                int(state.step), state.params, {}
            ),
        )
        found, _ = archive.restore_all(jax.eval_shape(rbm.init, key))
    assert [x.step for x in found] == [0, 1, 2, 4, 8]
    jax.tree.map(np.testing.assert_array_equal, found[0].state, state.params)
    assert np.any(found[1].state.weights != found[2].state.weights)


@pytest.mark.parametrize("growth", [0.9, 0.0, float("nan")])
def test_an_archive_that_shrinks_is_refused(tmp_path, growth):
    with pytest.raises(ValueError, match=f"`growth` is {growth} but"):
        Checkpoints(tmp_path, growth=growth)
