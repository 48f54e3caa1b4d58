"""The tasks that are contests, as data."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jboltz.evaluation.monitors import reconstruction_errors
from jboltz.experiments.benchmark import floors, in_jboltz, works
from jboltz.experiments.benchmark.contest import Record, Task
from jboltz.experiments.benchmark.floors import Floor
from jboltz.experiments.benchmark.sizes import PIXELS, Sizes
from jboltz.experiments.benchmark.works import Arrays, Job, Outcome
from jboltz.models.dbn import DBN
from jboltz.units.bernoulli import Bernoulli


def untrained(job: Job) -> tuple[Arrays, ...]:
    """The start of an RBM between the pixels and `num_hidden` units."""
    return stack((PIXELS, job.sizes.num_hidden), job.seed)


def stack(layers: tuple[int, ...], seed: int) -> tuple[Arrays, ...]:
    """The start of the RBMs between these layers."""
    params = DBN.chain(*map(Bernoulli, layers)).init(jax.random.key(seed))
    return tuple(jax.tree.map(np.array, in_jboltz.as_arrays(x)) for x in params)


def trained(job: Job) -> tuple[Arrays, ...]:
    """An RBM after an epoch of CD-1."""
    work = in_jboltz.cd(dataclasses.replace(job, arrays=untrained(job)))
    return (jax.tree.map(np.array, work()),)


def same_errors(job: Job, contestant: str, outcome: Outcome, ours: Outcome) -> Record:
    """Whether it reconstructs images, layer by layer, as well as what jboltz trained.

    scikit-learn starts from its own weights, and its PCD-1 does not learn quite what
    CD-1 learns.
    """
    images = jnp.asarray(works.gray(job.rows[:1000]))

    def error(outcome: Outcome) -> float:
        arrays = [outcome[i : i + 3] for i in range(0, len(outcome), 3)]
        models, params = zip(*map(in_jboltz.machine, arrays), strict=True)
        return float(reconstruction_errors(DBN(models), params, images)[-1])

    return {
        "what": "relative distance of its reconstruction error from jboltz's",
        "value": abs(error(outcome) / error(ours) - 1),
        "limit": 0.25 if contestant == "sklearn" else 0.05,
    }


def same_means(job: Job, contestant: str, outcome: Outcome, ours: Outcome) -> Record:
    """Whether the mean of every pixel over the chains is jboltz's, up to chance.

    The squared distance, over what it is on average for two samples of one
    distribution, Σ p (1 − p) (1/n + 1/m). Its spread is that of a χ² with few degrees
    of freedom a degree: pixels are correlated.
    """
    del job, contestant
    theirs, expected = (np.asarray(x[0], np.float64) for x in (outcome, ours))
    distance = theirs.mean(axis=0) - expected.mean(axis=0)
    p = np.concatenate([theirs, expected]).mean(axis=0)
    by_chance = np.sum(p * (1 - p)) * (1 / len(theirs) + 1 / len(expected))
    return {
        "what": "squared distance of its mean pixels from jboltz's, over chance",
        "value": float(np.sum(distance**2) / by_chance),
        "limit": 4.0,
    }


def every_sweep(job: Job, contestant: str, outcome: Outcome, ours: Outcome) -> Record:
    """Whether mean field took all its sweeps."""
    del contestant, ours
    missed = job.sizes.dbm_sweeps - int(np.min(outcome[-1]))
    return {"what": "sweeps not taken", "value": missed, "limit": 0}


def sweeps(sizes: Sizes, num_chains: int, num_steps: int) -> list[Floor]:
    shape = (PIXELS, sizes.num_hidden)
    return [Floor(floors.sweep, shape, num_chains, num_steps)]


def updates(sizes: Sizes) -> list[Floor]:
    """The updates of an epoch; a short last batch counts as a full one."""
    shape, num_steps = (PIXELS, sizes.num_hidden), works.num_updates(sizes)
    return [Floor(floors.cd, shape, sizes.batch_size, num_steps)]


def pretraining(sizes: Sizes) -> list[Floor]:
    """The updates of an epoch for each layer."""
    layers, num_steps = sizes.dbn_layers, works.num_updates(sizes)
    steps = [partial(floors.pretraining, i) for i in range(len(layers) - 1)]
    return [Floor(step, layers, sizes.batch_size, num_steps, ()) for step in steps]


def joint_updates(sizes: Sizes) -> list[Floor]:
    step = partial(floors.dbm, sizes.dbm_sweeps, sizes.dbm_steps)
    rows, num_steps = sizes.dbm_batch, sizes.dbm_updates
    return [Floor(step, sizes.dbm_layers, rows, num_steps, state=(0, 1))]


def posteriors(sizes: Sizes) -> list[Floor]:
    """All sweeps are one step."""
    step = partial(floors.mean_field, sizes.dbm_sweeps)
    return [Floor(step, sizes.dbm_layers, sizes.num_posteriors, 1)]


CD = Task(
    title="CD-1, 784–{num_hidden}, batch {batch_size}: {num_examples} images",
    start=untrained,
    contestants={
        "jboltz": "in_jboltz.cd",
        "torch": "in_torch.cd",
        "torch_compiled": "in_torch.cd_compiled",
        "torch_loader": "in_torch.cd_loader",
        "torch_notes": "in_torch.notes",
        "rbms": "in_rbms.cd",
        "sklearn": "in_sklearn.pcd",
    },
    floors=updates,
    check=same_errors,
)

PCD = dataclasses.replace(
    CD,
    title="PCD-1, 784–{num_hidden}, batch {batch_size}: {num_examples} images",
    contestants={
        "jboltz": "in_jboltz.pcd",
        "torch": "in_torch.pcd",
        "rbms": "in_rbms.pcd",
        "sklearn": "in_sklearn.pcd",
    },
)

GIBBS = Task(
    title="Gibbs, 784–{num_hidden}: {num_sweeps} sweeps of {num_chains} chains",
    start=trained,
    contestants={
        "jboltz": "in_jboltz.gibbs",
        "threefry_13": "in_jboltz.gibbs_13",
        "torch": "in_torch.gibbs",
        "torch_compiled": "in_torch.gibbs_compiled",
        "rbms": "in_rbms.gibbs",
        "sklearn": "in_sklearn.gibbs",
        "thrml": "in_thrml.gibbs",
    },
    floors=lambda s: sweeps(s, s.num_chains, s.num_sweeps),
    check=same_means,
)

TASKS = {
    "cd_epoch": CD,
    "cd_epoch_large_batch": dataclasses.replace(
        CD, sizes={"batch_size": "large_batch"}
    ),
    "pcd_epoch": PCD,
    "gibbs": GIBBS,
    "ais": Task(
        title="AIS, 784–{num_hidden}: {rungs} rungs of {ais_chains} chains",
        start=trained,
        contestants={"jboltz": "in_jboltz.ais"},
        floors=lambda s: sweeps(s, s.ais_chains, s.rungs),
    ),
    "fixed_cost": dataclasses.replace(
        CD,
        title="`fit` of one batch of {batch_size}: 1 update",
        contestants={"jboltz": "in_jboltz.cd"},
        sizes={"num_examples": "batch_size"},
    ),
    "tempering": Task(
        title="Tempering, 784–{num_hidden}: {tempering_steps} steps of "
        "{tempering_chains} chains × {num_replicas} replicas",
        start=trained,
        contestants={"jboltz": "in_jboltz.tempering"},
        # An exchange moves what reaches the hidden units along with the state.
        floors=lambda s: sweeps(
            s, s.tempering_chains * s.num_replicas, s.tempering_steps
        ),
    ),
    "dbm_step": Task(
        title="DBM, {dbm_layers}: {dbm_updates} joint updates of {dbm_batch} examples",
        contestants={"jboltz": "in_jboltz_deep.dbm_step"},
        floors=joint_updates,
    ),
    "mean_field": Task(
        title="Mean field, {dbm_layers}: {dbm_sweeps} sweeps of "
        "{num_posteriors} examples",
        contestants={"jboltz": "in_jboltz_deep.mean_field"},
        floors=posteriors,
        check=every_sweep,
    ),
    "finetune": Task(
        title="Fine-tuning {net_layers}: {net_updates} updates of {net_batch} examples",
        contestants={"jboltz": "in_jboltz_deep.finetune"},
        floors=lambda s: [
            Floor(floors.net, s.net_layers, s.net_batch, s.net_updates, ())
        ],
    ),
    "gibbs_small_model": dataclasses.replace(
        GIBBS, sizes={"num_hidden": "small_model", "num_chains": "many_chains"}
    ),
    "dbn_epoch": Task(
        title="DBN, {dbn_layers}, batch {batch_size}: {num_examples} images a layer",
        start=lambda job: stack(job.sizes.dbn_layers, job.seed),
        contestants={
            "jboltz": "in_jboltz.stacked_cd",
            "torch_loader": "in_torch.stacked_cd",
            "torch_notes": "in_torch.stacked_notes",
        },
        floors=pretraining,
        check=same_errors,
    ),
}
"""All contests, by the names that the configuration has for them."""
