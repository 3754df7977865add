"""What the resampler costs beside its peers, each where it is installed, and beside a copy.

`python -m pytest benchmarks/bench_resampler.py` measures one thread, by CPU time, and two, by the
clock (in a process of their own, which prints JSON: `python -m benchmarks.bench_resampler 2`).
All outputs are compared before anything is timed. The copy moves as many bytes as the resampler
must: what it reads and what it writes, each once.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.interleaved import Interleaved, Measurement, Run, Times, Way, repeated, summarise
from snt_ops import composite
from snt_ops import numpy as arrays
from snt_ops.library import library
from snt_ops.resampler import resampler

ROUNDS = 11
DEGREES = 10.0
TARGET_SECONDS = 0.02  # about what a way works in a round


class Case(NamedTuple):
    """Sizes of a problem; each image is sampled at as many points as it has pixels."""

    name: str
    batch: int
    size: int
    channels: int


CASES = (
    Case("A", 8, 128, 32),
    Case("B", 32, 28, 1),
    Case("C", 1, 1024, 3),
)
POINTS = ("rotation", "random")
TYPES = ("float32", "float64")
DIRECTIONS = ("forward", "backward")


class Problem:
    """Images, points and the gradient to the samples."""

    def __init__(self, case: Case, points: str, dtype: str) -> None:
        random = np.random.default_rng(0)
        shape = (case.batch, case.size, case.size, case.channels)
        self.data = random.standard_normal(shape).astype(dtype)
        self.grad = random.standard_normal(shape).astype(dtype)
        if points == "random":
            warp = random.uniform(0, case.size - 1, (case.batch, case.size, case.size, 2))
        else:
            warp = np.tile(_rotation(case.size), (case.batch, 1, 1, 1))
        self.warp = warp.astype(dtype)


def _rotation(size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle = np.deg2rad(DEGREES)
    sin, cos = np.sin(angle), np.cos(angle)
    return np.stack([cos * x - sin * y, sin * x + cos * y], -1) + (size - 1) / 2


# A peer takes a problem and a direction; it returns what to time, and a function that turns what
# this gives into NumPy arrays: the samples, or the gradients to data and warp. None: it can't.
Peer = tuple[Run, Callable[[Any], tuple[np.ndarray, ...]]]


def ours(problem: Problem, direction: str) -> Peer:
    data, warp, grad = map(tf.constant, (problem.data, problem.warp, problem.grad))
    if direction == "forward":
        return lambda: resampler(data, warp), lambda out: (out.numpy(),)
    ops = library.ops()
    return lambda: ops.resampler_grad(data, warp, grad), lambda out: tuple(map(np.asarray, out))


def ours_on_arrays(problem: Problem, direction: str) -> Peer:
    data, warp, grad = problem.data, problem.warp, problem.grad
    threads = number_of_threads()
    if direction == "forward":
        return functools.partial(arrays.resample, data, warp, threads=threads), lambda out: (out,)
    return functools.partial(arrays.resample_grad, data, warp, grad, threads=threads), tuple


def tensorflow_xla(problem: Problem, direction: str) -> Peer:
    data, warp, grad = map(tf.constant, (problem.data, problem.warp, problem.grad))

    @tf.function(jit_compile=True)
    def forward(data: Any, warp: Any) -> Any:
        return composite.resample(data, warp)

    @tf.function(jit_compile=True)
    def backward(data: Any, warp: Any, grad: Any) -> Any:
        return tf.gradients(composite.resample(data, warp), [data, warp], grad)

    if direction == "forward":
        return lambda: forward(data, warp), lambda out: (out.numpy(),)
    return lambda: backward(data, warp, grad), lambda out: tuple(map(np.asarray, out))


def torch_peer(problem: Problem, direction: str, channels_last: bool) -> Peer:
    torch = importlib.import_module("torch")

    def images(array: np.ndarray) -> Any:
        tensor = torch.from_numpy(array).permute(0, 3, 1, 2)
        return tensor if channels_last else tensor.contiguous()

    scale = 2 / (problem.data.shape[1] - 1)
    data, grad = images(problem.data), images(problem.grad)
    grid = torch.from_numpy(problem.warp * scale - 1)
    if direction == "forward":
        sample = functools.partial(
            torch.nn.functional.grid_sample, data, grid, padding_mode="zeros", align_corners=True
        )
        return sample, lambda out: (out.permute(0, 2, 3, 1).numpy(),)
    spread = functools.partial(
        torch.ops.aten.grid_sampler_2d_backward, grad, data, grid, 0, 0, True, [True, True]
    )
    return spread, lambda out: (out[0].permute(0, 2, 3, 1).numpy(), out[1].numpy() * scale)


def scipy(problem: Problem, direction: str) -> Peer | None:
    ndimage = importlib.import_module("scipy.ndimage")
    if direction == "backward":
        return None
    # It samples an array of two axes at a time: a channel of an image.
    points = np.ascontiguousarray(np.moveaxis(problem.warp[..., ::-1], -1, 1))
    planes = np.ascontiguousarray(np.moveaxis(problem.data, -1, 1))

    def sample() -> list[list[Any]]:
        return [
            # Points beyond an edge are between it and zeros, as they are for the resampler.
            [
                ndimage.map_coordinates(plane, where, order=1, mode="grid-constant")
                for plane in image
            ]
            for image, where in zip(planes, points, strict=True)
        ]

    return sample, lambda out: (np.moveaxis(np.array(out), 1, -1),)


def opencv(problem: Problem, direction: str) -> Peer | None:
    cv2 = importlib.import_module("cv2")
    fits = problem.data.dtype == np.float32 and problem.data.shape[-1] <= 4  # channels of remap
    if direction == "backward" or not fits:
        return None
    x, y = (np.ascontiguousarray(problem.warp[..., i]) for i in (0, 1))

    def sample() -> list[Any]:
        return [
            cv2.remap(image, x[i], y[i], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            for i, image in enumerate(problem.data)
        ]

    return sample, lambda out: (np.stack(out).reshape(problem.data.shape),)


def copy(problem: Problem, direction: str) -> Run:
    moved = problem.data.nbytes + problem.warp.nbytes + problem.grad.nbytes
    if direction == "backward":
        moved += problem.data.nbytes + problem.warp.nbytes
    source, target = np.ones(moved // 2, np.uint8), np.ones(moved // 2, np.uint8)
    return lambda: np.copyto(target, source)


def _peers() -> Iterator[tuple[str, Callable[[Problem, str], Peer | None], float]]:
    """Yields name, function, and how far its output may be from ours."""
    yield "TensorFlow's ops, XLA", tensorflow_xla, 1e-3
    if importlib.util.find_spec("torch"):
        for name, last in (("NCHW", False), ("channels_last", True)):
            yield f"torch {name}", functools.partial(torch_peer, channels_last=last), 1e-2
    if importlib.util.find_spec("cv2"):
        yield "OpenCV remap", opencv, 0.2  # it rounds weights to 1/32
    if importlib.util.find_spec("scipy") and number_of_threads() == 1:  # it knows no more
        yield "SciPy map_coordinates", scipy, 1e-3


def ways(problem: Problem, direction: str, with_peers: bool = True) -> dict[str, Run]:
    """Returns what to time, after comparing what they give; first a copy of the bytes."""
    run, result = ours(problem, direction)
    expected = result(run())
    found = {"copy of the bytes": copy(problem, direction), "snt.resampler": run}
    others = [("snt.resampler on arrays", ours_on_arrays, 1e-6), *(_peers() if with_peers else ())]
    for name, peer, tolerance in others:
        made = peer(problem, direction)
        if made is not None:
            run, result = made
            for array, wanted in zip(result(run()), expected, strict=True):
                # Where a point is near an edge of cells, rounding decides on the slope.
                close = np.isclose(array, wanted, rtol=tolerance, atol=tolerance * wanted.std())
                assert close.mean() > 0.99, name
            found[name] = run
    return found


def interleaved(
    case: Case, direction: str, points: str, dtype: str, with_peers: bool = True
) -> Interleaved:
    found = ways(Problem(case, points, dtype), direction, with_peers)
    timed = {}
    for name, run in found.items():
        seconds = min(repeated(run, 1).time().wall for _ in range(3))
        number = max(1, min(1000, int(TARGET_SECONDS / seconds)))
        timed[name] = Way(functools.partial(called_once, run), number)
    return Interleaved(f"resampler {case.name}, {direction}, {points}, {dtype}", timed)


def called_once(run: Run) -> Run:
    """Wakes threads, and the processors that a way with one thread has left idle."""
    run()
    return run


def number_of_threads() -> int:
    """Returns what `set_threads` has set."""
    return tf.config.threading.get_intra_op_parallelism_threads()


def set_threads(number: int) -> None:
    """Sets the number of threads of all; TensorFlow must not have computed yet to change it."""
    if number_of_threads() != number:
        tf.config.threading.set_intra_op_parallelism_threads(number)
    if importlib.util.find_spec("torch"):
        importlib.import_module("torch").set_num_threads(number)
    if importlib.util.find_spec("cv2"):
        importlib.import_module("cv2").setNumThreads(number)


@pytest.fixture(autouse=True)
def _compiled() -> None:
    assert library.ops() is not None, "the compiled op is needed here"


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.expensive)])
@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_thread(
    case: Case, direction: str, points: str, dtype: str, measure: Any, pytestconfig: pytest.Config
) -> None:
    set_threads(1)
    with_peers = not pytestconfig.option.no_peers
    measure(interleaved(case, direction, points, dtype, with_peers), rounds=ROUNDS)


class Measured:
    """Rounds that another process has done, by the clock."""

    def __init__(self, title: str, seconds: dict[str, list[float]]) -> None:
        self.title = f"{title}; two threads, by the clock"
        self._seconds = seconds

    def round(self) -> None: ...

    def measurements(self) -> list[Measurement]:
        return summarise(
            {name: [Times(time, time) for time in rounds] for name, rounds in self._seconds.items()}
        )


@functools.cache
def with_two_threads(case: str, direction: str) -> list[Measured]:
    """Returns what a process of its own measured: the number of threads is set once in each."""
    command = [sys.executable, "-m", "benchmarks.bench_resampler", "2", case, direction]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Measured(*json.loads(line)) for line in printed.splitlines()]


@pytest.mark.expensive
@pytest.mark.parametrize("combination", range(len(POINTS) * len(TYPES)))
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_threads(case: Case, direction: str, combination: int, measure: Any) -> None:
    measure(with_two_threads(case.name, direction)[combination], rounds=1)


def main(threads: int, case_name: str, direction: str) -> None:
    """Measures one case, all points and types; prints a line of JSON for each."""
    set_threads(threads)
    case = next(case for case in CASES if case.name == case_name)
    for points, dtype in itertools.product(POINTS, TYPES):
        rounds = interleaved(case, direction, points, dtype)
        for _ in range(ROUNDS):
            rounds.round()
        seconds = {name: [t.wall for t in times] for name, times in rounds._times.items()}
        print(json.dumps([rounds.title, seconds]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
