"""How often two revisions are run: what is unclear again, and nothing else."""

import dataclasses

import pytest

from benchmarks.compare import Verdict
from benchmarks.regress import Sides
from benchmarks.results import Count, Ratio, Results

EMPTY = Results("abc", "2026-01-01T00:00:00+00:00", "machine", {}, {}, (), ())
TESTS = {"call": "suite.py::test_call", "step": "suite.py::test_step"}


class Scripted:
    """A side whose runs give the figures of a script: for each title those of all runs."""

    def __init__(self, **figures):
        self.runs = []
        self.selections = []
        self._figures = {title: iter(of_title) for title, of_title in figures.items()}

    def run(self, selection):
        self.selections.append(list(selection))
        timed = [title for title in self._figures if TESTS[title] in selection]
        ratios = tuple(
            Ratio(title, "snt.Linear", next(self._figures[title]), 0.1, 1e-3, 1e-3)
            for title in timed or self._figures
        )
        counts = () if timed else (Count("ops", "ours", 19),)
        tests = {ratio.title: TESTS[ratio.title] for ratio in ratios}
        self.runs.append(dataclasses.replace(EMPTY, ratios=ratios, counts=counts, tests=tests))


@pytest.mark.parametrize(
    ("figures", "expected", "verdict"),
    [
        ([1.0, 1.1], [], Verdict.SAME),
        ([1.0, 1.6, 1.0], [[TESTS["call"]]], Verdict.SAME),  # but for one accident
        ([1.6] * 4, [[TESTS["call"]]] * 2, Verdict.SLOWER),
    ],
)
def test_what_is_unclear_runs_again(figures, expected, verdict):
    base = Scripted(call=[1.0] * 4, step=[1.0] * 2)
    head = Scripted(call=figures, step=[1.0] * 2)
    found = Sides(base, head, ["suite.py"]).compare(runs=2, most=4)
    assert base.selections == head.selections == [["suite.py"]] * 2 + expected
    assert [c.verdict for c in found] == [verdict, Verdict.SAME, Verdict.SAME]
