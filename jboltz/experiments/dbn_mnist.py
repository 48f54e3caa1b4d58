"""Deep belief network on MNIST.    python -m jboltz.experiments.dbn_mnist

Reference: Hinton, Osindero & Teh (2006), A fast learning algorithm for deep belief
nets. The defaults are those of the PyTorch notes that jboltz reimplements.
"""

import dataclasses
from typing import ClassVar, Literal

from jboltz.choices import Features
from jboltz.ranges import Count, Rate, Scale, Steps
from jboltz.runs.config import TrainingConfig, answer
from jboltz.runs.sources import Mnist


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    """Pretrains a deep belief network on MNIST, greedily, layer by layer."""

    PRESETS: ClassVar = {
        "blog": {"epochs": 100, "schedule": "blog", "clip": 4.0, "scaling": "min-max"}
    }

    GROUPS: ClassVar = {
        "model": ("layers",),
        "data": ("scaling",),
        "output": ("sample_steps",),
    }

    preset: Literal["blog"] | None = None
    """Values to begin with: `blog` is the recipe of the blog that goes with the PyTorch
    notes. Flags win."""
    layers: tuple[Count, ...] = (784, 500, 200)
    """Units per layer: the pixels first, the top last."""
    epochs: Count = 5
    """Epochs per layer, with every example once per epoch."""
    batch_size: Count = 64
    learning_rate: Rate = 0.01
    """Step size of plain SGD, if there is no schedule."""
    schedule: Literal["blog"] | None = None
    """`blog`: the step size falls from 0.1 to 0.01 at epoch 10, 0.001 at epoch 50 and
    0.0001 at epoch 100, in every layer."""
    clip: Scale | None = None
    """Largest size of a weight or a bias; every update is cut to stay within it."""
    scaling: Literal["min-max"] | None = None
    """`min-max` scales each pixel to [0, 1] by its least and largest value in the
    training images."""
    num_steps: Count = 1
    """k of CD-k: Gibbs sweeps from the data to the negative sample."""
    features: Features = "means"
    """What a layer passes up: means of the gray images, binarised afresh each epoch,
    samples of binarised images, or `probabilities`: means that are not binarised."""
    sample_steps: Steps = 1000
    """Gibbs sweeps of the longest chain, in the top RBM, in the figure of samples."""
    data: Mnist = dataclasses.field(default_factory=Mnist)


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "dbn_mnist")

from typing import Any

import jax
import jax.numpy as jnp
import optax

import jboltz
from jboltz import DBN, plotting, random
from jboltz.data import Dataset, scale_pixels
from jboltz.evaluation.monitors import reconstruction_errors
from jboltz.learning.pretrain import unit_interval
from jboltz.learning.schedules import BLOG_POINTS, PiecewiseRate
from jboltz.learning.transforms import project, within
from jboltz.models.dbn import DBNParams
from jboltz.runs import checks, greedy, program
from jboltz.runs.pictures import Pictures, draw_layers, draw_samples
from jboltz.runs.progress import say
from jboltz.runs.workdir import Workdir

BLOG_ERRORS = {1: 0.235, 10: 0.128, 30: 0.082}
"""Reconstruction error after so many epochs, of an RBM with 500 hidden units: the error
table of the blog that goes with the PyTorch notes."""


def check(config: Config, data: Dataset) -> None:
    checks.layers(config.layers, data)
    checks.images(config, data)


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[DBNParams, dict[str, Any]]:
    """Pretrains and evaluates; returns the parameters and the numbers to record."""
    dbn, data = build(config), scale_pixels(data, config.scaling)
    # Keys: layer i of the fold draws from fold_in(key_train, i).
    key_train, _ = random.split(jax.random.key(config.seed))
    train = jnp.asarray(data.train)

    # Biases start at 0, as in the recorded run: one pixel in five of a digit is on, and
    # CD-1 copes with that. For sparser data start at `init(key, data=…)`.
    def rule(index):
        rbm = dbn.layers[index]
        estimator = jboltz.ContrastiveDivergence(
            rbm, jboltz.Gibbs(rbm), num_steps=config.num_steps
        )
        return estimator, make_optimizer(config, len(train))

    params, layers = greedy.pretrain(
        workdir,
        dbn.layers,
        train,
        key_train,
        rule=rule,
        start=lambda below, key: dbn.layers[len(below)].init(key),
        monitored=unit_interval(jnp.asarray(data.train[: greedy.NUM_MONITORED])),
        epochs=config.epochs,
        batch_size=config.batch_size,
        features=config.features,
    )
    test = unit_interval(jnp.asarray(data.test))
    errors = reconstruction_errors(dbn, params, test)
    return params, {"layers": layers, "test": {"reconstruction_errors": errors}}


def build(config: Config) -> DBN:
    return DBN.chain(*map(jboltz.Bernoulli, config.layers))


def make_optimizer(config: Config, num_examples: int) -> optax.GradientTransformation:
    """SGD at a constant rate or by a schedule, and within `clip` if that is given."""
    rate = config.learning_rate
    if config.schedule == "blog":
        rate = PiecewiseRate(BLOG_POINTS, -(-num_examples // config.batch_size))
    optimizer = optax.sgd(rate)
    if config.clip is None:
        return optimizer
    return optax.chain(optimizer, project(within(-config.clip, config.clip)))


def draw_figures(
    config: Config, data: Dataset, params: DBNParams, numbers: dict[str, Any]
) -> dict[str, Any]:
    dbn, data = build(config), scale_pixels(data, config.scaling)
    pictures = Pictures(
        name="digit",
        names="digits",
        shape=data.image_shape or (28, 28),
        # Log-odds of the pixels are moved by 2 on average (root mean square).
        norm=2 * config.layers[0] ** 0.5,
    )
    # Every tenth of the first 160 digits: all classes, and none is chosen by eye.
    starts = unit_interval(jnp.asarray(data.train[:160:10]))
    test = unit_interval(jnp.asarray(data.test[:2000]))
    labels = None if data.test_labels is None else data.test_labels[: len(test)]
    _, key = random.split(jax.random.key(config.seed))
    return {
        "filters": plotting.filters(
            params[0].weights,
            pictures.shape,
            title="First-layer filters, largest norm first",
        ),
        "samples": draw_samples(
            dbn, params, starts, key, pictures, longest=config.sample_steps
        ),
        **greedy.draw(
            numbers["layers"], rule=f"CD-{config.num_steps}", on="training digits"
        ),
        **draw_layers(dbn, params, test, labels, pictures, kind="test"),
    }


def report(results: dict[str, Any]) -> None:
    errors = results["test"]["reconstruction_errors"]
    for index, (layer, error) in enumerate(
        zip(results["layers"], errors, strict=True), start=1
    ):
        losses = " ".join(f"{loss:.4f}" for loss in layer["losses"])
        sizes = f"{layer['num_visible']}-{layer['num_hidden']}"
        say(f"layer {index} ({sizes})  training losses {losses}")
        say(f"  mean reconstruction of test images through it: MSE {error:.4f}")
    say(
        "figures/samples.png shows Gibbs chains of the whole model. A few epochs of "
        "CD-1 train it beside the data only, so long chains leave their digit, most "
        "often for a one. For samples that are digits run "
        "`python -m jboltz.experiments.rbm_mnist --preset digits`, three minutes."
    )
    if results["config"]["schedule"] != "blog":
        return
    first = results["layers"][0]
    for epoch, error in BLOG_ERRORS.items():
        if epoch <= len(first["losses"]):
            sampled = first["losses"][epoch - 1]
            mean = first["monitors"]["through_error"][epoch - 1]
            say(
                f"layer 1 after epoch {epoch}: MSE {sampled:.4f} sampled, {mean:.4f} "
                f"of means; the blog has {error:.3f}"
            )


PROGRAM = program.Program(
    name="dbn_mnist",
    config=Config,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
    model=lambda config, data: build(config),
)

if __name__ == "__main__":
    program.main(PROGRAM)
