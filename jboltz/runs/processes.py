"""One run as several processes, one a host, that run the same command."""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from jboltz.errors import InvalidValue
from jboltz.runs.config import differences

HEARTBEAT_SECONDS = 30
"""How long a process may be silent before the others are told that it is gone."""

_ROOM = 1 << 16
"""Bytes of what a process says of itself."""


def join() -> None:
    """Finds the other processes of the run; before anything else asks for a device.

    On TPU pods, Slurm, Open MPI and Kubernetes JAX knows them. Elsewhere
    JAX_COORDINATOR_ADDRESS (host:port of the first), JAX_NUM_PROCESSES and
    JAX_PROCESS_ID say who they are.

    Raises:
      ValueError: nothing says so, or the others do not answer.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        jax.distributed.initialize(
            num_processes=_number("JAX_NUM_PROCESSES"),
            process_id=_number("JAX_PROCESS_ID"),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise InvalidValue(
            f"`--distributed` needs to know the other processes ({error}) but neither "
            "a TPU pod, Slurm, Open MPI nor Kubernetes says who they are; set "
            "JAX_COORDINATOR_ADDRESS to host:port of the first, JAX_NUM_PROCESSES to "
            "their number and JAX_PROCESS_ID to 0, 1, … on each."
        ) from error
    # JAX has taken it as a notice of preemption that the program asks for.
    signal.signal(signal.SIGTERM, handler)


def is_first() -> bool:
    """Whether this process is the one that speaks and writes."""
    return jax.process_index() == 0


def check_agreement(about: dict[str, Any]) -> None:
    """Refuses, on every process, what another says otherwise of its run.

    Raises:
      ValueError: it names the fields, and both values.
    """
    first, *others = map(json.loads, _share(json.dumps(about)))
    for index, other in enumerate(others, start=1):
        if found := differences(first, other):
            raise InvalidValue(
                f"Process {index} runs another run than process 0: {'; '.join(found)}. "
                "Run the same command, with the same versions and data, on every host."
            )


def by_first(act: Callable[[], None]) -> None:
    """Calls `act` on the first process, for which the others wait.

    Raises:
      OSError: it failed, on every process; on the first, the error itself.
    """
    if jax.process_count() == 1:
        return act()
    failed = None
    if is_first():
        try:
            act()
        except Exception as error:
            failed = error
    said = _share(str(failed) if failed else "")[0]
    if failed is not None:
        raise failed
    if said:
        raise OSError(said)


def leave(error: Exception) -> NoReturn:
    """Ends this process, of which another has gone: at once, since to leave in order
    would be to wait for that one."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    print(
        f"error: Another process of this run is gone ({reason}). Start the same "
        "command on every host again: it goes on from the newest checkpoint.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(2)


def _share(text: str) -> list[str]:
    """What every process says, in their order."""
    mine = np.zeros(_ROOM, np.uint8)
    content = text.encode()[:_ROOM]
    mine[: len(content)] = np.frombuffer(content, np.uint8)
    every = np.asarray(multihost_utils.process_allgather(mine)).reshape(-1, _ROOM)
    return [row.tobytes().rstrip(b"\0").decode() for row in every]


def _number(name: str) -> int | None:
    return int(os.environ[name]) if name in os.environ else None
