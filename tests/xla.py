"""How the suite's programs are compiled: soon, since each of them runs once."""

import importlib.metadata

# LLVM is told to take less care. XLA's own passes, and with them fusion, are as users
# have them.
FLAGS = "--xla_backend_optimization_level=0"

# Fusions are emitted the older way: the newer one sets up MLIR for every program, half
# of what a small one takes. Later versions of XLA do not know the older way, and at a
# flag that they do not know they end the process.
if tuple(map(int, importlib.metadata.version("jax").split(".")[:2])) < (0, 11):
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
