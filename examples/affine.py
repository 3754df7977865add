"""Affine maps of pictures, as parameters of `snt.AffineGridWarper`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def rotation(degrees: np.ndarray | float) -> np.ndarray:
    """Returns matrices `[..., 2, 2]` that turn points (x, y) anticlockwise, as one sees a picture.

    Args:
        degrees: The angles, of any shape.
    """
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    # y points down in a picture.
    return np.stack([np.stack([cos, sin], axis=-1), np.stack([-sin, cos], axis=-1)], axis=-2)


def warp_parameters(
    linear: np.ndarray,
    shift: np.ndarray,
    source_shape: Sequence[int],
    output_shape: Sequence[int],
) -> np.ndarray:
    """Returns the parameters of the warper that moves what is in a picture.

    Args:
        linear: How points (x, y) move about the middle, in pixels, `[..., 2, 2]`.
        shift: How far they move then, in pixels, `[..., 2]`.
        source_shape: Height and width of the picture.
        output_shape: Height and width of the picture that is made of it.

    Returns:
        Parameters `[..., 6]`, float32.
    """
    source, output = ((np.array(shape[::-1]) - 1) / 2 for shape in (source_shape, output_shape))
    # A warper is asked the opposite: where in the source each point of the output comes from.
    back = np.linalg.inv(linear)
    matrix = back * output / source[:, None]
    offset = -np.einsum("...ij,...j->...i", back, shift) / source
    whole = np.concatenate([matrix, offset[..., None]], axis=-1)
    return whole.reshape(*whole.shape[:-2], 6).astype(np.float32)
