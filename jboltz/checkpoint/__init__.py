"""Checkpoints of a training run."""

from jboltz.checkpoint.checkpoints import Checkpoint, Checkpoints

__all__ = ["Checkpoint", "Checkpoints"]
