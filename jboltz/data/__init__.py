"""Arrays to train on and evaluate on; host side, NumPy only but for `read`.

Once JAX has started, the worker processes of a loader must be started by
`multiprocessing.get_context("spawn")` and not by fork: JAX runs threads, and a copy of
a process with threads may wait for ever for a lock that one of them held.
"""

import lazy_loader

# A name is imported when it is first used: `read` needs units, and so JAX.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
