"""The sizes of the layers of `AlexNet`."""

from __future__ import annotations

from collections.abc import Iterable

FULL = "FULL"
MINI = "MINI"

# Size and stride of a kernel or a pool.
Window = tuple[int, int]

# Output channels, the kernel, and the pool after the convolution.
ConvolutionSizes = tuple[int, Window | None, Window | None]

CONVOLUTIONS: dict[str, tuple[tuple[int, Window, Window | None], ...]] = {
    FULL: (
        (96, (11, 4), (3, 2)),
        (256, (5, 1), (3, 2)),
        (384, (3, 1), None),
        (384, (3, 1), None),
        (256, (3, 1), (3, 2)),
    ),
    MINI: (
        (48, (3, 1), (3, 1)),
        (128, (3, 1), (3, 1)),
        (192, (3, 1), None),
        (192, (3, 1), None),
        (128, (3, 1), (3, 1)),
    ),
}
LINEAR_SIZES = {FULL: (4096, 4096), MINI: (1024, 1024)}


def minimum_size(conv_layers: Iterable[ConvolutionSizes]) -> int:
    """Returns the smallest size of an image that the convolutions leave anything of.

    Args:
        conv_layers: For each convolution its output channels, size and stride of its kernel, and
            size and stride of the pool after it; or None for no kernel, or no pool.

    Example:
        >>> minimum_size(CONVOLUTIONS[FULL])
        195
    """
    size = 1
    for _, kernel, pool in reversed(list(conv_layers)):
        for window in (pool, kernel):
            if window is not None:
                width, stride = window
                size = size * stride + (width - stride)
    return size
