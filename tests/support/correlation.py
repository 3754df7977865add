"""Convolutions by definition, in NumPy: slow, and plain to see."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Amounts = Sequence[tuple[int, int]]


def covered(size: int, rate: int) -> int:
    """Returns how many elements a kernel covers."""
    return (size - 1) * rate + 1


def tensorflow_same(n: int, size: int, stride: int) -> tuple[int, int]:
    """Returns what TensorFlow's SAME pads, for a kernel that covers `size` elements."""
    outputs = -(-n // stride)
    total = max((outputs - 1) * stride + size - n, 0)
    return total // 2, total - total // 2


def correlate(
    x: Array,
    w: Array,
    stride: Sequence[int],
    rate: Sequence[int],
    amounts: Amounts,
    mode: str = "constant",
) -> Array:
    """Correlates `x` `[batch, ..., in]` with `w` `[..., in, out]`.

    Args:
        x: Inputs.
        w: Weights.
        stride: Strides.
        rate: Dilations.
        amounts: How much is padded before and after each axis.
        mode: What is padded, as `np.pad` has it.
    """
    x = np.pad(x, [(0, 0), *amounts, (0, 0)], mode=mode)  # type: ignore[call-overload]
    kernel = w.shape[:-2]
    sizes = [
        (n - covered(k, r)) // s + 1
        for n, k, r, s in zip(x.shape[1:-1], kernel, rate, stride, strict=True)
    ]
    y = np.zeros([x.shape[0], *sizes, w.shape[-1]])
    for position in np.ndindex(*sizes):
        for offset in np.ndindex(*kernel):
            at = tuple(
                p * s + o * r for p, s, o, r in zip(position, stride, offset, rate, strict=True)
            )
            y[(slice(None), *position)] += x[(slice(None), *at)] @ w[offset]
    return y


def correlate_each(x: Array, w: Array, *arguments: Any, **options: Any) -> Array:
    """Correlates each channel of `x` by itself; `w` is `[..., in, multiplier]`."""
    channels = [
        correlate(x[..., q : q + 1], w[..., q : q + 1, :], *arguments, **options)
        for q in range(x.shape[-1])
    ]
    return np.concatenate(channels, axis=-1)


def correlate_transposed(
    x: Array, w: Array, stride: Sequence[int], sizes: Sequence[int], before: Sequence[int]
) -> Array:
    """Spreads `x` `[batch, ..., in]` by `w` `[..., out, in]`, as the gradient of `correlate` does.

    Args:
        x: Inputs.
        w: Weights.
        stride: Strides.
        sizes: Spatial size of the outputs.
        before: How much the convolution pads before each axis.
    """
    kernel, spatial = w.shape[:-2], x.shape[1:-1]
    y = np.zeros([x.shape[0], *sizes, w.shape[-2]])
    for position, offset in itertools.product(np.ndindex(*spatial), np.ndindex(*kernel)):
        at = tuple(
            p * s + o - b for p, s, o, b in zip(position, stride, offset, before, strict=True)
        )
        if all(0 <= a < n for a, n in zip(at, sizes, strict=True)):
            y[(slice(None), *at)] += x[(slice(None), *position)] @ w[offset].T
    return y
