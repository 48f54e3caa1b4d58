"""Tables of numbers, a line a row."""

from typing import Any

from jboltz.evaluation.quality import QualityTable
from jboltz.runs.likelihoods import say_likelihood
from jboltz.runs.progress import say, with_error

COLUMNS = {
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "adversarial_accuracy": "adversary",
    "pairwise_distance": "apart",
    "total_variance": "variance",
    "nearest_training": "nearest",
    "laplacian_variance": "laplacian",
    "tenengrad": "tenengrad",
    "saturation": "saturation",
}
"""Each number, and what it is called above its column."""


def say_sample_quality(table: QualityTable) -> None:
    """One line for each set of samples, below a line that names the columns."""
    width = max(map(len, table))
    say(" " * width + "".join(f"{x:>11}" for x in COLUMNS.values()))
    for name, found in table.items():
        numbers = "".join(f"{found[key]:11.4g}" for key in COLUMNS)
        say(f"{name:>{width}}{numbers}")


def say_pixel_errors(found: dict[str, Any]) -> None:
    """One line for each reconstruction in what `pixel_errors` found."""
    errors = dict(found)
    least = errors.pop("least_cross_entropy")
    say(
        "mean reconstructions of test images, a pixel (no cross-entropy is below "
        f"{least:.4f}):"
    )
    for name, numbers in errors.items():
        squared = with_error(numbers["squared_error"], 5)
        nats = with_error(numbers["cross_entropy"], 5, "nats")
        say(f"{name:>20}: squared error {squared}, cross-entropy {nats}")


def say_bounds(bounds: dict[str, Any]) -> None:
    """One line for each model and each of its two bounds."""
    say(
        f"log-likelihood of {bounds['num_examples']} test images, evenly spaced, "
        f"{bounds['binarisation']}, in nats:"
    )
    tightened = f"bound of {bounds['num_weights']} weights"
    names = {"elbo": "ELBO", "importance_weighted": tightened}
    for model, numbers in bounds["models"].items():
        for key, name in names.items():
            say_likelihood(f"{model + ', ' + name:>46}", numbers[key])
