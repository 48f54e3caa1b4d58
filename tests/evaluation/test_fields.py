"""Edges, blobs and verdicts are what their criteria say."""

import numpy as np

from jboltz.evaluation import fields


def units(extent, orientation, colour_share):
    values = {"extent": extent, "orientation": orientation}
    values |= {"colour_share": colour_share, "exciting_extent": extent}
    return {name: np.asarray(x, float) for name, x in values.items()}


def test_edges_and_blobs_are_localised_and_oriented_or_coloured():
    control = units(np.linspace(0.9, 1.1, 101), np.linspace(0, 0.2, 101), [0.2] * 101)
    # An edge, a blob of colour, a blob of gray, a grating, a coloured grating.
    learnt = units(
        [0.3, 0.3, 0.3, 1.0, 1.0],
        [0.8, 0.0, 0.0, 0.9, 0.9],
        [0.0, 0.9, 0.1, 0.0, 0.9],
    )
    found = fields.summary(learnt, control)
    assert found["learnt"]["edge_or_blob_share"] == 2 / 5
    assert found["control"]["edge_or_blob_share"] <= 0.01
    np.testing.assert_allclose(found["learnt"]["extent"]["mean"], 2.9 / 5)


def test_a_verdict_is_its_criterion():
    def layer(mean, share):
        form = {"mean": mean, "standard_error": 0.03}
        return {"learnt": {"exciting_extent": form, "edge_or_blob_share": share}}

    def errors(**gains):
        of = {f"less_than_{k}": x for k, x in gains.items()}
        return {k: {"mean": x, "standard_error": 0.01} for k, x in of.items()}

    # √2 · 0.03 · 2 = 0.085.
    layers = [layer(0.5, 0.5), layer(0.58, 0.0), layer(0.67, 0.0)]
    gains = [
        {},
        errors(control=0.03, below=0.021),
        errors(control=0.019, below=0.03),
        errors(control=0.03, below=-0.03),
    ]
    assert fields.verdicts(layers, gains) == {
        "layer 1 is edges or blobs of colour": True,
        "layer 2 sees more of the patch than layer 1": False,
        "layer 3 sees more of the patch than layer 2": True,
        "layer 1 tells the class better than its control": True,
        "layer 1 tells the class better than the patches": True,
        "layer 2 tells the class better than its control": False,
        "layer 2 tells the class better than layer 1": True,
        "layer 3 tells the class better than its control": True,
        "layer 3 tells the class better than layer 2": False,
    }
    layers[0]["learnt"]["edge_or_blob_share"] = 0.49
    assert not next(iter(fields.verdicts(layers, gains).values()))


def test_errors_are_over_images_and_not_over_patches():
    """Patches of one image that are all alike are one observation."""
    images = np.repeat(np.arange(10), 50)
    wrong = np.repeat([0.0, 1.0], 250)
    found = fields._over_images(wrong, images)
    assert found["mean"] == 0.5
    np.testing.assert_allclose(found["standard_error"], np.sqrt(0.25 / 9))
