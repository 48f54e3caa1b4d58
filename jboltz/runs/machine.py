"""The machine that a program runs on: its name, its versions, and how it is used."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
import time
import warnings
import zlib
from typing import Any

import jax

PACKAGES = ("jboltz", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def use_wide_vectors() -> None:
    """Asks XLA for a processor's 512-bit vectors, where it has them.

    XLA takes half of that by default. The bits are the same, and a uniform takes half
    the time (measured: .9 in place of 1.7 ns to draw a binary unit, on one core). What
    the user has put into XLA_FLAGS wins; without effect once JAX has computed.
    """
    name, flags = "--xla_cpu_prefer_vector_width", os.environ.get("XLA_FLAGS", "")
    is_file = bool(flags) and not flags.startswith("-")
    # The XLA of JAX 0.7 rounds some sums otherwise with wide vectors.
    is_old = jax.__version_info__ < (0, 10)
    if name not in flags and not is_file and not is_old:
        os.environ["XLA_FLAGS"] = f"{flags} {name}=512".strip()


def keep_compiled_programs() -> None:
    """Keeps what XLA compiles in the user's cache folder, for the next start.

    A folder that the user has given to JAX wins. Each kind of processor and setting of
    XLA has its own folder, since machines may share a home. If the folder cannot be
    made, nothing is kept.
    """
    # JAX keeps what took a second; most parts of a program take a tenth.
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    setting = f"{_processor()} {os.environ.get('XLA_FLAGS', '')}"
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    folder = cache / "jboltz" / "compiled" / f"{zlib.crc32(setting.encode()):08x}"
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # What a killed program left half-written is compiled again.
    about = "Error (reading|writing) persistent compilation cache entry"
    warnings.filterwarnings("ignore", about)


def environment() -> dict[str, Any]:
    """Device, versions and commit, for `results.json`."""
    devices = jax.devices()
    return {
        "device": {
            "platform": devices[0].platform,
            "kind": devices[0].device_kind,
            "count": len(devices),
            "processor": _processor(),
            "cpu_cores": os.cpu_count(),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "commit": _commit(),
    }


def peak_memory_mb() -> float:
    """The largest resident size of this process so far, in 10⁶ bytes."""
    try:
        import resource
    except ImportError:  # Windows.
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kibibytes, macOS bytes.
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def memory_bytes() -> int:
    """The memory of the accelerators of this process, or else of this machine."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    if found := sum(x.get("bytes_limit", 0) for x in stats):
        return found
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # Windows: nothing says how much there is.
        return sys.maxsize


class Clock:
    """What this process costs from now on."""

    def __init__(self) -> None:
        self._started, self._compiling = time.perf_counter(), 0.0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def costs(self) -> dict[str, float]:
        """Seconds so far, and of these to compile; the memory of the whole process."""
        return {
            "compile_seconds": round(self._compiling, 2),
            "wall_seconds": round(time.perf_counter() - self._started, 2),
            "peak_memory_mb": peak_memory_mb(),
        }

    def _listen(self, event: str, duration_secs: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            self._compiling += duration_secs


def _processor() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        first, *_ = cpuinfo.read_text().split("\n\n")
        pairs = [line.split(":", 1) for line in first.splitlines() if ":" in line]
        fields = {name.strip(): value.strip() for name, value in pairs}
        # A virtual machine may have no more of a name than that of its maker.
        numbers = [f"{x} {fields[x]}" for x in ("cpu family", "model") if x in fields]
        if "model name" in fields:
            return ", ".join([fields["model name"], *numbers])
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The git commit that the code runs from; None where it is no checkout."""
    folder = pathlib.Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
