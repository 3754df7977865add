"""The resampler for arrays, without TensorFlow: NumPy on the CPU, any library on a GPU."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import numpy as np

from snt_ops import device_arrays

__all__ = ["resample", "resample_grad"]


def resample(data: Any, warp: Any, *, threads: int | None = None) -> Any:
    """Samples images at points, by bilinear interpolation.

    The image is surrounded by zeros: a sample fades to 0 over one pixel outside of the border, and
    is 0 at points that are NaN or infinite. A pixel whose weight is 0 does not contribute, even if
    it is NaN.

    NumPy arrays are computed on the CPU. Arrays on a GPU, of any library that offers DLPack or
    `__cuda_array_interface__` (CuPy, JAX, Numba, PyTorch), are computed there, on the present
    stream of the library of `data`. No array is copied: arrays of another type or layout are
    refused.

    Args:
        data: Images `[batch, height, width, channels]` of float16, bfloat16 (of the package
            ml_dtypes, for NumPy), float32 or float64, C-contiguous.
        warp: Points `[batch, d0, ..., dn, 2]`, x (along width) before y, in pixels, of the type of
            `data`, or of float32 where that is a half type.
        threads: How many threads may work on NumPy arrays; by default one for each processor that
            this process may use. The result has the same bits for any number.

    Returns:
        The samples `[batch, d0, ..., dn, channels]`, of the type and the library of `data`.

    Raises:
        TypeError: If an argument is no such array or of another type.
        ValueError: If a shape or a layout does not fit, or the arrays are on different devices.
        RuntimeError: If the needed part of this package was not built.

    Example:
        >>> import numpy as np
        >>> image = np.array([[0.0, 1.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)
        >>> resample(image, np.array([[0.5, 0.5]]))
        array([[1.5]])
    """
    if device_arrays.is_on_gpu(data):
        _refuse_threads(threads)
        return device_arrays.resample(data, _on_gpu(warp, "warp"))
    return _cpu().resample(_array(data, "data"), _array(warp, "warp"), _threads(threads))


def resample_grad(
    data: Any,
    warp: Any,
    grad_output: Any,
    *,
    threads: int | None = None,
    deterministic: bool = False,
) -> tuple[Any, Any]:
    """Returns the gradients of `resample` with respect to its inputs, in one pass.

    At an integer coordinate the gradient to `warp` is that of the cell to the right and below.

    Args:
        data: As for `resample`.
        warp: As for `resample`.
        grad_output: The gradient with respect to the result, of its shape and type.
        threads: As for `resample`.
        deterministic: Whether a GPU gives the same bits each time, which takes more time and
            memory. By default the last bits of the gradient to `data` change from call to call.
            The CPU always gives the same bits.

    Returns:
        The gradients with respect to `data` and to `warp`, of their shapes and types and of the
        library of `data`.

    Raises:
        TypeError: If an argument is no such array or of another type.
        ValueError: If a shape or a layout does not fit, or the arrays are on different devices.
        RuntimeError: If the needed part of this package was not built.

    Example:
        >>> import numpy as np
        >>> image = np.array([[0.0, 1.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)
        >>> to_data, to_warp = resample_grad(image, np.array([[0.5, 0.5]]), np.ones([1, 1]))
        >>> to_data.ravel(), to_warp
        (array([0.25, 0.25, 0.25, 0.25]), array([[1., 2.]]))
    """
    if device_arrays.is_on_gpu(data):
        _refuse_threads(threads)
        return device_arrays.resample_grad(
            data, _on_gpu(warp, "warp"), _on_gpu(grad_output, "grad_output"), deterministic
        )
    to_data, to_warp = _cpu().resample_grad(
        _array(data, "data"),
        _array(warp, "warp"),
        _array(grad_output, "grad_output"),
        _threads(threads),
    )
    return to_data, to_warp


def _cpu() -> Any:
    try:
        from snt_ops import _resampler_cpu
    except ImportError as error:
        raise RuntimeError(
            f"The array front of snt-ops was not built or does not load ({error}). Install snt-ops "
            "again, with a C++ compiler and the headers of Python."
        ) from error
    module: ModuleType = _resampler_cpu
    return module


def _array(array: Any, name: str) -> Any:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost. Pass its data.")
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"{name} is a {type(array).__qualname__}, expected a NumPy array, or an array on a GPU "
            "if data is one. Convert it first."
        )
    return array


def _on_gpu(array: Any, name: str) -> Any:
    if not device_arrays.is_on_gpu(array):
        raise TypeError(
            f"{name} is a {type(array).__qualname__}, but data is on a GPU: {name} must be an "
            "array on the same GPU. Convert it first."
        )
    return array


def _threads(threads: int | None) -> int:
    if threads is not None:
        return threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _refuse_threads(threads: int | None) -> None:
    if threads is not None:
        raise ValueError(f"threads={threads} was given, but data is on a GPU. Leave it out.")
