"""Shows that the gate of `benchmarks.regress` works: `python -m benchmarks.selftest`.

A slowdown that is planted in a layer is found and named, so is an op more, and the same code held
against itself passes ten times of ten.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

from benchmarks.compare import Comparison, Verdict, summary
from benchmarks.regress import ROOT, Side, Sides, export_working_tree, install

FOLDER = ROOT / "out" / "bench_selftest"
TIMED = ("benchmarks/bench_scoping.py", "-k", "eager_call_of_linear or reconnection")
COUNTED = ("benchmarks/bench_scoping.py", "-k", "ops_in_graph")
REPETITIONS = 10

SLOWER = """

import time as _time

_call = Linear.__call__


def _slow_call(self, *args, **kwargs):
    start = _time.thread_time()
    outputs = _call(self, *args, **kwargs)
    end = _time.thread_time()
    while _time.thread_time() < end + (end - start) / 2:
        pass
    return outputs


Linear.__call__ = _slow_call
"""

ONE_OP_MORE = """

_build = Linear._build


def _build_with_one_op_more(self, inputs):
    return tf.identity(_build(self, inputs))


Linear._build = _build_with_one_op_more
"""


def main() -> int:
    """Runs the three checks, and prints what each of them found."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    base = install(export_working_tree(FOLDER / "base"), "working tree")
    failures = [
        *_check(
            "a slowdown of 1.5 in Linear",
            _compared(base, _planted(SLOWER, "slower"), TIMED),
            lambda c: (c.verdict is Verdict.SLOWER) == (c.way == "snt.Linear"),
        ),
        *_check(
            "an op more in Linear",
            _compared(base, _planted(ONE_OP_MORE, "one_op_more"), COUNTED),
            lambda c: (c.verdict is Verdict.MORE) == (c.way == "ours"),
        ),
    ]
    for repetition in range(1, REPETITIONS + 1):
        again = Side(base.folder, "working tree")
        failures += _check(
            f"the same code, {repetition} of {REPETITIONS}",
            _compared(Side(base.folder, "working tree"), again, TIMED),
            lambda c: not c.fails,
        )
    print("\n".join(failures) or "The gate works.")
    return 1 if failures else 0


def _planted(code: str, name: str) -> Side:
    folder = export_working_tree(FOLDER / name)
    file = folder / "packages/snt-nets/src/snt_nets/linear.py"
    file.write_text(file.read_text() + code)
    return install(folder, name)


def _compared(base: Side, head: Side, selection: tuple[str, ...]) -> list[Comparison]:
    return Sides(Side(base.folder, "working tree"), head, selection).compare()


def _check(
    what: str, comparisons: list[Comparison], right: Callable[[Comparison], bool]
) -> list[str]:
    wrong = [comparison for comparison in comparisons if not right(comparison)]
    print(f"{what}: {'as expected' if comparisons and not wrong else 'WRONG'}")
    print(summary(comparisons), flush=True)
    if not comparisons:
        return [f"Nothing was measured for {what}."]
    return [f"Wrong for {what}: {comparison}" for comparison in wrong]


if __name__ == "__main__":
    sys.exit(main())
