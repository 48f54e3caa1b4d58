"""What the units of a DBN on patches stand for: numbers a layer, beside a control."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jboltz import plotting
from jboltz.data import Dataset
from jboltz.evaluation.features import combined_filters, receptive_field
from jboltz.evaluation.filters import colour_share, filter_extent, filter_orientation
from jboltz.evaluation.likelihood import weighted_mean_and_error
from jboltz.evaluation.probe import fit_linear_probe, predict
from jboltz.experiments import _run
from jboltz.experiments._layers import maximise
from jboltz.experiments._patches import Patches, as_pixels
from jboltz.models.dbn import DBN, DBNParams

FORMS = {
    "extent": "extent of the filter",
    "orientation": "orientation",
    "colour_share": "share of colour",
    "exciting_extent": "extent of the exciting patch",
}
"""Numbers of one unit, with their titles."""


def forms(
    dbn: DBN, params: DBNParams, patches: Patches, *, depth: int
) -> dict[str, np.ndarray]:
    """Of every unit of layer `depth`: the `extent`, `orientation` and `colour_share` of
    its filter by linear combination, W₁ … W_depth as pixels, and the extent of the
    patch of average norm that excites it most, through all nonlinearities."""
    filters = pixel_filters(params, patches, depth=depth)
    exciting = _exciting(dbn, params[:depth], patches, jnp.arange(len(filters)))
    found = {
        "extent": _each(filter_extent, filters, patches),
        "orientation": _each(filter_orientation, filters, patches),
        "colour_share": _each(colour_share, filters, patches),
        "exciting_extent": _each(filter_extent, exciting, patches),
    }
    return {name: np.asarray(x, np.float64) for name, x in found.items()}


def pixel_filters(params: DBNParams, patches: Patches, *, depth: int) -> np.ndarray:
    """(units, pixels): what a unit of layer `depth` adds, by linear combination."""
    filters = combined_filters([layer.weights for layer in params[:depth]])
    return as_pixels(patches, filters.T)


def class_errors(
    dbn: DBN,
    stacks: dict[str, DBNParams],
    data: Dataset,
    patches: Patches,
    *,
    judged_by: str,
) -> list[dict[str, dict[str, float]]]:
    """How often a linear function of a patch's code misses the class of its image.

    Of the whitened patches themselves first, as "patches"; then of each layer, the
    codes of every stack, and in `less_than_…` how much lower the errors of the first
    are than those of the other stacks, of the patches and of what is "below" the layer:
    the patches again, or the codes of the layer before. Fitted on training patches, its
    penalty chosen on validation patches. Standard errors are over images, as patches of
    one image are not independent.

    Args:
      judged_by: the part whose patches are judged, "validation" or "test"; by the first
        all errors are a little low, as the penalty was chosen there.
    """
    assert data.train_labels is not None
    labels = {
        part: np.asarray(data.test_labels if part == "test" else data.train_labels)[
            patches.images[part]
        ]
        for part in ("train", "validation", judged_by)
    }
    num_classes = int(np.max(data.train_labels)) + 1
    images = patches.images[judged_by]

    def wrong(params):
        codes = {part: _encode(dbn, params, getattr(patches, part)) for part in labels}
        probe = fit_linear_probe(
            codes["train"],
            labels["train"],
            codes["validation"],
            labels["validation"],
            num_classes=num_classes,
        )
        missed = predict(probe, codes[judged_by]) != labels[judged_by]
        return missed.astype(np.float64)

    below = of_patches = wrong(())
    found = [{"patches": _over_images(of_patches, images)}]
    for depth in range(1, len(dbn.layers) + 1):
        of = {name: wrong(params[:depth]) for name, params in stacks.items()}
        first, *others = of
        gains = {name: of[name] - of[first] for name in others}
        gains["patches"] = of_patches - of[first]
        gains["below"] = below - of[first]
        below = of[first]
        found.append(
            {name: _over_images(x, images) for name, x in of.items()}
            | {f"less_than_{k}": _over_images(x, images) for k, x in gains.items()}
        )
    return found


def summary(
    learnt: dict[str, np.ndarray], control: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Means over the units of a layer, and their standard errors, beside the control.

    A filter is *localised* where its extent is below that of 99 % of the control's
    filters, and *oriented* where its orientation is above that of 99 %; it is
    *coloured* where more than half of its energy is colour. `edge_or_blob_share` is
    that of the units localised and, besides, oriented or coloured.
    """

    def edges_or_blobs(of):
        is_localised = of["extent"] < np.quantile(control["extent"], 0.01)
        is_oriented = of["orientation"] > np.quantile(control["orientation"], 0.99)
        is_coloured = of["colour_share"] > 0.5
        return float(np.mean(is_localised & (is_oriented | is_coloured)))

    found = {}
    for name, of in (("learnt", learnt), ("control", control)):
        found[name] = {key: _mean_and_error(x) for key, x in of.items()}
        found[name]["edge_or_blob_share"] = edges_or_blobs(of)
    return found


def verdicts(
    layers: list[dict[str, Any]], errors: list[dict[str, Any]]
) -> dict[str, bool]:
    """The table "edges; strokes and textures; parts", as a criterion for each line.

    - Layer 1: at least half of its units are `edge_or_blob_share`.
    - Every higher layer: the patches that excite its units are wider than those of the
      layer below.
    - Every layer: a linear function of its codes tells the class of the image better
      than one of the control's codes, and than one of what the layer was given: the
      patches, or the codes below, of which there may be more.

    More, wider and better are so by more than two standard errors.
    """
    found = {
        "layer 1 is edges or blobs of colour": (
            layers[0]["learnt"]["edge_or_blob_share"] >= 0.5
        )
    }
    widths = [layer["learnt"]["exciting_extent"] for layer in layers]
    for depth, (below, above) in enumerate(itertools.pairwise(widths), start=2):
        error = np.hypot(below["standard_error"], above["standard_error"])
        found[f"layer {depth} sees more of the patch than layer {depth - 1}"] = bool(
            above["mean"] - below["mean"] > 2 * error
        )
    for depth, gains in enumerate(errors[1:], start=1):
        below = f"layer {depth - 1}" if depth > 1 else "the patches"
        for name, other in (("control", "its control"), ("below", below)):
            gain = gains[f"less_than_{name}"]
            found[f"layer {depth} tells the class better than {other}"] = (
                gain["mean"] > 2 * gain["standard_error"]
            )
    return found


def draw(
    dbn: DBN, params: DBNParams, control: DBNParams, patches: Patches
) -> dict[str, Any]:
    """Figures by file name: the patches that excite units most, where receptive fields
    are, and how the numbers of a layer's units are distributed."""
    values = {name: {} for name in FORMS.values()}
    top, fields = {}, {}
    for depth in range(1, len(params) + 1):
        for name, stack in (("", params), (", control", control)):
            found = forms(dbn, stack, patches, depth=depth)
            for key, title in FORMS.items():
                values[title][f"layer {depth}{name}"] = found[key]
        filters = pixel_filters(params, patches, depth=depth)
        top[f"layer {depth}"] = _top_patches(dbn, params[:depth], patches)
        field = _each(
            lambda w, shape: receptive_field(w, shape, window=1), filters, patches
        )
        fields[f"layer {depth}"] = (field.centre, field.spread)
    return {
        "top_patches": plotting.colour_tiles(
            top,
            patches.shape,
            title="A unit a row: what would excite it most, then the held-out patches "
            "that do",
        ),
        "fields": plotting.circles(
            fields,
            patches.shape,
            title="Receptive fields: centre and spread of each filter's energy",
        ),
        "forms": plotting.distributions(
            values, title="The units of each layer, beside units of shuffled weights"
        ),
    }


def report(results: dict[str, Any]) -> None:
    """A line a layer and number, the control's behind; then the verdicts."""
    errors = results["class_errors"]
    for depth, layer in enumerate(results["forms"], start=1):
        learnt, control = layer["learnt"], layer["control"]
        for key, title in FORMS.items():
            _run.say(
                f"layer {depth}  {title:<29}{_percent(learnt[key])}"
                f"   control {_percent(control[key])}"
            )
        shares = [100 * x["edge_or_blob_share"] for x in (learnt, control)]
        _run.say(
            f"layer {depth}  {'edges or blobs of colour':<29}{shares[0]:5.1f} %      "
            f"   control {shares[1]:5.1f} %"
        )
        _run.say(
            f"layer {depth}  {'errors of class by its codes':<29}"
            f"{_percent(errors[depth]['learnt'])}"
            f"   control {_percent(errors[depth]['control'])}"
        )
    _run.say(
        f"{'patches  errors of class':<38}{_percent(errors[0]['patches'])}"
        f"   on {results['judged_by']} patches"
    )
    for claim, is_true in results["verdicts"].items():
        _run.say(f"{claim}: {'holds' if is_true else 'does not hold'}")


def _each(measure, filters, patches):
    return jax.vmap(lambda w: measure(w, patches.shape))(jnp.asarray(filters))


def _encode(dbn: DBN, params: DBNParams, x: Any) -> np.ndarray:
    def encode(v):
        return dbn.encode(params, v)

    return np.asarray(jax.lax.map(encode, jnp.asarray(x), batch_size=1000))


def _top_patches(dbn: DBN, params: DBNParams, patches: Patches) -> np.ndarray:
    """A row of ten tiles a unit: the patch that would excite it most, and the nine
    validation patches with the largest means of it, less the average patch."""
    codes = _encode(dbn, params, patches.validation)
    # Evenly spread: their order means nothing, so this is no choice by eye.
    units = np.arange(0, codes.shape[1], max(1, codes.shape[1] // 10))[:10]
    exciting = _exciting(dbn, params, patches, jnp.asarray(units))
    rows: list[np.ndarray] = []
    for unit, picture in zip(units, exciting, strict=True):
        best = np.argsort(-codes[:, unit], kind="stable")[:9]
        rows += [picture[None], as_pixels(patches, patches.validation[best])]
    return np.concatenate(rows)


def _exciting(
    dbn: DBN, params: DBNParams, patches: Patches, chosen: Array
) -> np.ndarray:
    """Of the chosen units of the last of `params`, the patch that excites it most."""
    norm = float(np.sqrt(patches.train.shape[1]))  # that of an average patch
    return as_pixels(patches, maximise(dbn, params, chosen, norm, depth=len(params)))


def _over_images(values: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """The mean over patches, with its standard error as if images were drawn afresh."""
    _, inverse, counts = np.unique(images, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, values) / counts
    mean, error = weighted_mean_and_error(means, counts)
    return {"mean": mean, "standard_error": error}


def _mean_and_error(values: np.ndarray) -> dict[str, float]:
    mean, error = weighted_mean_and_error(values, None)
    return {"mean": mean, "standard_error": error}


def _percent(found: dict[str, float]) -> str:
    return f"{100 * found['mean']:5.1f} ± {100 * found['standard_error']:.1f} %"
