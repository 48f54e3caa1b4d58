"""Deep belief network on colour patches of CIFAR-10, and what its layers look for.
python -m jboltz.experiments.dbn_cifar10

The blog that goes with the PyTorch notes says that layer 1 learns edges and blobs of
colour, layer 2 strokes and textures, layer 3 parts. The program tests this by numbers
and figures, with a control beside each number: units with the same weights in another
order.

Reference: Lee, Ekanadham & Ng (2008), Sparse deep belief net model for visual area V2;
Krizhevsky (2009), Learning multiple layers of features from tiny images.
"""

import dataclasses
from typing import ClassVar, Literal

from jboltz.ranges import Activity, Count, Patches, Rate, Scale, Steps, Strength
from jboltz.runs.config import answer
from jboltz.runs.families import PatchConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PatchConfig):
    """Pretrains a DBN with Gaussian visible units on whitened patches of CIFAR-10."""

    PRESETS: ClassVar = {
        "small": {"num_patches": 20_000, "num_components": 64, "epochs": 15}
        | {"layers": [200, 100, 50], "sample_steps": 100},
    }

    GROUPS: ClassVar = {
        "model": ("layers", "weight_scale"),
        "data": ("deviation",),
        "output": ("sample_steps",),
        "evaluation": ("read_test",),
    }

    preset: Literal["small"] | None = None
    """Values to begin with: `small` takes a minute. Flags win."""
    layers: tuple[Count, ...] = (400, 200, 100)
    """Hidden units per layer, the top last; the whitened patches are below them."""
    patch_size: Count = 16
    num_patches: Patches = 40_000
    num_components: Count = 128
    """Principal directions that are kept, each with variance 1: the visible units."""
    epsilon: Scale = 1e-3
    deviation: Scale = 0.7
    """Standard deviation of a visible unit given the hidden ones; it is not learned.
    The smaller it is, the more hidden units a patch needs."""
    epochs: Count = 25
    """Epochs per layer, with every patch once per epoch."""
    learning_rate: Rate = 0.003
    """First step size of Adam, in every layer; it falls linearly to 0."""
    weight_scale: Scale = 0.05
    """Standard deviation of the initial weights of layer 1; in higher layers 0.01."""
    sparsity_targets: tuple[Activity, ...] = (0.03, 0.05, 0.1)
    """Target for the mean activity of the units of each layer, and its start."""
    sparsity_strengths: tuple[Strength, ...] = (10.0, 10.0, 10.0)
    """Weight of the squared distance from that target, in each layer; 0 is CD alone."""
    num_steps: Count = 1
    """k of CD-k: Gibbs sweeps from the data to the negative sample."""
    sample_steps: Steps = 1000
    """Gibbs sweeps of the longest chain, in the top RBM, in the figure of samples."""
    read_test: bool = True
    """Evaluate on patches of the test images; otherwise on those of held-out training
    images, on which settings are chosen."""


if __name__ == "__main__":
    # Before JAX is imported: --help and a wrong flag are answered at once.
    answer(Config, "dbn_cifar10")

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jboltz
from jboltz import DBN, Bernoulli, Gaussian, Gibbs, RBMParams, plotting
from jboltz.data import Dataset, WhitenedPatches, cifar10, whitened_patches
from jboltz.data.patches import as_pixels
from jboltz.errors import InvalidValue
from jboltz.evaluation import fields
from jboltz.evaluation.features import receptive_field
from jboltz.evaluation.monitors import reconstruction_errors
from jboltz.evaluation.shuffled import shuffle_units
from jboltz.learning.transforms import by_field
from jboltz.models.dbn import DBNParams
from jboltz.runs import checks, greedy, program
from jboltz.runs import patches as on_patches
from jboltz.runs.pictures import Pictures, draw_layers, draw_samples
from jboltz.runs.progress import say, with_error
from jboltz.runs.workdir import Workdir
from jboltz.units.gaussian import GaussianParams


def check(config: Config, data: Dataset) -> None:
    on_patches.check(config, data)
    checks.labels(data)
    if not config.layers or min(config.layers) < 2:
        raise InvalidValue(
            f"`layers` is {config.layers} but needs one or more sizes of at least 2: "
            "the hidden layers."
        )
    for name in ("sparsity_targets", "sparsity_strengths"):
        if len(getattr(config, name)) != len(config.layers):
            raise InvalidValue(
                f"`{name}` is {getattr(config, name)} but needs one number for each of "
                f"the {len(config.layers)} `layers`."
            )


def build(config: Config) -> DBN:
    return DBN.chain(Gaussian(config.num_components), *map(Bernoulli, config.layers))


def run(
    config: Config, data: Dataset, workdir: Workdir
) -> tuple[DBNParams, dict[str, Any]]:
    """Pretrains and evaluates; the parameters are those of whitened patches."""
    dbn, patches = build(config), whitened_patches(data, config, config.seed)
    train = jnp.asarray(patches.train)
    updates = config.epochs * -(-len(train) // config.batch_size)
    adam = optax.adam(optax.linear_schedule(config.learning_rate, 0.0, updates))

    def rule(index):
        rbm = dbn.layers[index]
        estimator = jboltz.Sparse(
            jboltz.ContrastiveDivergence(rbm, Gibbs(rbm), num_steps=config.num_steps),
            target=config.sparsity_targets[index],
            strength=config.sparsity_strengths[index],
        )
        fixed = {"log_variance": optax.set_to_zero()} if index == 0 else {}
        return estimator, by_field(adam, **fixed)

    params, layers = greedy.pretrain(
        workdir,
        dbn.layers,
        train,
        jax.random.key(config.seed),
        rule=rule,
        start=partial(start, config, dbn, train),
        monitored=train[: greedy.NUM_MONITORED],
        epochs=config.epochs,
        batch_size=config.batch_size,
    )
    stacks = {"learnt": params, "control": shuffled(config, dbn, params, patches)}
    forms = []
    for depth in range(1, len(params) + 1):
        of = {k: unit_forms(dbn, x[:depth], patches) for k, x in stacks.items()}
        forms.append(fields.summary(of["learnt"], of["control"]))
    judged_by = "test" if config.read_test else "validation"
    errors = fields.class_errors(
        dbn,
        stacks,
        {
            part: (getattr(patches, part), classes(data, patches, part))
            for part in ("train", "validation", judged_by)
        },
        patches.images[judged_by],
        num_classes=int(np.asarray(data.train_labels).max()) + 1,
        judged_by=judged_by,
    )
    judged = jnp.asarray(getattr(patches, judged_by))
    return params, {
        "layers": layers,
        "judged_by": judged_by,
        "reconstruction_errors": reconstruction_errors(dbn, params, judged),
        "forms": forms,
        "class_errors": errors,
        "verdicts": fields.verdicts(forms, errors),
    }


def unit_forms(
    dbn: DBN, params: DBNParams, patches: WhitenedPatches
) -> dict[str, np.ndarray]:
    return fields.unit_forms(dbn, params, patches.whitening.inverse, patches.shape)


def classes(data: Dataset, patches: WhitenedPatches, part: str) -> np.ndarray:
    """The class of the image that each patch of `part` was cut from."""
    labels = data.test_labels if part == "test" else data.train_labels
    return np.asarray(labels)[patches.images[part]]


def start(
    config: Config, dbn: DBN, train: jax.Array, below: DBNParams, key: jax.Array
) -> RBMParams:
    """The first parameters of a layer. Without the weights, its hidden units are as
    active as their target says, and its visible units as the data that reach them."""
    index = len(below)
    rbm, target = dbn.layers[index], config.sparsity_targets[index]
    # Whitened patches have means of 0, so they need no fit.
    codes = jax.vmap(dbn.encode, in_axes=(None, 0))(below, train) if below else None
    params = rbm.init(key, data=codes)
    log_odds = math.log(target) - math.log1p(-target)
    hidden = rbm.hidden.shift(params.hidden, jnp.full(rbm.hidden.size, log_odds))
    if index > 0:
        return RBMParams(visible=params.visible, hidden=hidden, weights=params.weights)
    log_variance = jnp.full(rbm.visible.size, 2 * math.log(config.deviation))
    return RBMParams(
        visible=GaussianParams(mean=params.visible.mean, log_variance=log_variance),
        hidden=hidden,
        weights=config.weight_scale * jax.random.normal(key, params.weights.shape),
    )


def shuffled(
    config: Config, dbn: DBN, params: DBNParams, patches: WhitenedPatches
) -> DBNParams:
    """The control: shuffled units, as active as the learnt ones on training patches."""
    key = jax.random.fold_in(jax.random.key(config.seed), len(params))
    return shuffle_units(dbn, params, jnp.asarray(patches.train[:5000]), key)


def draw_figures(
    config: Config, data: Dataset, params: DBNParams, numbers: dict[str, Any]
) -> dict[str, Any]:
    """The figures of a run, by file name; those of examples show held-out patches."""
    dbn, patches = build(config), whitened_patches(data, config, config.seed)

    # One scale for all patches: gray is the average one.
    limit = np.quantile(np.abs(as_pixels(patches, patches.validation)), 0.99)

    def of_states(x):
        return np.clip(0.5 + 0.5 * as_pixels(patches, x) / limit, 0, 1)

    pictures = Pictures(
        name="patch",
        names="patches",
        shape=patches.shape,
        norm=float(np.sqrt(config.num_components)),  # that of an average patch
        of_weights=lambda W: as_pixels(patches, W),
        of_states=of_states,
    )
    examples = jnp.asarray(patches.validation[:2000])
    labels = classes(data, patches, "validation")[:2000]
    names = np.asarray(cifar10.CLASSES)[labels]
    key = jax.random.fold_in(jax.random.key(config.seed), len(params) + 1)
    control = shuffled(config, dbn, params, patches)
    return {
        "filters": on_patches.filters(
            patches,
            params[0].weights,
            title="What each unit of layer 1 adds to a patch",
        ),
        "samples": draw_samples(
            dbn,
            params,
            jnp.asarray(patches.train[:16]),
            key,
            pictures,
            longest=config.sample_steps,
        ),
        **greedy.draw(
            numbers["layers"], rule=f"CD-{config.num_steps}", on="training patches"
        ),
        **draw_layers(dbn, params, examples, names, pictures, kind="held-out"),
        **draw_fields(dbn, params, control, patches),
    }


def draw_fields(
    dbn: DBN, params: DBNParams, control: DBNParams, patches: WhitenedPatches
) -> dict[str, Any]:
    """Figures by file name: the patches that excite units most, where receptive fields
    are, and how the numbers of a layer's units are distributed."""
    values = {name: {} for name in fields.FORMS.values()}
    top, circles = {}, {}
    for depth in range(1, len(params) + 1):
        for name, stack in (("", params), (", control", control)):
            found = unit_forms(dbn, stack[:depth], patches)
            for key, title in fields.FORMS.items():
                values[title][f"layer {depth}{name}"] = found[key]
        top[f"layer {depth}"] = top_patches(dbn, params[:depth], patches)
        filters = fields.pixel_filters(params[:depth], patches.whitening.inverse)
        circles[f"layer {depth}"] = jax.vmap(
            lambda w: receptive_field(w, patches.shape)
        )(jnp.asarray(filters))
    return {
        "top_patches": plotting.colour_tiles(
            top,
            patches.shape,
            title="A unit a row: what would excite it most, then the held-out patches "
            "that do",
        ),
        "fields": plotting.circles(
            circles,
            patches.shape,
            title="Receptive fields: centre and spread of each filter's energy",
        ),
        "forms": plotting.distributions(
            values, title="The units of each layer, beside units of shuffled weights"
        ),
    }


def top_patches(dbn: DBN, params: DBNParams, patches: WhitenedPatches) -> np.ndarray:
    """A row of ten tiles per unit: the patch that would excite the unit most, and the
    nine validation patches for which its mean is largest, less the average patch."""
    codes = fields.encode_all(dbn, params, patches.validation)
    # Evenly spaced units: their order means nothing, so none is chosen by eye.
    units = np.arange(0, codes.shape[1], max(1, codes.shape[1] // 10))[:10]
    exciting = fields.exciting_patches(
        dbn, params, patches.whitening.inverse, jnp.asarray(units)
    )
    rows: list[np.ndarray] = []
    for unit, picture in zip(units, exciting, strict=True):
        best = np.argsort(-codes[:, unit], kind="stable")[:9]
        rows += [picture[None], as_pixels(patches, patches.validation[best])]
    return np.concatenate(rows)


def report(results: dict[str, Any]) -> None:
    for index, (layer, error) in enumerate(
        zip(results["layers"], results["reconstruction_errors"], strict=True), start=1
    ):
        say(
            f"layer {index}  {layer['num_visible']}-{layer['num_hidden']}: loss "
            f"{layer['losses'][0]:.4f} to {layer['losses'][-1]:.4f}; mean "
            f"reconstruction of {results['judged_by']} patches through it: MSE "
            f"{error:.4f}"
        )
    report_fields(results)


def report_fields(results: dict[str, Any]) -> None:
    """Says each number of each layer beside that of the control, then the verdicts."""
    errors = results["class_errors"]
    for depth, layer in enumerate(results["forms"], start=1):
        learnt, control = layer["learnt"], layer["control"]
        for key, title in fields.FORMS.items():
            say(
                f"layer {depth}  {title:<29}{_percent(learnt[key])}"
                f"   control {_percent(control[key])}"
            )
        shares = [100 * x["edge_or_blob_share"] for x in (learnt, control)]
        say(
            f"layer {depth}  {'edges or blobs of colour':<29}{shares[0]:5.1f} %      "
            f"   control {shares[1]:5.1f} %"
        )
        say(
            f"layer {depth}  {'errors of class by its codes':<29}"
            f"{_percent(errors[depth]['learnt'])}"
            f"   control {_percent(errors[depth]['control'])}"
        )
    say(
        f"{'patches  errors of class':<38}{_percent(errors[0]['patches'])}"
        f"   on {results['judged_by']} patches"
    )
    for claim, is_true in results["verdicts"].items():
        say(f"{claim}: {'holds' if is_true else 'does not hold'}")


def _percent(found: dict[str, float]) -> str:
    return with_error(found, 1, "%").rjust(13)


PROGRAM = program.Program(
    name="dbn_cifar10",
    config=Config,
    check=check,
    run=run,
    draw_figures=draw_figures,
    report=report,
    model=lambda config, data: build(config),
)

if __name__ == "__main__":
    program.main(PROGRAM)
