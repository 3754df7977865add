"""The array front on NumPy arrays."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_ops import device_arrays
from snt_ops import numpy as ops

TYPES = [
    (np.float16, np.float16),
    (np.float16, np.float32),
    (ml_dtypes.bfloat16, ml_dtypes.bfloat16),
    (ml_dtypes.bfloat16, np.float32),
    (np.float32, np.float32),
    (np.float64, np.float64),
]
TOLERANCE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-5, "float64": 1e-12}


def reference(data: Any, warp: Any, grad_output: Any) -> tuple[Any, Any, Any]:
    """The definition, point by point, in double precision: samples and both gradients."""
    data, warp, grad_output = (np.asarray(a).astype(np.float64) for a in (data, warp, grad_output))
    batch, height, width, channels = data.shape
    points = warp.reshape(batch, -1, 2)
    gradients = grad_output.reshape(batch, -1, channels)
    output = np.zeros_like(gradients)
    to_data, to_warp = np.zeros_like(data), np.zeros_like(points)
    for b, p in np.ndindex(*points.shape[:2]):
        x, y = points[b, p]
        if not (-1 < x < width and -1 < y < height):
            continue
        left, top = int(np.floor(x)), int(np.floor(y))
        for column in (left, left + 1):
            for row in (top, top + 1):
                if not (0 <= column < width and 0 <= row < height):
                    continue
                near_x, near_y = 1 - abs(x - column), 1 - abs(y - row)
                output[b, p] += near_x * near_y * data[b, row, column]
                to_data[b, row, column] += near_x * near_y * gradients[b, p]
                product = data[b, row, column] @ gradients[b, p]
                to_warp[b, p, 0] += (1 if column > left else -1) * near_y * product
                to_warp[b, p, 1] += (1 if row > top else -1) * near_x * product
    shape = (*warp.shape[:-1], channels)
    return output.reshape(shape), to_data, to_warp.reshape(warp.shape)


def assert_near(got: Any, expected: Any, tolerance: float) -> None:
    assert got.shape == expected.shape
    scale = max(1.0, np.max(np.abs(expected), initial=0))
    np.testing.assert_allclose(got.astype(np.float64), expected, atol=tolerance * scale)


@pytest.mark.parametrize("types", TYPES, ids=lambda pair: "-".join(np.dtype(t).name for t in pair))
@given(
    sizes=st.tuples(*[st.integers(1, 3)] * 4),
    points=st.lists(st.integers(0, 4), max_size=2),
    seed=st.integers(0, 2**31),
    threads=st.integers(1, 3),
)
@settings(max_examples=20, deadline=None)
def test_values(types: Any, sizes: Any, points: Any, seed: int, threads: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=sizes).astype(types[0])
    warp = rng.uniform(-2, 4, [sizes[0], *points, 2]).astype(types[1])
    warp = np.where(rng.random(warp.shape) < 0.3, np.round(warp.astype(np.float64)), warp)
    warp = warp.astype(types[1])
    gradient = rng.normal(size=[sizes[0], *points, sizes[3]]).astype(types[0])
    output, to_data, to_warp = reference(data, warp, gradient)
    result = ops.resample(data, warp, threads=threads)
    grads = ops.resample_grad(data, warp, gradient, threads=threads)
    assert (result.dtype, grads[0].dtype, grads[1].dtype) == (types[0], types[0], types[1])
    tolerance = TOLERANCE[np.dtype(types[0]).name]
    assert_near(result, output, tolerance)
    assert_near(grads[0], to_data, tolerance)
    assert_near(grads[1], to_warp, 4 * tolerance)


def test_same_bits_for_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=[3, 40, 40, 5]).astype(np.float32)
    warp = rng.uniform(-1, 41, [3, 25000, 2]).astype(np.float32)
    gradient = rng.normal(size=[3, 25000, 5]).astype(np.float32)

    def bits(threads: int) -> list[bytes]:
        grads = ops.resample_grad(data, warp, gradient, threads=threads)
        return [a.tobytes() for a in (ops.resample(data, warp, threads=threads), *grads)]

    assert bits(1) == bits(2) == bits(7)


def test_calls_from_several_threads() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=[4, 32, 32, 8])
    warps = [rng.uniform(0, 31, [4, 12000, 2]) for _ in range(4)]
    expected = [ops.resample(data, warp, threads=1) for warp in warps]
    results: list[Any] = [None] * 4

    def work(i: int) -> None:
        for _ in range(5):
            results[i] = ops.resample(data, warps[i], threads=3)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


FORK = """
import os, sys
import numpy as np
from snt_ops.numpy import resample
data, warp = np.ones([4, 64, 64, 8]), np.ones([4, 12000, 2])
resample(data, warp, threads=3)
child = os.fork()
if child == 0:
    os._exit(0 if resample(data, warp, threads=3).sum() == 4 * 12000 * 8 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or "tensorflow" in sys.modules)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_child() -> None:
    """A child has none of its parent's threads. Nor has either of them imported TensorFlow."""
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    subprocess.run(command, check=True, timeout=60)


def test_nan_of_weight_zero() -> None:
    data = np.full([1, 3, 3, 2], np.nan, np.float32)
    data[0, 1, 1] = 5
    assert ops.resample(data, np.ones([1, 2], np.float32)).tolist() == [[5, 5]]


@pytest.mark.parametrize("sizes", [(0, 2, 2, 3), (2, 0, 2, 3), (2, 2, 0, 3), (2, 2, 2, 0)])
@pytest.mark.parametrize("count", [0, 4])
def test_empty(sizes: Any, count: int) -> None:
    data, warp = np.ones(sizes), np.zeros([sizes[0], count, 2])
    gradient = np.ones([sizes[0], count, sizes[3]])
    result = ops.resample(data, warp)
    grads = ops.resample_grad(data, warp, gradient)
    assert (result.shape, grads[0].shape, grads[1].shape) == (gradient.shape, sizes, warp.shape)
    if data.size == 0:
        assert not result.any()
        assert not grads[1].any()
    assert data.size == 0 or count > 0 or not grads[0].any()


DATA = np.zeros([2, 3, 4, 5], np.float32)
WARP = np.zeros([2, 6, 2], np.float32)


@pytest.mark.parametrize(
    ("data", "warp", "error", "words"),
    [
        (DATA[0], WARP, ValueError, r"Only bilinear.*\[3, 4, 5\]"),
        (DATA, WARP[0, 0], ValueError, r"warp should be at least a matrix.*\[2\]"),
        (DATA, np.zeros([2, 6, 3], np.float32), ValueError, r"must be 2.*\[2, 6, 3\]"),
        (DATA, WARP[:1], ValueError, r"Batch size.*\[2, 3, 4, 5\].*\[1, 6, 2\]"),
        (DATA.transpose(0, 2, 1, 3), WARP, ValueError, r"data.*\[2, 4, 3, 5\].*C-contiguous"),
        (DATA, WARP[:, ::2], ValueError, r"warp.*\[2, 3, 2\].*C-contiguous"),
        (DATA, WARP.astype(np.float64), TypeError, "warp is of type float64, data of type float32"),
        (DATA.astype(np.float16), WARP.astype(np.float64), TypeError, "float16 or float32"),
        (DATA.astype(np.int32), WARP, TypeError, "data is of type int32"),
        (DATA.astype(">f4"), WARP, TypeError, "byte order"),
        (DATA.tolist(), WARP, TypeError, "data is a list"),
        (DATA, WARP.tolist(), TypeError, "warp is a list"),
        (np.ma.masked_array(DATA), WARP, TypeError, "masked"),
    ],
)
def test_refused(data: Any, warp: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        ops.resample(data, warp)
    with pytest.raises(error, match=words):
        ops.resample_grad(data, warp, np.zeros([2, 6, 5], np.float32))


def test_refused_gradient() -> None:
    with pytest.raises(ValueError, match=r"grad_output shape.*\[2, 6, 5\].*\[2, 6, 4\]"):
        ops.resample_grad(DATA, WARP, np.zeros([2, 6, 4], np.float32))
    with pytest.raises(TypeError, match="grad_output is of type float64"):
        ops.resample_grad(DATA, WARP, np.zeros([2, 6, 5]))


def test_unaligned_is_refused() -> None:
    shifted = np.frombuffer(bytearray(DATA.nbytes + 1), np.float32, DATA.size, offset=1)
    with pytest.raises(ValueError, match="aligned"):
        ops.resample(shifted.reshape(DATA.shape), WARP)


@pytest.mark.parametrize("threads", [0, -1])
def test_bad_number_of_threads(threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads must be at least 1, but is {threads}"):
        ops.resample(DATA, WARP, threads=threads)


class OnGpu:
    """What an array on a GPU looks like from outside."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


def test_array_on_a_gpu_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snt_ops._resampler_cuda", None)
    monkeypatch.delattr("snt_ops._resampler_cuda", raising=False)
    with pytest.raises(RuntimeError, match="kernels for GPUs of snt-ops were not built"):
        ops.resample(OnGpu(), OnGpu())


def test_mixed_places() -> None:
    assert device_arrays.is_on_gpu(OnGpu())
    assert not device_arrays.is_on_gpu(DATA)
    with pytest.raises(TypeError, match="warp is a ndarray, but data is on a GPU"):
        ops.resample(OnGpu(), WARP)
    with pytest.raises(TypeError, match="warp is a OnGpu, expected a NumPy array"):
        ops.resample(DATA, OnGpu())
    with pytest.raises(ValueError, match="threads=2"):
        ops.resample(OnGpu(), OnGpu(), threads=2)
