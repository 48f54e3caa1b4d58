"""Parameters from other programs, and back.

    rbm, params = read(net.state_dict())  # of PyTorch; or of a fitted BernoulliRBM
    dbn, params = read(["mnistvh.mat", "mnisthp.mat"])
    arrays = to_arrays(rbm, params, names="learnergy")
    net.load_state_dict({name: torch.from_numpy(x) for name, x in arrays.items()})

`read` finds the arrays by their names and returns the model too, `params_from` takes
arrays for a model that you name. Nothing is unpickled.
"""

from jboltz.weights.arrays import Convention, params_from
from jboltz.weights.named import STYLES, read, to_arrays, to_sklearn

__all__ = [
    "STYLES",
    "Convention",
    "params_from",
    "read",
    "to_arrays",
    "to_sklearn",
]
