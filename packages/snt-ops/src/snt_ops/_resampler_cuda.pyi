"""The resampler for arrays on a GPU, compiled."""

from collections.abc import Sequence
from typing import Any, overload

class View:
    """An array that another library lends."""

    @overload
    def __init__(self, array: Any, name: str, stream: int, written: bool = False) -> None: ...
    @overload
    def __init__(
        self,
        array: Any,
        pointer: int,
        shape: Sequence[int],
        dtype: str,
        device: int,
        name: str,
    ) -> None: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def device(self) -> int: ...

class DeviceArray:
    """An array of our own, lent to other libraries."""

    def __init__(self, shape: Sequence[int], dtype: str, device: int) -> None: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...

def result_shape(data: View, warp: View) -> tuple[int, ...]: ...
def resample(data: View, warp: View, output: View, stream: int) -> None: ...
def grad_workspace(data: View, warp: View, grad_output: View, deterministic: bool) -> int: ...
def resample_grad(
    data: View,
    warp: View,
    grad_output: View,
    grad_data: View,
    grad_warp: View,
    workspace: View,
    deterministic: bool,
    stream: int,
) -> None: ...
def synchronize(device: int, stream: int) -> None: ...
def device_count() -> int: ...
def cuda_version() -> int: ...
