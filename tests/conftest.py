"""Settings and fixtures of the whole suite."""

import os

# Eight simulated devices, before jax starts: the sharding tests need them, and every
# other test runs on the first.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
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
