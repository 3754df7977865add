"""The resampler for arrays on a GPU: whose memory, which stream, which library."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

# The numbers of DLPack for CUDA's memory: plain and managed.
_CUDA_DEVICES = (2, 13)
# The number of DLPack for CUDA's legacy default stream, which others wait for by default.
_DEFAULT_STREAM = 1


class _Library(NamedTuple):
    """How the results for a library are made."""

    # Where its present work goes, numbered as DLPack does.
    stream: int
    # Borrows an array, of any library, under a name, maybe to write it.
    view: Callable[[Any, str, bool], Any]
    # Makes an array of the library from a shape and the name of a type.
    empty: Callable[[Sequence[int], str], Any]
    # Makes what is returned of it.
    finish: Callable[[Any], Any]
    # Whether work must be over when we return: the library does not know of our stream.
    waits: bool


def is_on_gpu(array: Any) -> bool:
    """Says whether an object is an array that lies on a GPU and can be used by CUDA."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return bool(array.is_cuda)
    device = getattr(array, "__dlpack_device__", None)
    if device is not None and not isinstance(array, type):
        return bool(int(device()[0]) in _CUDA_DEVICES)
    return hasattr(array, "__cuda_array_interface__")


def resample(data: Any, warp: Any) -> Any:
    """Does what `snt_ops.numpy.resample` says, for arrays on a GPU."""
    cuda = _cuda()
    library = _library_of(data, cuda)
    stream = library.stream
    of_data, of_warp = library.view(data, "data", False), library.view(warp, "warp", False)
    output = library.empty(cuda.result_shape(of_data, of_warp), of_data.dtype)
    cuda.resample(of_data, of_warp, library.view(output, "output", True), stream)
    if library.waits:
        cuda.synchronize(of_data.device, stream)
    return library.finish(output)


def resample_grad(
    data: Any, warp: Any, grad_output: Any, deterministic: bool = False
) -> tuple[Any, Any]:
    """Does what `snt_ops.numpy.resample_grad` says, for arrays on a GPU."""
    cuda = _cuda()
    library = _library_of(data, cuda)
    stream = library.stream

    inputs = [
        library.view(array, name, False)
        for array, name in ((data, "data"), (warp, "warp"), (grad_output, "grad_output"))
    ]
    size = cuda.grad_workspace(*inputs, deterministic)
    grad_data = library.empty(inputs[0].shape, inputs[0].dtype)
    grad_warp = library.empty(inputs[1].shape, inputs[1].dtype)
    workspace = library.empty([-(-size // 4)], "float32")
    cuda.resample_grad(
        *inputs,
        library.view(grad_data, "grad_data", True),
        library.view(grad_warp, "grad_warp", True),
        library.view(workspace, "workspace", True),
        deterministic,
        stream,
    )
    if library.waits:
        cuda.synchronize(inputs[0].device, stream)
    return library.finish(grad_data), library.finish(grad_warp)


def _cuda() -> Any:
    try:
        from snt_ops import _resampler_cuda
    except ImportError as error:
        raise RuntimeError(
            "data is on a GPU, but the kernels for GPUs of snt-ops were not built or do not load "
            f"({error}). Install snt-ops again where there is CUDA's compiler, nvcc; or copy the "
            "arrays to the CPU."
        ) from error
    return _resampler_cuda


def _library_of(data: Any, cuda: Any) -> _Library:
    # A library whose array this is has been imported.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.Tensor):
        return _torch(torch, data.device, cuda)
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(data, cupy.ndarray):
        return _cupy(cupy, data, cuda)
    return _other(data, cuda)


def _torch(torch: Any, device: Any, cuda: Any) -> _Library:
    stream = torch.cuda.current_stream(device).cuda_stream or _DEFAULT_STREAM

    def empty(shape: Sequence[int], dtype: str) -> Any:
        return torch.empty(tuple(shape), dtype=getattr(torch, dtype), device=device)

    def view(array: Any, name: str, written: bool) -> Any:
        # DLPack costs PyTorch some ten microseconds, and would say no more than this.
        plain = type(array) is torch.Tensor and array.device == device and not array.is_neg()
        if plain and array.layout is torch.strided and array.is_contiguous():
            if array.requires_grad and torch.is_grad_enabled():
                raise ValueError(
                    f"{name} requires gradients, which would end here. Call {name}.detach(), or "
                    "use resample and resample_grad in a torch.autograd.Function."
                )
            dtype = str(array.dtype).removeprefix("torch.")
            return cuda.View(array, array.data_ptr(), array.shape, dtype, device.index, name)
        return cuda.View(array, name, stream, written)

    return _Library(stream, view, empty, lambda array: array, waits=False)


def _cupy(cupy: Any, data: Any, cuda: Any) -> _Library:
    def empty(shape: Sequence[int], dtype: str) -> Any:
        with data.device:
            # CuPy's name for bfloat16 is the type of the package ml_dtypes, which data then has.
            return cupy.empty(tuple(shape), data.dtype if dtype == str(data.dtype) else dtype)

    with data.device:
        stream = cupy.cuda.get_current_stream().ptr or _DEFAULT_STREAM
    return _Library(stream, _viewer(cuda, stream), empty, lambda array: array, waits=False)


def _other(data: Any, cuda: Any) -> _Library:
    """Returns how results for a library are made of which only the protocols are known."""
    view = _viewer(cuda, _DEFAULT_STREAM)
    device = view(data, "data", False).device
    finish: Callable[[Any], Any] = _from_dlpack(data) or (lambda array: array)

    def empty(shape: Sequence[int], dtype: str) -> Any:
        return cuda.DeviceArray(list(shape), dtype, device)

    return _Library(_DEFAULT_STREAM, view, empty, finish, waits=True)


def _viewer(cuda: Any, stream: int) -> Callable[[Any, str, bool], Any]:
    return lambda array, name, written: cuda.View(array, name, stream, written)


def _from_dlpack(data: Any) -> Callable[[Any], Any] | None:
    """Returns the function by which the library of an array takes over others, if it has one."""
    namespace = getattr(data, "__array_namespace__", None)
    if namespace is not None:
        found: Callable[[Any], Any] | None = getattr(namespace(), "from_dlpack", None)
    else:
        package = sys.modules.get(type(data).__module__.partition(".")[0])
        found = getattr(package, "from_dlpack", None)
    return found
