"""jboltz encode MODEL DATA: the means of the hidden units, one line per row."""

from functools import partial
from typing import Any

import numpy as np

from jboltz.commands import models, rows
from jboltz.evaluation.likelihood import per_example


def run(options: Any) -> None:
    """Writes E[h | v] of every row."""
    rows.check(options.out)
    trained = models.load(options.model)
    examples, _ = models.states(trained, options.data, options.seed)
    encode = partial(trained.model.mean_hidden_state, trained.params)
    codes = per_example(encode, examples.values, batch_size=1000)
    rows.write({"hidden": np.asarray(codes, np.float32)}, options.out)
