"""A figure of each plotting function, of numbers that are hard to draw."""

import numpy as np

from jboltz import plotting

LONG = (
    "A title that is longer than its figure is wide, as titles of experiments are " * 2
)
CLOSE = {
    f"net {i}, trained on all digits": [3.0, 1.0, 0.1 + i / 1000] for i in range(6)
}
SPIKED = {"contrast": [-20.0, -9.0, 480_000.0, -8.0, -7.0, 90_000.0, *[-6.0] * 60]}
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse"]
NOISE = np.random.default_rng(0)
SPIKY = {"spikes": SPIKED}
SQUARE = {"a long name of a row of images": NOISE.random((2, 16))}


def clouds():
    """Points of classes whose medians nearly coincide."""
    labels = np.repeat(NAMES, 30)
    return NOISE.normal(size=(len(labels), 2)), labels


CASES = {
    "bars": lambda: plotting.bars(
        {
            f"CD-1, 784–500, batch of {i}, on one core": {
                "jboltz": (0.074, 0.07, 0.08),
                "a library with a long name": (58.3, 50.0, 60.0),
                "another": (0.1, 0.1, 0.1),
            }
            for i in range(4)
        },
        title=LONG,
        xlabel="seconds",
    ),
    "circles": lambda: plotting.circles(
        {f"layer {i}": ([[2.0, 5.0]], [1.5]) for i in range(3)}, (8, 9, 3), title=LONG
    ),
    "colour_tiles": lambda: plotting.colour_tiles(
        {f"layer {i}": NOISE.normal(size=(5, 12)) for i in range(2)},
        (2, 2, 3),
        title=LONG,
    ),
    "curve_panels": lambda: plotting.curve_panels(
        {f"{i} {LONG[:50]}": CLOSE for i in range(4)} | {"0": {"a": [0.0] * 9}} | SPIKY,
        title=LONG,
    ),
    "curves": lambda: plotting.curves(CLOSE, title=LONG, ylabel="nats"),
    "curves with spikes": lambda: plotting.curves(SPIKED, title="x", ylabel="nats"),
    "curves of one epoch": lambda: plotting.curves(
        {"a": [1e-9], "b": [-1e9]}, title="x", ylabel="x"
    ),
    "curves of no epoch": lambda: plotting.curves({"a": []}, title="x", ylabel="x"),
    "curves_over": lambda: plotting.curves_over(
        {f"panel {i}": {k: [(1, 9.0), (65536, 7e4)] for k in NAMES} for i in range(4)},
        title=LONG,
        xlabel="examples of a batch, or chains",
        yscale="log",
    ),
    "distributions": lambda: plotting.distributions(
        {f"form {i}": {"layer 1, control": [0.1, 0.2, 0.9]} for i in range(3)},
        title=LONG,
    ),
    "filters": lambda: plotting.filters(NOISE.normal(size=(16, 7)), (4, 4), title=LONG),
    "image_rows": lambda: plotting.image_rows(SQUARE, (4, 4), title=LONG),
    "image_rows of one image": lambda: plotting.image_rows(
        {"mean": NOISE.random(16), "σ": NOISE.random(16)}, (4, 4), title=LONG
    ),
    "scatter": lambda: plotting.scatter(
        *clouds(), title=LONG, axis_labels=("first component", "second")
    ),
    "states": lambda: plotting.states(
        {"v": NOISE.random((3, 16)), "the units of layer 1": NOISE.random((3, 7))},
        (4, 4),
        title=LONG,
    ),
}
