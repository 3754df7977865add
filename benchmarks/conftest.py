"""`python -m pytest benchmarks`: runs the suites, and prints their ratios and counts."""

from __future__ import annotations

import gc
import pathlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

import pytest
import tensorflow as tf

from benchmarks import peers as all_peers
from benchmarks import results
from benchmarks.interleaved import Measurement, format_table

collect_ignore = ["peers"]  # not all of them can be imported

RESULTS = pytest.StashKey[list[tuple[str, list[Measurement]]]]()
TESTS = pytest.StashKey[dict[str, str]]()
COUNTS = pytest.StashKey[list[tuple[str, dict[str, int]]]]()


class Rounds(Protocol):
    """What can be measured; see `benchmarks.interleaved.Interleaved`."""

    title: str

    def round(self) -> None: ...

    def measurements(self) -> list[Measurement]: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--results", type=pathlib.Path, help="a file for what the run finds")
    parser.addoption("--record", action="store_true", help=f"add the run to {results.HISTORY.name}")
    parser.addoption("--expensive", action="store_true", help="run also what takes minutes")
    parser.addoption("--no-peers", action="store_true", help="leave out Keras, PyTorch and others")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("python_files", "bench_*.py")
    config.addinivalue_line("markers", "growth: what grows with the number of modules; minutes")
    # PyTorch's build for GPUs says so where there is none.
    config.addinivalue_line("filterwarnings", "ignore:CUDA initialization:UserWarning")
    config.addinivalue_line("markers", "expensive: runs with --expensive only")
    config.addinivalue_line("markers", "ours: needs this library, which Sonnet 2 takes the name of")
    # Its table tells the seconds of whole rounds; what is of interest goes to its JSON files.
    config.option.benchmark_quiet = True
    config.stash[RESULTS] = []
    config.stash[TESTS] = {}
    config.stash[COUNTS] = []
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)


def pytest_report_header(config: pytest.Config) -> list[str]:
    missing = [] if config.option.no_peers else all_peers.left_out()
    return [f"not installed, and left out: {', '.join(missing)}"] if missing else []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = set() if config.option.expensive else {"expensive"}
    if not all_peers.is_installed("snt_core"):
        out.add("ours")
    kept = [item for item in items if not out & {mark.name for mark in item.iter_markers()}]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_collection_finish(session: pytest.Session) -> None:
    # What is collected before each measurement is what it left, and not all of TensorFlow.
    all_peers.installed(with_others=not session.config.option.no_peers)
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def peers(pytestconfig: pytest.Config) -> list[ModuleType]:
    """Returns the peers that take part, bare TensorFlow first."""
    return all_peers.installed(with_others=not pytestconfig.option.no_peers)


@pytest.fixture
def measure(benchmark: Any, request: pytest.FixtureRequest) -> Callable[[Rounds, int], None]:
    """Measures by so many rounds; keeps the ratios for the table and pytest-benchmark's files."""

    def run(ways: Rounds, rounds: int) -> None:
        benchmark.pedantic(ways.round, rounds=rounds)
        measurements = ways.measurements()
        request.config.stash[RESULTS].append((ways.title, measurements))
        request.config.stash[TESTS][ways.title] = request.node.nodeid
        benchmark.extra_info.update(
            {m.name: {**m._asdict(), "times": m.times._asdict()} for m in measurements}
        )

    return run


@pytest.fixture
def report_counts(pytestconfig: pytest.Config) -> Callable[[str, dict[str, int]], None]:
    """Keeps exact counts by name, for the table."""
    return lambda title, counts: pytestconfig.stash[COUNTS].append((title, counts))


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if not (config.option.results or config.option.record):
        return
    found = results.results_of(
        (
            results.Ratio(title, m.name, m.ratio, m.spread, *m.times)
            for title, measurements in config.stash[RESULTS]
            for m in measurements
        ),
        (
            results.Count(title, name, count)
            for title, counts in config.stash[COUNTS]
            for name, count in counts.items()
        ),
        config.stash[TESTS],
    )
    if config.option.results:
        results.write(found, config.option.results)
    if config.option.record:
        results.append(found)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    found = config.stash[RESULTS]
    if found:
        terminalreporter.section("ratios of CPU time: medians of interleaved rounds, one thread")
        terminalreporter.write_line(format_table(found))
    if config.stash[COUNTS]:
        terminalreporter.section("exact counts")
    for title, counts in config.stash[COUNTS]:
        terminalreporter.write_line(title)
        for name, count in counts.items():
            terminalreporter.write_line(f"  {name:54}{count:7}")
