"""The sizes of the tasks: all of them are configuration."""

import dataclasses

from jboltz.ranges import Count, Steps

PIXELS = 784
"""Visible units: the pixels of an image of MNIST."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much each task does."""

    num_examples: Count = 7_500
    """Training images of an epoch, an eighth of MNIST by default. They are the first of
    the data, and are repeated where the data are fewer."""
    num_hidden: Count = 500
    """Hidden units; the visible ones are MNIST's 784 pixels."""
    batch_size: Count = 64
    """Examples an update."""
    large_batch: Count = 512
    """The same in `cd_epoch_large_batch`."""
    num_chains: Count = 1024
    """Chains of Gibbs sampling."""
    num_sweeps: Steps = 25
    """Gibbs sweeps a call; each draws all visible and all hidden units once."""
    small_model: Count = 200
    """Hidden units of `gibbs_small_model`."""
    many_chains: Count = 2000
    """Chains of `gibbs_small_model`."""
    tempering_chains: Count = 100
    """Tempered chains."""
    num_replicas: Count = 10
    """Replicas of each of them."""
    tempering_steps: Count = 10
    """Steps of the tempered chains in a call."""
    ais_chains: Count = 100
    """Chains of annealing."""
    rungs: Count = 500
    """Rungs of annealing in a call, evenly spaced."""
    dbn_layers: tuple[Count, ...] = (784, 500, 200)
    """Layers of the DBN, as in the main job."""
    dbm_layers: tuple[Count, ...] = (784, 500, 1000)
    """Layers of the DBM."""
    dbm_batch: Count = 100
    """Examples a joint update of the DBM, and its chains."""
    dbm_updates: Count = 10
    """Joint updates a call; each gets its own batch."""
    dbm_steps: Count = 5
    """Gibbs steps of a joint update."""
    dbm_sweeps: Count = 10
    """Mean-field sweeps of a joint update and of `mean_field`."""
    num_posteriors: Count = 1000
    """Examples of `mean_field`."""
    net_layers: tuple[Count, ...] = (784, 500, 500, 2000, 10)
    """Layers of the net that is fine-tuned."""
    net_batch: Count = 128
    """Examples of its updates."""
    net_updates: Count = 20
    """Updates of fine-tuning in a call; each gets its own batch."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The sizes of the task `sweep`."""

    num_hidden: tuple[Count, ...] = (200, 500, 1024, 4096)
    """Hidden units."""
    batch_sizes: tuple[Count, ...] = (64, 256, 1024, 4096)
    """Examples an update, of CD-1 and PCD-1, at each number of hidden units."""
    num_chains: tuple[Count, ...] = (1, 16, 128, 1024, 16384)
    """Chains, of Gibbs sampling, at each number of hidden units."""
    megaflops: Steps = 25_000
    """Millions of floating-point operations of the products of a call, about: it takes
    as many updates or sweeps as that needs, and one at least."""
