"""The resampler on a GPU beside PyTorch's grid_sample and a copy of the bytes that must move.

A plain script: needs snt_ops with its CUDA kernels, PyTorch and a GPU; `nox -s bench_gpu` runs it
too. Results are compared before anything is timed. Times are of the device: each function is
recorded into a CUDA graph over several sets of inputs, more than the cache holds together, and the
graphs are replayed in turns; the median counts. Calls from Python are timed apart.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

CACHE_BYTES = 200e6  # of all sets together, four times the second-level cache of an H100
ROUNDS = 9


class Case(NamedTuple):
    name: str
    batch: int
    height: int
    width: int
    channels: int


CASES = (
    Case("A", 8, 128, 128, 32),
    Case("B", 32, 28, 28, 1),
    Case("C", 1, 1024, 1024, 3),
    Case("large", 64, 256, 256, 32),
    Case("large 1", 64, 512, 512, 1),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("skipped: PyTorch, which the resampler is timed beside, is not installed")
        return 0
    if not torch.cuda.is_available():
        print("skipped: there is no GPU that PyTorch can use")
        return 0
    try:
        from snt_ops import _resampler_cuda
    except ImportError as error:
        print(f"skipped: snt_ops has no CUDA kernels ({error})")
        return 0
    properties = torch.cuda.get_device_properties(0)
    print(
        f"{properties.name}, {properties.multi_processor_count} multiprocessors, cache "
        f"{properties.L2_cache_size >> 20} MiB; PyTorch {torch.__version__}; kernels by CUDA "
        f"{_resampler_cuda.cuda_version()}"
    )
    print_copy(torch)
    print(
        f"\n{'case':8} {'points':8} {'type':8} {'pass':8} {'copy':>8} {'snt':>8} {'sorted':>8} "
        f"{'NCHW':>8} {'NHWC':>8}   torch/snt snt/copy    (times in ms)"
    )
    for case in CASES:
        if case.name not in arguments.cases:
            continue
        for points in ("rotation", "random"):
            for dtype in (torch.float32, torch.float16):
                bench(torch, case, points, dtype)
    print_calls(torch)
    return 0


def warp_of(torch: Any, case: Case, points: str, seed: int) -> Any:
    """Returns as many points as pixels `[batch, height, width, 2]`, in double precision."""
    generator = torch.Generator(device="cuda").manual_seed(seed)
    size = torch.tensor([case.width, case.height], device="cuda", dtype=torch.float64)
    if points == "random":
        shape = (case.batch, case.height, case.width, 2)
        unit = torch.rand(shape, generator=generator, device="cuda", dtype=torch.float64)
        return unit * (size - 1)
    axis = {"device": "cuda", "dtype": torch.float64}
    y, x = torch.meshgrid(
        torch.arange(case.height, **axis) - (case.height - 1) / 2,
        torch.arange(case.width, **axis) - (case.width - 1) / 2,
        indexing="ij",
    )
    angle = math.radians(10)
    turned = torch.stack(
        [x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)], -1
    )
    return (turned + (size - 1) / 2).expand(case.batch, -1, -1, -1).contiguous()


def inputs_of(torch: Any, case: Case, points: str, dtype: Any, seed: int) -> dict[str, Any]:
    generator = torch.Generator(device="cuda").manual_seed(seed)
    shape = (case.batch, case.height, case.width, case.channels)
    data = torch.randn(shape, generator=generator, device="cuda").to(dtype)
    gradient = torch.randn(shape, generator=generator, device="cuda").to(dtype)
    warp = warp_of(torch, case, points, seed)
    size = torch.tensor([case.width, case.height], device="cuda", dtype=torch.float64)
    found = {
        "data": data,
        "gradient": gradient,
        "warp": warp.to(dtype),
        "grid": (2 * warp / (size - 1) - 1).to(dtype),
    }
    for name in ("data", "gradient"):
        turned = found[name].permute(0, 3, 1, 2)
        found[f"{name} NHWC"] = turned.contiguous(memory_format=torch.channels_last)
        found[f"{name} NCHW"] = turned.contiguous()
    return found


def functions_of(torch: Any) -> dict[str, dict[str, Callable[[dict[str, Any]], Any]]]:
    from snt_ops.numpy import resample, resample_grad

    def forward(layout: str) -> Callable[[dict[str, Any]], Any]:
        return lambda of: torch.nn.functional.grid_sample(
            of[f"data {layout}"], of["grid"], align_corners=True
        )

    def backward(layout: str) -> Callable[[dict[str, Any]], Any]:
        # What autograd calls: bilinear, zeros around, align_corners, both gradients.
        return lambda of: torch.ops.aten.grid_sampler_2d_backward(
            of[f"gradient {layout}"], of[f"data {layout}"], of["grid"], 0, 0, True, [True, True]
        )

    return {
        "forward": {
            "snt": lambda of: resample(of["data"], of["warp"]),
            "NCHW": forward("NCHW"),
            "NHWC": forward("NHWC"),
        },
        "backward": {
            "snt": lambda of: resample_grad(of["data"], of["warp"], of["gradient"]),
            "sorted": lambda of: resample_grad(
                of["data"], of["warp"], of["gradient"], deterministic=True
            ),
            "NCHW": backward("NCHW"),
            "NHWC": backward("NHWC"),
        },
    }


def bench(torch: Any, case: Case, points: str, dtype: Any) -> None:
    if dtype == torch.float32:
        compare(torch, case, points)
    first = inputs_of(torch, case, points, dtype, 0)
    pixels, warp = first["data"].nbytes, first["warp"].nbytes
    bytes_moved = {"forward": 2 * pixels + warp, "backward": 3 * pixels + 2 * warp}
    count = max(1, min(8, math.ceil(CACHE_BYTES / bytes_moved["forward"])))
    sets = [first] + [inputs_of(torch, case, points, dtype, seed) for seed in range(1, count)]
    for name, functions in functions_of(torch).items():
        half = bytes_moved[name] // 2
        copies = [
            tuple(torch.empty(half, dtype=torch.uint8, device="cuda") for _ in range(2))
            for _ in sets
        ]
        graphs = {"copy": record(torch, lambda pair: pair[0].copy_(pair[1]), copies)}
        for contender, function in functions.items():
            graphs[contender] = record(torch, function, sets)
        times = {key: 1e3 * value / count for key, value in time_in_turns(torch, graphs).items()}
        torch_time = min(times["NCHW"], times["NHWC"])
        cells = " ".join(
            f"{times[key]:8.4f}" if key in times else " " * 8
            for key in ("copy", "snt", "sorted", "NCHW", "NHWC")
        )
        print(
            f"{case.name:8} {points:8} {str(dtype)[6:]:8} {name:8} {cells}   "
            f"{torch_time / times['snt']:9.2f} {times['snt'] / times['copy']:8.2f}",
            flush=True,
        )
        del graphs, copies
        torch.cuda.empty_cache()


def compare(torch: Any, case: Case, points: str) -> None:
    """Raises unless PyTorch computes the same, up to the rounding of its coordinates."""
    # Points near an integer would fall on either side of a kink of the gradient.
    of = inputs_of(torch, case, points, torch.float64, 0)
    near = (of["warp"] - of["warp"].round()).abs() < 1e-9
    of["warp"] = torch.where(near, of["warp"] + 1e-6, of["warp"])
    size = torch.tensor([case.width, case.height], device="cuda", dtype=torch.float64)
    of["grid"] = 2 * of["warp"] / (size - 1) - 1
    functions = functions_of(torch)
    ours = functions["forward"]["snt"](of)
    theirs = functions["forward"]["NCHW"](of).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    to_data, to_warp = functions["backward"]["snt"](of)
    their_data, their_grid = functions["backward"]["NCHW"](of)
    torch.testing.assert_close(to_data, their_data.permute(0, 2, 3, 1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(to_warp, their_grid * 2 / (size - 1), rtol=1e-5, atol=1e-5)


def record(torch: Any, function: Callable[[Any], Any], sets: list[Any]) -> Any:
    """Returns a CUDA graph that calls a function once for each set of inputs."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        function(sets[0])
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for inputs in sets:
            function(inputs)
    return graph


def time_in_turns(torch: Any, graphs: dict[str, Any]) -> dict[str, float]:
    """Returns the seconds that a replay takes, the median of rounds in which all take turns."""
    times: dict[str, list[float]] = {name: [] for name in graphs}
    repeats = {}
    for name, graph in graphs.items():
        graph.replay()
        torch.cuda.synchronize()
        start = time.perf_counter()
        graph.replay()
        torch.cuda.synchronize()
        repeats[name] = max(1, min(200, round(4e-3 / (time.perf_counter() - start))))
    for _ in range(ROUNDS):
        for name, graph in graphs.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            for _ in range(repeats[name]):
                graph.replay()
            end.record()
            end.synchronize()
            times[name].append(start.elapsed_time(end) * 1e-3 / repeats[name])
    return {name: statistics.median(values) for name, values in times.items()}


def print_copy(torch: Any) -> None:
    pair = [torch.empty(1 << 30, dtype=torch.uint8, device="cuda") for _ in range(2)]
    graph = record(torch, lambda both: both[0].copy_(both[1]), [pair])
    seconds = time_in_turns(torch, {"copy": graph})["copy"]
    print(
        f"device-to-device copy of 1 GiB: {2 * 2**30 / seconds * 1e-12:.2f} TB/s read and written"
    )


def print_calls(torch: Any) -> None:
    """Prints what a call from Python costs, where the device has almost nothing to do."""
    of = inputs_of(torch, Case("call", 1, 8, 8, 4), "random", torch.float32, 0)
    for name, functions in functions_of(torch).items():
        times = {}
        for contender, function in functions.items():
            rounds = []
            for _ in range(ROUNDS):
                torch.cuda.synchronize()
                start = time.perf_counter()
                for _ in range(200):
                    function(of)
                rounds.append((time.perf_counter() - start) / 200 * 1e6)
            times[contender] = statistics.median(rounds)
        print(f"call, {name}: " + ", ".join(f"{k} {v:.1f} µs" for k, v in times.items()))


if __name__ == "__main__":
    sys.exit(main())
