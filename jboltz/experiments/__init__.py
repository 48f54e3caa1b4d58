"""Programs: python -m jboltz.experiments.NAME. What came out is in experiments/."""

import importlib.util
import sys

from jboltz.runs import terminal

if sys.argv[0] == "-m":
    # Python is about to run one of them: before it imports JAX.
    terminal.take_over()

_NEEDED = "tyro tomli_w rich jinja2 matplotlib requests tensorboardX".split()
_MISSING = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
if _MISSING:
    # Before any program imports them: a message, not a traceback.
    print(
        f"error: {', '.join(_MISSING)} not installed, but the programs need it; "
        "run `pip install 'jboltz[experiments]'`.",
        file=sys.stderr,
    )
    sys.exit(2)
