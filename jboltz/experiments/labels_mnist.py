"""DBN with label units on MNIST, fine-tuned by up–down, without backpropagation.
python -m jboltz.experiments.labels_mnist

Reference: Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief
nets.
"""

import dataclasses
from typing import ClassVar, Literal

from jboltz.choices import Features
from jboltz.ranges import Count, CountFromZero, Rate, ShareBelowOne, Steps, Strength
from jboltz.runs.config import TrainingConfig, answer
from jboltz.runs.sources import Mnist


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """Trains a deep belief network with label units: greedily, then by up–down."""

    PRESETS: ClassVar = {
        "small": {"layers": [784, 100, 100, 200], "epochs": 3}
        | {"up_down_epochs": [1, 1, 1], "sample_steps": 200},
    }

    GROUPS: ClassVar = {
        "model": ("layers",),
        "evaluation": ("held_out",),
        "output": ("sample_steps",),
    }

    preset: Literal["small"] | None = None
    """Values to begin with: `small` takes a minute. Flags win."""
    layers: tuple[Count, ...] = (784, 500, 500, 2000)
    """Units per layer: the pixels first, the top last; labels join the last but one."""
    epochs: Count = 25
    """Epochs per layer of greedy training, by CD-1 in centred coordinates."""
    features: Features = "probabilities"
    """What greedy training passes up: `means`, which are binarised afresh, `samples` of
    every layer, or `probabilities`: means that are not binarised."""
    learning_rate: Rate = 0.04
    """First step size of SGD in greedy training; it falls linearly to 0."""
    momentum: ShareBelowOne = 0.9
    """Momentum of SGD in greedy training."""
    discriminative: Strength = 3.0
    """Weight of −log p(label | features) beside −log p(label, features) in training the
    top RBM, greedily and by up–down; with 0 only the second counts."""
    up_down_epochs: tuple[Count, ...] = (40, 10, 10)
    """Epochs of each stage of up–down."""
    up_down_steps: tuple[Count, ...] = (1, 2, 3)
    """Gibbs sweeps of the top RBM in each stage."""
    up_down_learning_rate: Rate = 0.04
    """First step size of plain SGD in up–down; it falls linearly to 0 over all
    stages."""
    held_out: CountFromZero = 0
    """Number of training images, the last ones, that replace the test set, which is
    then not read; for choosing settings."""
    sample_steps: Steps = 1000
    """Gibbs sweeps of the top RBM, with its label held, in the figures of samples."""
    data: Mnist = dataclasses.field(default_factory=Mnist)


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "labels_mnist")

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

import jboltz
from jboltz import plotting, random
from jboltz.data import Dataset, hold_out
from jboltz.errors import InvalidValue
from jboltz.learning.discriminative import pair_with_labels
from jboltz.learning.pretrain import unit_interval
from jboltz.learning.up_down import UpDownParams, untie_weights
from jboltz.models.dbn import DBNParams
from jboltz.runs import checks, greedy, program
from jboltz.runs.progress import say, with_error
from jboltz.runs.training import fit_with_checkpoints
from jboltz.runs.workdir import Workdir
from jboltz.samplers.ancestral import generate_labelled

NUM_PICTURES = 10
"""Samples of each class that are drawn."""

Images = tuple[np.ndarray, np.ndarray]
"""Images and their labels."""

Params = dict[str, Any]
"""The parameters after greedy training, `DBNParams`, and up–down, `UpDownParams`."""


def check(config: Config, data: Dataset) -> None:
    checks.layers(config.layers, data)
    if len(config.layers) < 3:
        raise InvalidValue(
            f"`layers` is {config.layers} but up–down needs a layer below the top RBM; "
            "give the pixels and two or more hidden layers."
        )
    stages = config.up_down_epochs, config.up_down_steps
    if len(stages[0]) != len(stages[1]) or not stages[0]:
        raise InvalidValue(
            f"`up_down_epochs` is {stages[0]} and `up_down_steps` {stages[1]} but each "
            "stage needs one of both; give two lists of one length."
        )
    checks.images(config, data)
    checks.held_out(config.held_out, config.batch_size, data)
    checks.labels(data)
    for images, labels in split(config, data):
        pair_with_labels(images, labels, num_classes(data))


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[Params, dict[str, Any]]:
    """Trains and evaluates; returns the parameters and the numbers to record."""
    model = build(config, data)
    key_greedy, key_up_down, _ = jax.random.split(jax.random.key(config.seed), 3)
    train, unseen = split(config, data)
    rows = pair_with_labels(*train, num_classes(data))
    stack, layers = pretrain(config, model, rows, workdir, key_greedy)
    numbers = {"greedy": errors(model, stack, unseen)}
    params, records = fine_tune(
        config, model, stack, rows, unseen, workdir, key_up_down
    )
    numbers["up_down"] = errors(model, (*params.recognition, params.top), unseen)
    return {"greedy": stack, "up_down": params}, {
        "judged_by": "held-out" if config.held_out else "test",
        **numbers,
        "layers": layers,
        "epochs": records,
    }


def build(config: Config, data: Dataset) -> jboltz.LabelledDBN:
    units = map(jboltz.Bernoulli, config.layers)
    return jboltz.LabelledDBN.chain(*units, num_classes=num_classes(data))


def num_classes(data: Dataset) -> int:
    return int(np.asarray(data.train_labels).max()) + 1


def split(config: Config, data: Dataset) -> tuple[Images, Images]:
    """The images to train on, and unseen images to judge by."""
    if config.held_out:
        data = hold_out(data, config.held_out)
    train = data.train, np.asarray(data.train_labels)
    return train, (data.test, np.asarray(data.test_labels))


def errors(
    model: jboltz.LabelledDBN, params: DBNParams, unseen: Images
) -> dict[str, float]:
    """Errors by the exact p(y | code of the gray image) of the top RBM."""
    images, labels = unseen
    return vars(jboltz.error_rate(jboltz.classify(model, params, images), labels))


def pretrain(
    config: Config,
    model: jboltz.LabelledDBN,
    rows: tuple[Array, Array],
    workdir: Workdir,
    key: Key[Array, ""],
) -> tuple[DBNParams, list[dict[str, Any]]]:
    """Greedy training; the top RBM sees the labels beside the features."""
    updates = config.epochs * -(-len(rows[0]) // config.batch_size)
    rate = optax.linear_schedule(config.learning_rate, 0.0, updates)
    weight = config.discriminative

    def rule(index):
        rbm = model.layers[index]
        cd = jboltz.ContrastiveDivergence(rbm, jboltz.Gibbs(rbm))
        estimator, optimizer = jboltz.Centred(cd), optax.sgd(rate, config.momentum)
        if rbm == model.top and weight:
            # Scaled so that the generative part, whose rate is given, has weight 1.
            estimator = jboltz.HybridDiscriminative(estimator, 1 / weight)
            optimizer = optax.chain(optax.scale(weight), optimizer)
        return estimator, optimizer

    def start(below, key):
        # The visible units of the other layers start at means of one half.
        images = None if below else unit_interval(rows[0])
        return model.layers[len(below)].init(key, data=images)

    return greedy.pretrain(
        workdir,
        model.layers,
        rows,
        key,
        rule=rule,
        start=start,
        epochs=config.epochs,
        batch_size=config.batch_size,
        features=config.features,
    )


def fine_tune(
    config: Config,
    model: jboltz.LabelledDBN,
    stack: DBNParams,
    rows: tuple[Array, Array],
    unseen: Images,
    workdir: Workdir,
    key: Key[Array, ""],
) -> tuple[UpDownParams, list[dict[str, Any]]]:
    """Up–down, in stages of more and more Gibbs sweeps."""
    params, records, total = untie_weights(stack), [], sum(config.up_down_epochs)
    steps_per_epoch = -(-len(rows[0]) // config.batch_size)
    # Images are prepared for the first layer; labels pass unchanged.
    entrance = jboltz.RBM(model.visible, model.layers[0].hidden)
    prepare = jax.tree_util.Partial(jboltz.LayerFeatures((entrance,)), ())

    def follow(before, after):
        del before
        return {"held_out_error": _share_wrong(model, after, *unseen)}

    for index, (num_epochs, num_steps) in enumerate(
        zip(config.up_down_epochs, config.up_down_steps, strict=True)
    ):
        first, last = (
            config.up_down_learning_rate * (1 - done / total)
            for done in (len(records), len(records) + num_epochs)
        )
        optimizer = optax.sgd(
            optax.linear_schedule(first, last, num_epochs * steps_per_epoch)
        )
        estimator = jboltz.UpDown(
            model, num_steps, discriminative=config.discriminative
        )
        state, new = fit_with_checkpoints(
            workdir,
            f"up_down_{index + 1}",
            jboltz.make_train_step(estimator, optimizer),
            partial(jboltz.init_train_state, params, estimator, optimizer),
            rows,
            random.fold_in(key, index),
            batch_size=config.batch_size,
            num_epochs=num_epochs,
            prepare=prepare,
            loss="wake",
            monitor=follow if config.held_out else None,
        )
        params = state.params
        records += [{**record, "num_steps": num_steps} for record in new]
    return params, records


@partial(jax.jit, static_argnames="model")
def _share_wrong(model, params, images, labels):
    up = (*params.recognition, params.top)
    one = partial(model.label_log_probabilities, up)
    log_p = jax.lax.map(one, unit_interval(images), batch_size=500)
    return jnp.mean(jnp.argmax(log_p, axis=1) != labels)


def sample(config: Config, data: Dataset, params: DBNParams) -> dict[str, Array]:
    """Pictures of each class, by its number, from chains that start at noise."""
    model, count = build(config, data), num_classes(data)
    _, _, key = jax.random.split(jax.random.key(config.seed), 3)
    keys = jax.vmap(partial(random.fold_in_range, count=NUM_PICTURES))(
        random.fold_in_range(key, count)
    )
    labels = jnp.eye(count)[:, None]
    pictures = _generate(model, params, labels, keys, jnp.asarray(config.sample_steps))
    return {str(label): row for label, row in enumerate(pictures)}


@partial(jax.jit, static_argnames="model")
def _generate(model, params, labels, keys, num_steps):
    def one(label, key):
        key_start, key_chain = random.split(key)
        start, _ = model.top.sample_start(params[-1], key_start)
        return generate_labelled(
            model, params, start, label, key_chain, num_steps=num_steps
        )

    of_class = jax.vmap(one, in_axes=(None, 0))
    return jax.vmap(of_class)(labels, keys)


def draw_figures(
    config: Config, data: Dataset, params: Params, numbers: dict[str, Any]
) -> dict[str, Any]:
    shape, after = data.image_shape or (28, 28), params["up_down"]
    layers = {
        f"layer {index}": layer for index, layer in enumerate(numbers["layers"], 1)
    }
    nats = {
        "way down, on states of the way up": [x["loss"] for x in numbers["epochs"]],
        "way up, on states of the way down": [x["sleep"] for x in numbers["epochs"]],
    }
    return {
        "samples": plotting.image_rows(
            sample(config, data, (*after.generative, after.top)),
            shape,
            title="Samples of each class after up–down",
        ),
        "samples_greedy": plotting.image_rows(
            sample(config, data, params["greedy"]),
            shape,
            title="Samples of each class after greedy training",
        ),
        "losses": greedy.draw_losses(layers, rule="CD-1"),
        "up_down": plotting.curves(
            nats,
            title="How unlikely each pass finds the states of the other",
            ylabel="nats",
        ),
    }


def report(results: dict[str, Any]) -> None:
    for name, stage in (("greedy", "greedy training"), ("up_down", "up–down")):
        found = results[name]
        say(
            f"{results['judged_by']} error after {stage}: {with_error(found, 2, '%')}, "
            f"cross-entropy {found['cross_entropy']:.4f} nats"
        )


PROGRAM = program.Program(
    name="labels_mnist",
    config=Config,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
)

if __name__ == "__main__":
    program.main(PROGRAM)
