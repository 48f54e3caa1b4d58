"""Speed beside other libraries: `python -m jboltz.experiments.benchmark`.

`contest` says what a contest is and holds it. The contests are in `training`,
`sampling` and `deep`; `start` and `sweep` measure in ways of their own. Each library
that jboltz is compared with has a file whose name begins with `in_`.
"""
