"""Speed beside other libraries: `python -m jboltz.experiments.benchmark`.

`contest` says what a contest is and holds it; `worker` is the process of a contestant,
and `quiet` watches the machine. The contests are in `training`, `sampling` and `deep`,
their sizes in `sizes`, the products beside them in `floors`; `start` and `sweep`
measure in ways of their own. Each library that jboltz is compared with has a file whose
name begins with `in_`.
"""
