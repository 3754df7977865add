"""Paddings: how far a window may reach beyond the ends of an axis, and what it finds there.

For an axis of n elements, a kernel that covers k (dilation included) and the stride s:

| Padding        | before      | after  | output size        |
|----------------|-------------|--------|--------------------|
| VALID          | 0           | 0      | ⌈(n - k + 1) / s⌉  |
| SAME           | ⌊(k-1)/2⌋   | ⌊k/2⌋  | ⌈n / s⌉            |
| FULL           | k - 1       | k - 1  | ⌈(n + k - 1) / s⌉  |
| CAUSAL         | k - 1       | 0      | ⌈n / s⌉            |
| REVERSE_CAUSAL | 0           | k - 1  | ⌈n / s⌉            |

SAME is TensorFlow's own where all axes have it and zeros are padded. That pads as little as the
stride allows; the row above, which holds elsewhere, does not look at the stride. With strides the
two differ by a shift, which existing checkpoints rely on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SAME = "SAME"
VALID = "VALID"
FULL = "FULL"
CAUSAL = "CAUSAL"
REVERSE_CAUSAL = "REVERSE_CAUSAL"

# What is padded: the modes of `tf.pad`.
CONSTANT_PADDING = "CONSTANT"
REFLECT_PADDING = "REFLECT"
SYMMETRIC_PADDING = "SYMMETRIC"

ALLOWED_PADDINGS = (SAME, VALID, FULL, CAUSAL, REVERSE_CAUSAL)
ALLOWED_TRANSPOSE_PADDINGS = (SAME, VALID)
ALLOWED_PADDING_VALUES = (CONSTANT_PADDING, REFLECT_PADDING, SYMMETRIC_PADDING)


def padding_amounts(padding: str, size: int) -> tuple[int, int]:
    """Returns how many elements are added before and after an axis.

    Args:
        padding: One of the five paddings.
        size: How many elements the kernel covers.
    """
    return {
        VALID: (0, 0),
        SAME: ((size - 1) // 2, size // 2),
        FULL: (size - 1, size - 1),
        CAUSAL: (size - 1, 0),
        REVERSE_CAUSAL: (0, size - 1),
    }[padding]


def checked_paddings(given: Any, n: int, module: str) -> tuple[str, ...]:
    """Returns `given` as one padding for each of `n` axes.

    Args:
        given: One of the five paddings, for all axes, or an iterable of `n` of them.
        n: Number of axes.
        module: Name of the module that asks.

    Raises:
        TypeError: If it is neither.
    """
    if _is_one_of(given, ALLOWED_PADDINGS):
        return (given,) * n
    if isinstance(given, Iterable) and not isinstance(given, str):
        given = tuple(given)
        if len(given) == n and all(_is_one_of(entry, ALLOWED_PADDINGS) for entry in given):
            return given
    raise TypeError(
        f"{module}: padding is {given!r}, must be member of {ALLOWED_PADDINGS} or an iterable of "
        f"{n} of them, one for each spatial axis."
    )


def checked_transpose_padding(given: Any, module: str) -> str:
    """Returns `given` if a transposed convolution can have this padding.

    Args:
        given: SAME or VALID.
        module: Name of the module that asks.

    Raises:
        ValueError: If it is neither.
    """
    if not _is_one_of(given, ALLOWED_TRANSPOSE_PADDINGS):
        raise ValueError(
            f"{module}: Padding must be member of {ALLOWED_TRANSPOSE_PADDINGS}, got {given!r}."
        )
    return str(given)


def checked_padding_value(given: Any, module: str) -> str:
    """Returns `given` if it says what is padded.

    Args:
        given: CONSTANT, REFLECT or SYMMETRIC.
        module: Name of the module that asks.

    Raises:
        ValueError: If it is none of them.
    """
    if not _is_one_of(given, ALLOWED_PADDING_VALUES):
        raise ValueError(
            f"{module}: Padding must be member of {ALLOWED_PADDING_VALUES} as `padding_value`, got "
            f"{given!r}."
        )
    return str(given)


def _is_one_of(given: Any, allowed: tuple[str, ...]) -> bool:
    return isinstance(given, str) and given in allowed
