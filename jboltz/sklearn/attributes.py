"""Parameters as scikit-learn keeps them: in attributes, as arrays of NumPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jboltz.base import Params

# Where a leaf of a record is kept; other leaves are kept under their own names.
_ATTRIBUTES = {
    ".weights": "components_",
    ".hidden.bias": "intercept_hidden_",
    ".spike_bias": "intercept_hidden_",
    ".visible.bias": "intercept_visible_",
    ".visible.mean": "intercept_visible_",
    ".visible_bias": "intercept_visible_",
    ".visible.log_variance": "log_variance_visible_",
}


def record_from(like: Params, attributes: dict[str, Any]) -> Params:
    """A record of the structure of `like`, on the device, from fitted attributes."""

    def leaf(path, _):
        name = _attribute(path)
        value = attributes[name].T if name == "components_" else attributes[name]
        return jnp.asarray(value, jnp.result_type(float))

    return jax.tree_util.tree_map_with_path(leaf, like)


def attributes_of(params: Params, dtype: Any) -> dict[str, np.ndarray]:
    """The fitted attributes of a record; weights are (n_components, n_features)."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    found = {_attribute(path): np.asarray(leaf, dtype) for path, leaf in leaves}
    return found | {"components_": found["components_"].T}


def _attribute(path) -> str:
    name = jax.tree_util.keystr(path)
    return _ATTRIBUTES.get(name, f"{name.removeprefix('.')}_")
