"""Tests of the array front on a GPU, which need one: `python -m pytest <this file>`.

They are not collected elsewhere. The reference is the kernel for the CPU, which has tests of its
own against NumPy.
"""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from snt_ops import numpy as ops

TYPES = [
    ("float16", "float16"),
    ("float16", "float32"),
    ("bfloat16", "bfloat16"),
    ("bfloat16", "float32"),
    ("float32", "float32"),
    ("float64", "float64"),
]
TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 2e-5, "float64": 1e-12}
SHAPES = [  # batch, height, width, channels, points
    (2, 7, 9, 1, 300),
    (3, 5, 4, 3, 129),
    (1, 6, 6, 2, 77),
    (2, 8, 5, 4, 64),
    (2, 5, 8, 8, 65),
    (1, 9, 7, 12, 50),
    (2, 6, 5, 32, 40),
    (1, 4, 5, 33, 40),
    (1, 4, 5, 160, 33),
    (5, 1, 1, 3, 40),
    (40, 3, 3, 1, 1),
]


@pytest.fixture
def torch() -> Any:
    module = pytest.importorskip("torch")
    if not module.cuda.is_available():
        pytest.skip("there is no GPU")
    return module


def points(rng: np.random.Generator, batch: int, height: int, width: int, count: int) -> Any:
    """Points in rows, random, on and near borders and integers, and far from any image."""
    size = np.array([width, height])
    warp = rng.uniform(-2, size + 1, [batch, count, 2])
    kind = rng.integers(0, 8, [batch, count, 1])
    warp = np.where(kind == 0, np.round(warp), warp)
    borders = np.array([-1.0, -1e-7, 0.0, 0.5, 1.0])
    near = np.where(rng.integers(0, 2, warp.shape) == 0, 0, size - 1) + rng.choice(
        borders, warp.shape
    )
    warp = np.where(kind == 1, near, warp)
    strange = rng.choice([np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, -3e9], warp.shape)
    warp = np.where(kind == 2, strange, warp)
    in_rows = np.arange(count)[:, None] * [0.97, 0.05] % (size + 1) - 0.7
    return np.where((kind >= 5) & (rng.random() < 0.7), in_rows, warp)


def problem(torch: Any, shape: tuple[int, ...], types: tuple[str, str], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    batch, height, width, channels, count = shape
    with np.errstate(over="ignore"):
        arrays = (
            torch.from_numpy(rng.normal(size=[batch, height, width, channels])),
            torch.from_numpy(points(rng, batch, height, width, count)),
            torch.from_numpy(rng.normal(size=[batch, count, channels])),
        )
    kinds = (types[0], types[1], types[0])
    return [array.to(getattr(torch, k)) for array, k in zip(arrays, kinds, strict=True)]


def as_numpy(torch: Any, tensor: Any) -> Any:
    """NumPy's array of a tensor on the CPU, also of bfloat16."""
    if tensor.dtype == torch.bfloat16:
        ml_dtypes = pytest.importorskip("ml_dtypes")
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def assert_near(torch: Any, ours: Any, reference: Any, tolerance: float) -> None:
    got = ours.cpu().double().numpy()
    expected = np.asarray(reference).astype(np.float64)
    assert got.shape == expected.shape
    scale = max(1.0, np.nanmax(np.abs(expected), initial=0))
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * scale)


def poison(torch: Any) -> None:
    """Fills the memory that the next results will get, to see what is not written."""
    blocks = [
        torch.full([size], float("nan"), device="cuda") for size in (256, 4096, 65536, 1 << 22)
    ]
    del blocks


@pytest.mark.parametrize("types", TYPES, ids="-".join)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_as_cpu(torch: Any, shape: tuple[int, ...], types: tuple[str, str]) -> None:
    for seed in range(3):
        on_cpu = problem(torch, shape, types, seed)
        arrays = [as_numpy(torch, tensor) for tensor in on_cpu]
        expected = ops.resample(*arrays[:2])
        expected_grads = ops.resample_grad(*arrays)
        tensors = [tensor.cuda() for tensor in on_cpu]
        tolerance = TOLERANCE[types[0]]
        poison(torch)
        assert_near(torch, ops.resample(*tensors[:2]), expected, tolerance)
        for deterministic in (False, True):
            poison(torch)
            grads = ops.resample_grad(*tensors, deterministic=deterministic)
            assert_near(torch, grads[0], expected_grads[0], tolerance)
            assert_near(torch, grads[1], expected_grads[1], 2 * tolerance)


def test_unaligned(torch: Any) -> None:
    data, warp, gradient = problem(torch, (2, 6, 5, 8, 40), ("float32", "float32"), 0)

    def shifted(tensor: Any) -> Any:
        block = torch.full([tensor.numel() + 1], float("nan"), device="cuda")
        block[1:] = tensor.flatten()
        return block[1:].view(tensor.shape)

    tensors = [shifted(tensor) for tensor in (data, warp, gradient)]
    assert_near(torch, ops.resample(*tensors[:2]), ops.resample(data.numpy(), warp.numpy()), 2e-5)
    expected = ops.resample_grad(data.numpy(), warp.numpy(), gradient.numpy())
    for deterministic in (False, True):
        for got, grad in zip(
            ops.resample_grad(*tensors, deterministic=deterministic), expected, strict=True
        ):
            assert_near(torch, got, grad, 4e-5)


def test_nan_of_weight_zero(torch: Any) -> None:
    data = torch.full([1, 3, 3, 4], float("nan"), device="cuda")
    data[0, 1, 1] = 5
    warp = torch.tensor([[[1.0, 1.0]]], device="cuda")
    assert ops.resample(data, warp).flatten().tolist() == [5] * 4
    gradient = torch.full([1, 1, 4], float("inf"), device="cuda")
    for deterministic in (False, True):
        to_data, _ = ops.resample_grad(data, warp, gradient, deterministic=deterministic)
        assert to_data[0, 1, 1].tolist() == [float("inf")] * 4
        to_data[0, 1, 1] = 0
        assert not to_data.any()


@pytest.mark.parametrize("deterministic", [False, True])
def test_many_points_on_a_pixel_of_half(torch: Any, deterministic: bool) -> None:
    """Sums in half types stop at 2048 additions of 1."""
    data = torch.zeros([1, 4, 4, 8], device="cuda", dtype=torch.float16)
    warp = torch.full([1, 5000, 2], 2.0, device="cuda", dtype=torch.float16)
    gradient = torch.ones([1, 5000, 8], device="cuda", dtype=torch.float16)
    to_data, _ = ops.resample_grad(data, warp, gradient, deterministic=deterministic)
    assert to_data[0, 2, 2].tolist() == [5000] * 8


def test_deterministic_bits(torch: Any) -> None:
    data = torch.randn([4, 16, 16, 4], device="cuda")
    warp = torch.rand([4, 50000, 2], device="cuda") * 17 - 1
    gradient = torch.randn([4, 50000, 4], device="cuda")
    first, *others = (ops.resample_grad(data, warp, gradient, deterministic=True) for _ in range(4))
    for other in others:
        assert torch.equal(first[0], other[0])
        assert torch.equal(first[1], other[1])


@pytest.mark.parametrize(
    "shape",
    [(0, 3, 3, 2, 5), (2, 3, 3, 2, 0), (2, 3, 3, 0, 5), (2, 0, 3, 2, 5), (2, 3, 0, 2, 5)],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_empty(torch: Any, shape: tuple[int, ...], dtype: str) -> None:
    batch, height, width, channels, count = shape
    kind = getattr(torch, dtype)
    data = torch.ones([batch, height, width, channels], device="cuda", dtype=kind)
    warp = torch.zeros([batch, count, 2], device="cuda", dtype=kind)
    gradient = torch.ones([batch, count, channels], device="cuda", dtype=kind)
    poison(torch)
    result = ops.resample(data, warp)
    assert result.shape == gradient.shape
    assert not result.any()
    for deterministic in (False, True):
        poison(torch)
        grads = ops.resample_grad(data, warp, gradient, deterministic=deterministic)
        assert grads[0].shape == data.shape
        assert grads[1].shape == warp.shape
        assert not grads[0].any()
        assert not grads[1].any()


def test_more_than_31_bits(torch: Any) -> None:
    """Images, and results, of more than 2^31 numbers."""
    data = torch.zeros([1, 2, 2**27 + 5, 8], device="cuda", dtype=torch.float16)
    data[0, 1, -1] = 3
    # A float32 cannot name all these columns: the last one it can is a multiple of 16.
    column = 2**27
    data[0, 1, column] = 7
    warp = torch.tensor([[[column, 1.0], [column - 16, 1.0]]], device="cuda")
    assert ops.resample(data, warp)[0].tolist() == [[7] * 8, [0] * 8]
    del data
    data = torch.arange(16, device="cuda", dtype=torch.float16).reshape(1, 2, 1, 8)
    warp = torch.zeros([1, 2**28 + 3, 2], device="cuda", dtype=torch.float16)
    warp[0, -1, 1] = 1
    result = ops.resample(data, warp)
    assert result[0, -1].tolist() == list(range(8, 16))
    assert result[0, -2].tolist() == list(range(8))
    assert torch.equal(result[0].amax(0), data[0, 1, 0])
    gradient = torch.zeros_like(result)
    gradient[0, -1] = 2
    to_data, to_warp = ops.resample_grad(data, warp, gradient)
    assert to_data[0, 1, 0].tolist() == [2] * 8
    assert to_warp[0, -1, 1].item() == -2 * sum(range(8, 16))


def test_present_stream(torch: Any) -> None:
    """The kernel comes after what was put on the stream before it, on a busy side stream."""
    data = torch.zeros([1, 64, 64, 8], device="cuda")
    warp = torch.full([1, 1000, 2], 5.0, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(100_000_000)
        data.fill_(3)
        result = ops.resample(data, warp) + 1
    torch.cuda.synchronize()
    assert torch.equal(result, torch.full_like(result, 4))


def test_recorded_in_a_graph(torch: Any) -> None:
    data = torch.randn([2, 8, 8, 4], device="cuda")
    warp = torch.rand([2, 30, 2], device="cuda") * 7
    gradient = torch.randn([2, 30, 4], device="cuda")
    ops.resample_grad(data, warp, gradient)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = ops.resample(data, warp)
        grads = ops.resample_grad(data, warp, gradient)
    data.copy_(torch.randn_like(data))
    graph.replay()
    torch.testing.assert_close(result, ops.resample(data, warp))
    torch.testing.assert_close(grads, ops.resample_grad(data, warp, gradient))


def test_arrays_are_given_back(torch: Any) -> None:
    data = torch.randn([8, 64, 64, 4], device="cuda")
    warp = torch.rand([8, 100, 2], device="cuda")
    ops.resample(data, warp)
    gc.collect()
    before = torch.cuda.memory_allocated()
    for _ in range(20):
        ops.resample(data.clone(), warp.clone())
        ops.resample_grad(data.clone(), warp, torch.ones([8, 100, 4], device="cuda"))
    assert torch.cuda.memory_allocated() == before


def test_refused(torch: Any) -> None:
    data = torch.zeros([2, 3, 4, 5], device="cuda")
    warp = torch.zeros([2, 6, 2], device="cuda")
    gradient = torch.zeros([2, 6, 5], device="cuda")
    with pytest.raises(ValueError, match=r"\[2, 4, 3, 5\] is not C-contiguous"):
        ops.resample(data.transpose(1, 2), warp)
    with pytest.raises(ValueError, match=r"Batch size.*\[2, 3, 4, 5\].*\[1, 6, 2\]"):
        ops.resample(data, warp[:1])
    with pytest.raises(ValueError, match="the last size of warp must be 2"):
        ops.resample(data, warp[..., :1].contiguous())
    with pytest.raises(ValueError, match="should be at least a matrix"):
        ops.resample(data, warp[0, 0])
    with pytest.raises(ValueError, match="Only bilinear"):
        ops.resample(data[0], warp)
    with pytest.raises(TypeError, match="warp is of type float64, data of type float32"):
        ops.resample(data, warp.double())
    with pytest.raises(TypeError, match="must be of type float16"):
        ops.resample(data.int(), warp)
    with pytest.raises(TypeError, match="warp is a Tensor, but data is on a GPU"):
        ops.resample(data, warp.cpu())
    with pytest.raises(TypeError, match="expected a NumPy array"):
        ops.resample(data.cpu(), warp.cpu())
    with pytest.raises(ValueError, match=r"grad_output shape must be \[2, 6, 5\]"):
        ops.resample_grad(data, warp, gradient[:, 1:].contiguous())
    with pytest.raises(ValueError, match="warp requires gradients"):
        ops.resample(data, warp.clone().requires_grad_())
    with pytest.raises(ValueError, match="threads=2"):
        ops.resample(data, warp, threads=2)


def test_cupy(torch: Any) -> None:
    cupy = pytest.importorskip("cupy")
    tensors = problem(torch, (2, 6, 5, 4, 40), ("float32", "float32"), 0)
    arrays = [tensor.numpy() for tensor in tensors]
    with cupy.cuda.Stream(non_blocking=True):
        on_gpu = [cupy.asarray(array) for array in arrays]
        result = ops.resample(*on_gpu[:2])
        grads = ops.resample_grad(*on_gpu)
        assert all(isinstance(array, cupy.ndarray) for array in (result, *grads))
        np.testing.assert_allclose(result.get(), ops.resample(*arrays[:2]), atol=1e-5)
        for got, expected in zip(grads, ops.resample_grad(*arrays), strict=True):
            np.testing.assert_allclose(got.get(), expected, atol=1e-4)


def test_jax(torch: Any) -> None:
    jax = pytest.importorskip("jax")
    tensors = problem(torch, (2, 6, 5, 4, 40), ("float32", "float32"), 0)
    arrays = [tensor.numpy() for tensor in tensors]
    on_gpu = [jax.device_put(array) for array in arrays]
    result = ops.resample(*on_gpu[:2])
    assert isinstance(result, jax.Array)
    np.testing.assert_allclose(np.asarray(result), ops.resample(*arrays[:2]), atol=1e-5)
    grads = ops.resample_grad(*on_gpu)
    for got, expected in zip(grads, ops.resample_grad(*arrays), strict=True):
        np.testing.assert_allclose(np.asarray(got), expected, atol=1e-4)


def test_subclass_of_tensor(torch: Any) -> None:
    """Which goes by DLPack, as libraries do that are not known."""

    class Image(torch.Tensor):  # type: ignore[misc,name-defined]
        pass

    tensors = [t.cuda() for t in problem(torch, (2, 6, 5, 4, 40), ("bfloat16", "float32"), 0)]
    result = ops.resample(tensors[0].as_subclass(Image), tensors[1].as_subclass(Image))
    assert torch.equal(result, ops.resample(*tensors[:2]))


def test_cuda_array_interface(torch: Any) -> None:
    """Arrays that offer nothing else, and the result for them."""

    class Lent:
        def __init__(self, tensor: Any, **changes: Any) -> None:
            self._tensor = tensor
            size = tensor.element_size()
            self.__cuda_array_interface__ = {
                "shape": tuple(tensor.shape),
                "typestr": f"<f{size}",
                "data": (tensor.data_ptr(), False),
                "strides": tuple(size * stride for stride in tensor.stride()),
                "stream": torch.cuda.current_stream().cuda_stream or 1,
                "version": 3,
                **changes,
            }

    tensors = [t.cuda() for t in problem(torch, (2, 6, 5, 4, 40), ("float32", "float32"), 0)]
    with torch.cuda.stream(torch.cuda.Stream()):
        result = ops.resample(*map(Lent, tensors[:2]))
        assert tuple(result.shape) == (2, 40, 4)
        torch.testing.assert_close(torch.from_dlpack(result), ops.resample(*tensors[:2]))
        taken = torch.as_tensor(result, device="cuda")
        assert taken.data_ptr() == result.__cuda_array_interface__["data"][0]
        result.__dlpack__()  # which nobody takes over
        result.__dlpack__(max_version=(1, 1))
    with pytest.raises(ValueError, match="not C-contiguous"):
        ops.resample(Lent(tensors[0].transpose(1, 2)), Lent(tensors[1]))
    with pytest.raises(ValueError, match="stream 0"):
        ops.resample(Lent(tensors[0], stream=0), Lent(tensors[1]))
    with pytest.raises(ValueError, match="mask"):
        ops.resample(Lent(tensors[0], mask=Lent(tensors[0])), Lent(tensors[1]))
    with pytest.raises(TypeError, match="<i4"):
        ops.resample(Lent(tensors[0], typestr="<i4"), Lent(tensors[1]))
