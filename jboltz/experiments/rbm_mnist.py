"""RBM on MNIST, and how likely it finds the digits.
python -m jboltz.experiments.rbm_mnist

Reference: Salakhutdinov & Murray (2008), On the quantitative analysis of deep belief
networks; Melchior, Fischer & Wiskott (2016), How to center deep Boltzmann machines.
"""

import dataclasses
from typing import ClassVar, Literal

from jboltz.choices import Precision
from jboltz.ranges import ChainSteps, Count, LadderScale, Several, Share
from jboltz.runs.config import answer
from jboltz.runs.families import AnnealingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(AnnealingConfig):
    """Trains an RBM on MNIST by PCD in centred coordinates, and measures it."""

    PRESETS: ClassVar = {
        "digits": {"epochs": 150, "learning_rate": 0.05, "num_replicas": 10}
        | {"tempering_steps": 200, "ladder_scale": 0.1, "ladder_check": 0.0},
        "exact": {"num_hidden": 16, "epochs": 50, "binarisation": "threshold"},
        "short": {"epochs": 300},
        "small": {"num_hidden": 16, "epochs": 2, "num_replicas": 5}
        | {"tempering_steps": 100, "ladder_scale": 0.1, "ladder_check": 0.0},
    }

    GROUPS: ClassVar = {
        "model": ("num_hidden",),
        "data": ("binarisation",),
        "evaluation": ("raise_points", "raise_chains", "raise_ladders"),
        "output": ("sample_steps",),
    }

    preset: Literal["digits", "exact", "short", "small"] | None = None
    """Values to begin with: `digits` draws them after three minutes on two cores,
    `exact` has 16 hidden units, for log Z by enumeration, `short` trains for ten
    minutes, `small` takes one. Flags win."""
    num_hidden: Count = 500
    """Hidden units; up to 20, log Z is also computed exactly."""
    binarisation: Literal["stochastic", "threshold"] = "stochastic"
    """How gray pixels become binary: drawn afresh at every use in training and once for
    the test, or compared with ½."""
    epochs: Count = 800
    """Epochs of training."""
    num_chains: Several = 100
    products: Precision = "float32"
    """Precision of products in training; accelerators are fastest in `bfloat16`."""
    offset_rate: Share = 0.01
    """Share by which each batch moves the offsets of centring."""
    raise_points: Count = 50
    """Examples whose likelihood is also estimated by RAISE."""
    raise_chains: Several = 10
    """Chains for each of these examples."""
    raise_ladders: tuple[LadderScale, ...] = ()
    """Lengths of further ladders, in units of 14 500 rungs, to see RAISE converge."""
    sample_steps: ChainSteps = 1000
    """Gibbs sweeps of the chains that are diagnosed, and of those that complete
    digits."""


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "rbm_mnist")

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

import jboltz
from jboltz import RBM, Bernoulli, Gibbs, RBMParams, plotting, random
from jboltz.data import Dataset
from jboltz.evaluation.diagnostics import free_energy_gap
from jboltz.evaluation.log_estimate import LogEstimate
from jboltz.evaluation.log_partitions import (
    chain_quality,
    log_partitions,
    missing_intervals_allowed,
    normalized,
    tempered_chains,
)
from jboltz.learning.pretrain import LayerFeatures, unit_interval
from jboltz.runs import checks, likelihoods, program
from jboltz.runs.likelihoods import as_json, say_likelihood
from jboltz.runs.progress import say, with_error
from jboltz.runs.training import draw_contrast, fit_with_checkpoints
from jboltz.runs.workdir import Workdir

MOST_ENUMERATED = 20
"""Hidden units up to which log Z by enumeration takes seconds."""


def check(config: Config, data: Dataset) -> None:
    checks.images(config, data)
    checks.at_most(config, {"raise_points": config.held_out or len(data.test)})
    likelihoods.check(config, data)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[RBMParams, dict[str, Any]]:
    """Trains and measures; returns the parameters and the numbers."""
    key_fit, key_evaluate = jax.random.split(jax.random.key(config.seed))
    rbm = build(config, data)
    train, unseen = likelihoods.split(config, data)
    state, records = fit(config, rbm, train, workdir, key_fit)
    numbers = evaluate(config, rbm, state, train, unseen, key_evaluate)
    return state.params, {"epochs": records, **numbers}


def build(config: Config, data: Dataset) -> RBM:
    return RBM(Bernoulli(data.train.shape[1]), Bernoulli(config.num_hidden))


def binary(config: Config, images: np.ndarray) -> jboltz.EvaluationData:
    """Images made binary once and for all, for evaluation."""
    if config.binarisation == "threshold":
        return jboltz.binarise_by_threshold(images)
    return jboltz.binarise_once(images, config.seed)


def fit(
    config: Config, rbm: RBM, images: np.ndarray, workdir: Workdir, key: Key[Array, ""]
) -> tuple[jboltz.TrainState, list[dict[str, Any]]]:
    """PCD in centred coordinates; gray pixels are drawn afresh at every use."""
    train = jnp.asarray(images)
    if config.binarisation == "threshold":
        train = binary(config, images).values
    estimator = jboltz.Centred(
        jboltz.PersistentContrastiveDivergence(
            rbm, Gibbs(rbm), config.num_chains, config.num_steps
        ),
        config.offset_rate,
    )
    updates = config.epochs * -(-len(train) // config.batch_size)
    optimizer = optax.sgd(optax.linear_schedule(config.learning_rate, 0.0, updates))

    def init(key):
        key_params, key_estimator = jax.random.split(key)
        params = rbm.init(key_params, data=unit_interval(train))
        # The first draw of the chains is part of training and has its precision.
        with jax.default_matmul_precision(config.products):
            return jboltz.init_train_state(params, estimator, optimizer, key_estimator)

    step = jboltz.make_train_step(estimator, optimizer, precision=config.products)
    return fit_with_checkpoints(
        workdir,
        "rbm",
        step,
        init,
        train,
        key,
        batch_size=config.batch_size,
        num_epochs=config.epochs,
        prepare=jax.tree_util.Partial(LayerFeatures((rbm,)), ()),
        loss="contrast",
    )


def evaluate(
    config: Config,
    rbm: RBM,
    state: jboltz.TrainState,
    train: np.ndarray,
    unseen: np.ndarray,
    key: Key[Array, ""],
) -> dict[str, Any]:
    """Likelihoods of unseen images, each with its interval, and the quality of the
    chains that they rest on."""
    say("estimating the likelihood by annealing")
    params, chains = state.params, state.estimator_state.inner
    key_gibbs, key_temper, key_z, key_raise = jax.random.split(key, 4)
    _, gibbs = jboltz.run_chains(
        jboltz.TracedSampler(Gibbs(rbm)),
        params,
        chains,
        key_gibbs,
        num_steps=config.sample_steps,
    )
    annealed = jboltz.Annealed(rbm)
    base = annealed.fit_base(unit_interval(jnp.asarray(train)))
    examples = binary(config, unseen)
    unnormalised = jboltz.log_likelihood(rbm, params, examples, 0.0)
    chains, metrics = tempered_chains(
        annealed, params, base, chains.visible, config, key_temper
    )
    log_z = log_partitions(annealed, params, base, chains.visible, config, key_z)
    found = {name: normalized(unnormalised, z) for name, z in log_z.items()}
    if config.num_hidden <= MOST_ENUMERATED:
        exact = float(jax.jit(partial(jboltz.model_log_partition, rbm))(params))
        found["enumeration"] = jboltz.log_likelihood(rbm, params, examples, exact)
    few = dataclasses.replace(examples, values=examples.values[: config.raise_points])

    def by_raise(scale, key):
        with missing_intervals_allowed():
            return jboltz.reverse_ais_log_likelihood(
                annealed,
                params,
                base,
                jboltz.annealing_ladder(scale),
                few.values,
                key,
                num_chains=config.raise_chains,
            )

    last = by_raise(config.ladder_scale, key_raise)
    along = {
        str(len(jboltz.annealing_ladder(scale)) - 1): _summary(
            by_raise(scale, random.fold_in(key, index))
        )
        for index, scale in enumerate(config.raise_ladders)
    }
    by_ais = jboltz.log_likelihood(rbm, params, few, log_z["AIS"])
    pseudo = jboltz.pseudo_log_likelihood(rbm, params, examples)
    gap = free_energy_gap(rbm, params, examples, binary(config, train[: len(unseen)]))
    return {
        "judged_by": "held-out" if config.held_out else "test",
        "binarisation": examples.binarisation,
        "log_partition": {name: as_json(z) for name, z in log_z.items()},
        "log_likelihood": {name: as_json(x) for name, x in found.items()},
        "raise": {
            "num_examples": len(few.values),
            **_summary(last),
            "mean_by_ais": by_ais.mean,
            "by_rungs": along,
        },
        "pseudo_log_likelihood": as_json(pseudo),
        "free_energy_gap": {"gap": gap.gap, "standard_error": gap.standard_error},
        "verdict": jboltz.convergence_report(
            gibbs, num_steps=config.num_steps, spacing=1
        ),
        "tempered_chains": chain_quality(metrics),
    }


def _summary(estimate: LogEstimate) -> dict[str, float | None]:
    """The mean over test points, with the mean ends of their intervals if all have
    one, and how many chains a point is worth."""
    interval = [float(np.mean(x)) for x in (estimate.lower, estimate.upper)]
    lower, upper = (x if np.isfinite(x) else None for x in interval)
    return {
        "mean": float(np.mean(estimate.value)),
        "lower": lower,
        "upper": upper,
        "least_effective_samples": float(np.min(estimate.effective_samples)),
        "median_effective_samples": float(np.median(estimate.effective_samples)),
    }


def draw_figures(
    config: Config, data: Dataset, params: RBMParams, numbers: dict[str, Any]
) -> dict[str, Any]:
    rbm = build(config, data)
    shape = data.image_shape or (28, 28)
    train, unseen = likelihoods.split(config, data)
    key_start, key_temper, key_fill = jax.random.split(
        jax.random.fold_in(jax.random.key(config.seed), 1), 3
    )
    digits = binary(config, unseen[:160:10]).values
    starts = jax.vmap(rbm.sample_start, in_axes=(None, 0))(
        params, jax.random.split(key_start, 64)
    )
    annealed = jboltz.Annealed(rbm)
    base = annealed.fit_base(unit_interval(jnp.asarray(train)))
    tempered, _ = tempered_chains(annealed, params, base, starts, config, key_temper)
    pictures = jax.vmap(rbm.mean_visible_state, in_axes=(None, 0))(
        params, tempered.hidden
    )
    rows = {"unseen digit": digits}
    size = digits.shape[1]
    masks = {
        "upper half given": jnp.arange(size) < size // 2,
        "left half given": jnp.arange(size) % shape[1] < shape[1] // 2,
    }
    for name, mask in masks.items():
        _, filled, _ = jboltz.sample(
            rbm,
            params,
            key_fill,
            warm_up=config.sample_steps,
            start=digits,
            clamp=mask,
            observe=jboltz.observe_visible_mean,
        )
        rows[name] = filled[:, 0]
    return {
        "filters": plotting.filters(
            params.weights, shape, title="Filters, largest norm first"
        ),
        "samples": plotting.image_rows(
            {f"{i}": row for i, row in enumerate(pictures.reshape(4, 16, -1), start=1)},
            shape,
            title="Tempered chains that started at noise: 64 of them, means of pixels",
        ),
        "in_painting": plotting.image_rows(
            rows, shape, title="Halves given, the rest drawn: means of pixels"
        ),
        "contrast": draw_contrast(numbers["epochs"]),
    }


def report(results: dict[str, Any]) -> None:
    say(f"{results['judged_by']} images, {results['binarisation']}, in nats:")
    for name, found in results["log_likelihood"].items():
        say_likelihood(f"log-likelihood by {name}", found)
    few = results["raise"]
    for rungs, found in few["by_rungs"].items():
        say(
            f"RAISE with {rungs} rungs: {found['mean']:.2f}, worth "
            f"{found['median_effective_samples']:.1f} chains a point (median; least "
            f"{found['least_effective_samples']:.1f})"
        )
    say(
        f"of the first {few['num_examples']}: {few['mean']:.2f} by RAISE, "
        f"{few['mean_by_ais']:.2f} by AIS"
    )
    say_likelihood("pseudo-log-likelihood", results["pseudo_log_likelihood"])
    gap = with_error(results["free_energy_gap"], 2, "nats")
    say(f"free energy of unseen images above that of training images: {gap}")
    say(f"persistent chains: {results['verdict']}")
    likelihoods.say_chain_quality(results["tempered_chains"])


PROGRAM = program.Program(
    name="rbm_mnist",
    config=Config,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
    model=build,
)

if __name__ == "__main__":
    program.main(PROGRAM)
