"""Patches keep the images that they were cut from, and the parts share none."""

import numpy as np

from jboltz import data
from jboltz.data.patches import unwhiten


def test_each_patch_is_of_the_image_it_is_said_to_be_cut_from():
    pixels = np.random.default_rng(0).integers(0, 256, (190, 8, 8, 3), dtype=np.uint8)
    images = data.from_arrays(pixels[:170], pixels[170:])
    patches = data.whitened_patches(
        images,
        data.PatchSpec(
            patch_size=4,
            num_patches=130,
            num_components=48,
            epsilon=1e-9,
            contrast="raw",
        ),
        seed=0,
    )
    assert patches.shape == (4, 4, 3)
    assert len(patches.validation) == len(patches.test) == 13
    train = images.train.reshape(-1, 8, 8, 3) / 255
    for part in ("train", "validation"):
        white = getattr(patches, part)
        pixels = unwhiten(patches.whitening, white).reshape(-1, 4, 4, 3)
        for pixel, index in zip(pixels[:12], patches.images[part], strict=False):
            windows = np.lib.stride_tricks.sliding_window_view(
                train[index], (4, 4), axis=(0, 1)
            )
            distances = np.abs(np.moveaxis(windows, 2, -1) - pixel[None, None])
            assert distances.max(axis=(2, 3, 4)).min() < 1e-3
    assert patches.images["train"].max() < 153 <= patches.images["validation"].min()
