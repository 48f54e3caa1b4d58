"""Filters and codes of a DBN trained on patches, compared with a control."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jboltz.evaluation.features import combined_filters, exciting_states
from jboltz.evaluation.filters import colour_share, filter_extent, filter_orientation
from jboltz.evaluation.likelihood import mean_with_error, per_example
from jboltz.evaluation.probe import fit_linear_probe, predict
from jboltz.models.dbn import DBN, DBNParams

Part = tuple[np.ndarray, np.ndarray]
"""Patches, (count, visible), and the class of the image of each patch."""

FORMS = {
    "extent": "extent of the filter",
    "orientation": "orientation",
    "colour_share": "share of colour",
    "exciting_extent": "extent of the exciting patch",
}
"""The measures of a unit that `unit_forms` computes, with their titles."""


def unit_forms(
    dbn: DBN,
    params: DBNParams,
    to_pixels: Float[np.ndarray, "visible pixels"],
    shape: tuple[int, ...],
) -> dict[str, np.ndarray]:
    """The measures in `FORMS` of every unit of the highest layer in `params`.

    The first three describe the unit's filter, a column of W₁ … W_l in pixels. The last
    is the extent of the patch of average norm that excites the unit most.

    Args:
      params: the parameters of the layers up to the one that is measured.
      to_pixels: the pixels of each visible unit, which is a whitened direction.
      shape: the shape of a patch.
    """
    filters = jnp.asarray(pixel_filters(params, to_pixels))
    chosen = jnp.arange(len(filters))
    exciting = jnp.asarray(exciting_patches(dbn, params, to_pixels, chosen))
    found = {
        "extent": jax.vmap(lambda w: filter_extent(w, shape))(filters),
        "orientation": jax.vmap(lambda w: filter_orientation(w, shape))(filters),
        "colour_share": jax.vmap(lambda w: colour_share(w, shape))(filters),
        "exciting_extent": jax.vmap(lambda w: filter_extent(w, shape))(exciting),
    }
    return {name: np.asarray(x, np.float64) for name, x in found.items()}


def pixel_filters(
    params: DBNParams, to_pixels: Float[np.ndarray, "visible pixels"]
) -> Float[np.ndarray, "units pixels"]:
    """The filters of the units of the highest layer (`combined_filters`), in pixels."""
    filters = combined_filters([layer.weights for layer in params])
    return np.asarray(filters.T) @ to_pixels


def exciting_patches(
    dbn: DBN,
    params: DBNParams,
    to_pixels: Float[np.ndarray, "visible pixels"],
    chosen: Int[Array, " chosen"],
) -> Float[np.ndarray, "chosen pixels"]:
    """For each chosen unit of the highest layer, the patch that excites it most."""
    norm = float(np.sqrt(len(to_pixels)))  # the norm of an average patch
    states = exciting_states(dbn, params, chosen, norm, depth=len(params))
    return np.asarray(states) @ to_pixels


def encode_all(dbn: DBN, params: DBNParams, x: Any) -> Any:
    """The codes of `x` in the highest layer of `params`; `x` if there are no layers."""
    return per_example(partial(dbn.encode, params), jnp.asarray(x), batch_size=1000)


def class_errors(
    dbn: DBN,
    stacks: dict[str, DBNParams],
    parts: Mapping[str, Part],
    images: np.ndarray,
    *,
    num_classes: int,
    judged_by: str,
) -> list[dict[str, dict[str, float]]]:
    """Error rates of linear probes that predict the class of an image from a patch.

    The first entry has the error of whitened "patches". Then each layer has an entry:
    the error with the codes of every stack, and as `less_than_…` the errors of the
    other stacks, of the patches and of the layer "below" (for layer 1, the patches)
    minus the error of the first stack. A probe is fitted on training patches with a
    penalty chosen on validation patches. Standard errors are over images, as patches of
    one image are not independent.

    Args:
      stacks: parameters by name; the first are compared with the others.
      parts: "train", "validation" and the part named `judged_by`.
      images: the image of each patch in the part `judged_by`.
      judged_by: the part on which errors are measured, "validation" or "test". On
        "validation" they are a little low, as the penalty is chosen there.
    """
    labels = {name: classes for name, (_, classes) in parts.items()}

    def wrong(params):
        codes = {name: encode_all(dbn, params, x) for name, (x, _) in parts.items()}
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
    """Means of the measures over the units of a layer and of its control, with errors.

    A filter is *localised* if 99 % of the control's filters have a larger extent,
    *oriented* if 99 % of them have a smaller orientation, and *coloured* if more than
    half of its energy is colour. `edge_or_blob_share` is the share of units that are
    localised, and oriented or coloured.
    """

    def edges_or_blobs(of):
        is_localised = of["extent"] < np.quantile(control["extent"], 0.01)
        is_oriented = of["orientation"] > np.quantile(control["orientation"], 0.99)
        is_coloured = of["colour_share"] > 0.5
        return float(np.mean(is_localised & (is_oriented | is_coloured)))

    found = {}
    for name, of in (("learnt", learnt), ("control", control)):
        found[name] = {key: mean_with_error(x) for key, x in of.items()}
        found[name]["edge_or_blob_share"] = edges_or_blobs(of)
    return found


def verdicts(
    layers: list[dict[str, Any]], errors: list[dict[str, Any]]
) -> dict[str, bool]:
    """Whether the layers meet criteria for "edges; strokes and textures; parts".

    - Layer 1: `edge_or_blob_share` is at least one half.
    - Every higher layer: the patches that excite its units are wider than the patches
      for the layer below.
    - Every layer: a linear probe of its codes predicts the class of the image better
      than a probe of the control's codes, and than a probe of the layer below (of the
      patches for layer 1).

    Wider and better mean by more than two standard errors.
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


def _over_images(values: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """The mean over patches, with its standard error over draws of the images."""
    _, inverse, counts = np.unique(images, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, values) / counts
    return mean_with_error(means, counts)
