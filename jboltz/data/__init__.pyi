"""The names of `jboltz.data`, each from where it is defined."""

from . import readers as readers
from .checks import (
    check_values as check_values,
)
from .cifar10 import (
    load_cifar10 as load_cifar10,
)
from .dataset import (
    Dataset as Dataset,
)
from .dataset import (
    balanced_subset as balanced_subset,
)
from .dataset import (
    fingerprint as fingerprint,
)
from .dataset import (
    from_arrays as from_arrays,
)
from .dataset import (
    hold_out as hold_out,
)
from .mnist import (
    load_mnist as load_mnist,
)
from .patches import (
    PatchSpec as PatchSpec,
)
from .patches import (
    WhitenedPatches as WhitenedPatches,
)
from .patches import (
    whitened_patches as whitened_patches,
)
from .reading import (
    Examples as Examples,
)
from .reading import (
    read as read,
)
from .shuffled import (
    batches as batches,
)
from .standardize import (
    Scaling as Scaling,
)
from .standardize import (
    Standardizer as Standardizer,
)
from .standardize import (
    fit_standardizer as fit_standardizer,
)
from .standardize import (
    scale_pixels as scale_pixels,
)
from .standardize import (
    standardize as standardize,
)
from .standardize import (
    unstandardize as unstandardize,
)
