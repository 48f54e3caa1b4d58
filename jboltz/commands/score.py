"""jboltz score MODEL DATA: how likely a model finds rows, and which are odd."""

from typing import Any

import numpy as np

from jboltz.commands import judging, models, rows, tables
from jboltz.learning.rows import num_rows
from jboltz.runs.progress import say

NUM_ODD = 10
"""How many rows, those of the highest free energies, are named."""


def run(options: Any) -> None:
    """Says the mean likelihood and the odd rows; writes two scores of every row."""
    rows.check(options.out)
    trained = models.load(options.model)
    examples, batch = models.states(trained, options.data, options.seed)
    energies = judging.free_energies(trained.model, trained.params, examples)
    log_z, volume = trained.notes["log_partition"], trained.encoding.log_volume
    whole = tables.complete(batch)
    if count := num_rows(whole):
        examples = tables.judged(trained.encoding, whole, options.seed)
        found = judging.likelihood(
            trained.model, trained.params, examples, log_z, volume
        )
        rows_said = f"{count} rows without gaps{examples.binarisation}"
        judging.say_found(found, rows_said)
    say("the rows of the highest free energies, from row 0 on, in nats:")
    for row in np.argsort(-energies, kind="stable")[:NUM_ODD]:
        say(f"  row {row}: {energies[row]:.2f}")
    if options.out is not None:
        log_likelihood = -energies - log_z["value"] - volume
        scores = {"free_energy": energies, "log_likelihood": log_likelihood}
        rows.write(scores, options.out)
