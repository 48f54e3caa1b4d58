"""Speed beside other libraries: `python -m jboltz.experiments.benchmark`.

`tasks` says, as data, what is measured, and `sizes` how much of it. `contest` holds the
contest of a task; `worker` is the process of a contestant, and `quiet` watches the
machine. A file whose name begins with `in_` has the contestants by one library, and
`floors` the matrix products alone. `start` and `sweep` measure in ways of their own.
`accelerator` and `cost` are further programs; what they time is in `on_device`.
"""
