"""jboltz sample MODEL: new rows, in the units of the data."""

from typing import Any

import jax

import jboltz
from jboltz.commands import models, rows


def run(options: Any) -> None:
    """Writes the ends of Gibbs chains that start at noise; gray values are means."""
    rows.check(options.out)
    trained = models.load(options.model)
    is_gray = trained.encoding.has_gray
    _, states, _ = jboltz.sample(
        trained.model,
        trained.params,
        jax.random.key(options.seed),
        warm_up=options.steps,
        num_chains=options.n,
        observe=jboltz.observe_visible_mean if is_gray else jboltz.observe_visible,
    )
    columns = trained.encoding.decode(jax.tree.map(lambda x: x[0], states))
    rows.write({name: columns[name] for name in trained.notes["names"]}, options.out)
