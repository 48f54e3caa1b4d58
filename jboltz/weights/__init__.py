"""Parameters from other programs, and back.

    rbm, params = from_torch(net.state_dict())
    dbn, params = stack([from_matlab("mnistvh.mat"), from_matlab("mnisthp.mat")])
    torch.save(to_torch(rbm, params), "rbm.pth")

`params_from` takes arrays for a model that you name, and says what does not fit. The
others find the arrays by their names, and return the model too. No file is unpickled.
"""

from jboltz.weights.arrays import Convention, params_from
from jboltz.weights.files import (
    from_learnergy,
    from_matlab,
    from_npz,
    from_rbms,
    from_sklearn,
    from_torch,
    to_sklearn,
    to_torch,
)
from jboltz.weights.named import STYLES, from_arrays, stack, to_arrays

__all__ = [
    "STYLES",
    "Convention",
    "from_arrays",
    "from_learnergy",
    "from_matlab",
    "from_npz",
    "from_rbms",
    "from_sklearn",
    "from_torch",
    "params_from",
    "stack",
    "to_arrays",
    "to_sklearn",
    "to_torch",
]
