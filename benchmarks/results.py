"""What a run of the benchmarks found, as it is written to files and read back."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

HISTORY = pathlib.Path(__file__).parent / "history.jsonl"


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One way of doing something, beside the baseline of its benchmark.

    Attributes:
        title: The benchmark.
        way: The way.
        ratio: CPU time of the way by that of the baseline, the median of the rounds.
        spread: Half the distance between the quartiles of the ratio.
        cpu: Seconds of CPU time.
        wall: Seconds on the clock.
    """

    title: str
    way: str
    ratio: float
    spread: float
    cpu: float
    wall: float


@dataclasses.dataclass(frozen=True)
class Count:
    """Something that can be counted, so that it has no noise: ops, variables, function calls."""

    title: str
    way: str
    count: int


@dataclasses.dataclass(frozen=True)
class Results:
    """One run of the benchmarks.

    Attributes:
        revision: What was run: a commit, with a "+" where files had been changed.
        date: When, in UTC.
        machine: Processor, number of cores, Python.
        versions: Of the packages that were measured, by name.
        reference: Seconds of CPU time of work that no change of ours makes faster or slower: by
            them one run can be held against another one, of another day or machine.
        ratios: What was timed.
        counts: What was counted.
        tests: The test that timed each benchmark, for pytest, by its title.
    """

    revision: str
    date: str
    machine: str
    versions: dict[str, str]
    reference: dict[str, float]
    ratios: tuple[Ratio, ...]
    counts: tuple[Count, ...]
    tests: dict[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """Returns the run in one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Results:
        """Returns the run that a line holds."""
        fields = json.loads(line)
        fields["ratios"] = tuple(Ratio(**ratio) for ratio in fields["ratios"])
        fields["counts"] = tuple(Count(**count) for count in fields["counts"])
        return cls(**fields)


def results_of(ratios: Iterable[Ratio], counts: Iterable[Count], tests: dict[str, str]) -> Results:
    """Returns a run that ends now, on this machine."""
    return Results(
        _revision(),
        datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        dict(_versions()),
        {"Python": _cpu_time(_python_work), "matrix product": _cpu_time(_matrix_work)},
        tuple(ratios),
        tuple(counts),
        tests,
    )


def write(results: Results, path: pathlib.Path) -> None:
    """Writes a run to a file of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(results.to_json() + "\n")


def append(results: Results, path: pathlib.Path = HISTORY) -> None:
    """Adds a run to the history: a line at its end, so that two histories merge by their lines."""
    with path.open("a") as file:
        file.write(results.to_json() + "\n")


def read(path: pathlib.Path = HISTORY) -> list[Results]:
    """Returns the runs in a file, by date."""
    runs = [Results.from_json(line) for line in path.read_text().splitlines() if line]
    return sorted(runs, key=lambda run: run.date)


def _revision() -> str:
    def git(*words: str) -> str:
        command = ["git", "-C", str(HISTORY.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    # The code that is measured may be another revision's than the benchmarks'.
    if "BENCH_REVISION" in os.environ:
        return os.environ["BENCH_REVISION"]
    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> Iterable[tuple[str, str]]:
    for name in (
        "tensorflow",
        "keras",
        "dm-sonnet",
        "torch",
        "opencv-python-headless",
        "scipy",
        "numpy",
    ):
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _cpu_time(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return sorted(times)[2]


def _python_work() -> int:
    return sum(len(str(number)) for number in range(200_000))


def _matrix_work() -> Any:
    matrix: Any = np.ones([64, 64], np.float32)  # too small for a second thread
    for _ in range(2000):
        matrix = matrix @ matrix / 64
    return matrix
