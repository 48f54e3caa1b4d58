"""Settings and fixtures of the whole suite."""

import atexit
import gc
import os
import tempfile

from tests import slow, xla

# Eight simulated devices, before jax starts: the sharding tests need them, and every
# other test runs on the first.
os.environ["XLA_FLAGS"] = (
    f"--xla_force_host_platform_device_count=8 {xla.FLAGS} "
    + os.environ.get("XLA_FLAGS", "")
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import jax
import pytest
from jaxtyping import install_import_hook

# Shapes and types in signatures are checked at run time, before anything of jboltz is
# imported. Bad-input tests of what the hook would answer first run in a subprocess.
install_import_hook("jboltz", "beartype.beartype")

# Possible because every function takes one configuration: an accidental broadcast
# between ranks is a bug.
jax.config.update("jax_numpy_rank_promotion", "raise")

# The suite compiles many a program more than once, in closures that are built anew and
# in processes that it starts. Each worker has its own folder, since one that reads what
# another writes would fail.
_compiled = tempfile.TemporaryDirectory(prefix="jboltz-compiled-")
atexit.register(_compiled.cleanup)
for name, value in {
    "jax_compilation_cache_dir": _compiled.name,
    "jax_persistent_cache_min_compile_time_secs": 0.05,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)


def pytest_collection_finish():
    """What was imported stays, and the garbage collector need not look through it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before `-m "not slow"` chooses
def pytest_collection_modifyitems(config, items):
    config.stash[slow.UNKNOWN] = slow.mark(items, pytest.mark.slow)


@pytest.fixture
def getkey(request):
    """A fresh key a call, from a fixed seed that the test's name decides."""
    import zlib

    key = jax.random.key(zlib.crc32(request.node.nodeid.encode()))
    count = 0

    def next_key():
        nonlocal count
        count += 1
        return jax.random.fold_in(key, count)

    return next_key


@pytest.fixture
def x64():
    """The test runs in float64."""
    from tests.helpers import enable_x64

    with enable_x64():
        yield


@pytest.fixture(autouse=True, scope="module")
def _forget_what_was_compiled():
    """Modules share few programs, and thousands of them fill the memory."""
    yield
    jax.clear_caches()
