"""What is no checkpoint is refused by its name, and restored as nothing else."""

import json
import logging
import multiprocessing
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jboltz
from jboltz import seals
from jboltz.checkpoint import Checkpoints, checkpoints
from jboltz.errors import InvalidType, InvalidValue

STATE = {"weights": jnp.ones(2)}
TEMPLATE = jax.eval_shape(lambda: STATE)


@pytest.mark.parametrize("keep", [0, -1, True])
def test_a_number_of_steps_to_keep_is_whole_and_positive(tmp_path, keep):
    with pytest.raises(InvalidValue, match=f"`keep` is {keep!r} but"):
        Checkpoints(tmp_path, keep=keep)


@pytest.mark.parametrize("step", [-1, True])
def test_a_step_is_a_whole_number(tmp_path, step):
    with Checkpoints(tmp_path / "new") as saved:
        with pytest.raises(InvalidValue, match=f"`step` is {step!r} but"):
            saved.save(step, STATE, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("state", "notes", "words"),
    [
        (STATE, {"no JSON": object()}, "`notes` cannot be written as JSON.*object"),
        (STATE, {"no JSON": np.float32(1)}, "`notes` cannot be written.*float32"),
        ({"a": 3}, {}, r"`state` has 3 at \['a'\] but every leaf"),
        ({"a": "text"}, {}, r"`state` has 'text' at \['a'\]"),
        ({"a": print}, {}, r"`state` has <built-in function print>"),
        ({"a": np.array(["text"])}, {}, r"`state` has array\(\['text'\]"),
        ({"a": np.array([object()])}, {}, r"`state` has array\(\[<object"),
        ({"a": jnp.ones((0, 3))}, {}, r"array of shape \(0, 3\) at \['a'\]"),
        ((), {}, r"`state` is \(\) but a tree of arrays"),
        (jnp.ones(2), {}, r"`state` is Array.* but a tree of arrays"),
        ({"a": np.ones(2, np.longdouble)}, {}, r"`state` has array.* at \['a'\]"),
        ({"a": np.ones(2)}, {}, r"float64 at \['a'\], which JAX would narrow"),
    ],
)
def test_what_cannot_be_saved_is_named_without_advice_about_the_disk(
    tmp_path, state, notes, words
):
    with Checkpoints(tmp_path / "new") as saved:
        with pytest.raises((InvalidType, InvalidValue), match=words) as error:
            saved.save(1, state, notes)
    assert "disk" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_what_is_traced_is_refused(tmp_path):
    with Checkpoints(tmp_path) as saved, pytest.raises(InvalidType, match="traced"):
        jax.jit(lambda x: saved.save(1, {"a": x}, {}))(1.0)


def test_what_was_closed_saves_no_more(tmp_path):
    with Checkpoints(tmp_path) as saved:
        saved.save(1, STATE, {})
    with pytest.raises(InvalidValue, match=r"after the checkpoints .* were closed"):
        saved.save(2, STATE, {})


def test_keys_come_back_as_keys_of_their_implementation(tmp_path):
    state = {
        "threefry": jax.random.split(jax.random.key(1), 3),
        "rbg": jax.random.key(2, impl="rbg"),
    }
    with Checkpoints(tmp_path) as saved:
        saved.save(1, state, {})
        found = saved.restore(jax.eval_shape(lambda: state))[0].state
        other = {"threefry": state["threefry"], "rbg": jax.random.key(2)}
        with pytest.raises(InvalidValue, match=r"key<rbg>.*key<fry>"):
            saved.restore(jax.eval_shape(lambda: other))
    for name, key in state.items():
        assert found[name].dtype == key.dtype
        draws = (
            jax.vmap(jax.random.bits)(jnp.atleast_1d(x)) for x in (found[name], key)
        )
        np.testing.assert_array_equal(*draws)


@pytest.fixture
def rbm():
    return jboltz.RBM(jboltz.Bernoulli(4), jboltz.Bernoulli(3))


def test_parameters_of_another_model_are_refused(tmp_path, rbm):
    """Of equal shapes; the records say which units, and the model says all of them."""
    key = jax.random.key(0)
    spins = jboltz.RBM(jboltz.Spin(4), jboltz.Bernoulli(3))
    more = jboltz.RBM(jboltz.Binomial(4, 2), jboltz.Bernoulli(3))
    template = jax.eval_shape(rbm.init, key)
    assert jax.eval_shape(more.init, key) == template
    with Checkpoints(tmp_path) as saved:
        saved.save(1, rbm.init(key), {}, model=rbm)
        with pytest.raises(InvalidValue, match=r"BernoulliParams.* but .*SpinParams"):
            saved.restore(jax.eval_shape(spins.init, key))
        with pytest.raises(InvalidValue, match=r"RBM\(.*Bernoulli.* but .*Binomial"):
            saved.restore(template, model=more)
        with pytest.raises(InvalidValue, match="Binomial"):
            saved.restore_all(template, model=more)
        same = jboltz.RBM(jboltz.Bernoulli(4), jboltz.Bernoulli(3))
        assert saved.restore(template, model=same)[0].step == 1
        assert saved.restore(template)[0].step == 1
        saved.save(2, rbm.init(key), {})
        with pytest.raises(InvalidValue, match="belongs to no model in words"):
            saved.restore(template, model=rbm)
        with pytest.raises(InvalidType, match=r"`model` is .*object at 0x"):
            saved.save(3, STATE, {}, model=object())


def test_steps_of_before_models_were_recorded_are_restored(tmp_path, rbm):
    params = rbm.init(jax.random.key(0))
    with Checkpoints(tmp_path) as saved:
        saved.save(1, params, {})
        shutil.rmtree(tmp_path / "1" / "owner")
        seals.seal(tmp_path / "1")
        assert saved.restore(jax.eval_shape(lambda: params))[0].step == 1


@pytest.mark.parametrize("text", ["{}", "[]", "[1]", "0", "", "{"])
def test_an_empty_seal_is_no_seal(tmp_path, text):
    with Checkpoints(tmp_path) as saved:
        saved.save(1, STATE, {})
        (tmp_path / "1" / "checksums.json").write_text(text)
        found, (line,) = saved.restore(TEMPLATE)
    assert found is None
    assert "checksums.json is missing or cannot be read" in line


def test_a_seal_names_files_as_every_system_does(tmp_path):
    with Checkpoints(tmp_path) as saved:
        saved.save(1, STATE, {})
    sums = json.loads((tmp_path / "1" / "checksums.json").read_text())
    assert "notes/metadata" in sums
    assert all((tmp_path / "1" / name).is_file() for name in sums)


def test_a_folder_has_one_writer_and_readers_that_see_its_steps(tmp_path):
    with Checkpoints(tmp_path) as first, Checkpoints(tmp_path) as second:
        first.save(1, STATE, {})
        with pytest.raises(OSError, match="Somebody else writes checkpoints to"):
            second.save(2, STATE, {})
        assert second.restore(TEMPLATE)[0].step == 1
        first.save(2, STATE, {})
        assert second.steps() == [1, 2]
        assert second.restore(TEMPLATE)[0].step == 2
        first.close()
        second.save(3, STATE, {})


def test_threads_take_turns(tmp_path):
    with Checkpoints(tmp_path) as saved, ThreadPoolExecutor(3) as pool:
        saved.save(0, STATE, {})
        steps = [pool.submit(saved.save, 1, STATE, {})]
        steps += [pool.submit(saved.restore, TEMPLATE) for _ in range(4)]
        assert steps[0].result() is None
        assert {x.result()[0].step for x in steps[1:]} <= {0, 1}


def _save_and_hang(folder, has_saved):
    with Checkpoints(folder) as saved:
        saved.save(1, STATE, {})
        has_saved.set()
        signal.pause()


@pytest.mark.slow
def test_a_writer_that_is_killed_holds_the_folder_no_more(tmp_path):
    context = multiprocessing.get_context("spawn")
    has_saved = context.Event()
    writer = context.Process(target=_save_and_hang, args=(tmp_path, has_saved))
    writer.start()
    assert has_saved.wait(120)
    with Checkpoints(tmp_path) as other:
        with pytest.raises(OSError, match="Somebody else"):
            other.save(2, STATE, {})
        writer.kill()
        writer.join()
        other.save(2, STATE, {})
        assert other.restore(TEMPLATE)[0].step == 2


def test_threads_leave_the_logger_as_it_was():
    """Whichever ends first; and what others log meanwhile is logged."""
    logger = logging.getLogger("absl")
    before = logger.level, [*logger.filters]
    first, second = checkpoints._quiet_orbax(), checkpoints._quiet_orbax()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    of_orbax, of_others = (
        logging.LogRecord("absl", logging.ERROR, path, 1, "", (), None)
        for path in ("/site-packages/orbax/checkpoint/futures.py", "/mine.py")
    )
    assert not logger.filter(of_orbax)
    assert logger.filter(of_others)
    second.__exit__(None, None, None)
    assert logger.filter(of_orbax)
    assert (logger.level, logger.filters) == before
