"""Compares runs of the benchmarks on two revisions of the code, and says which got slower.

Each revision is run several times, in turns. A benchmark is slower if the medians of its runs say
so by more than the tripwire, and each run of the new revision is slower than each run of the old
one; otherwise the difference is within its own noise. Counts have no noise: they must not grow.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.results import Results

TRIPWIRE = 1.25

Key = tuple[str, str]


class Verdict(enum.Enum):
    """What can be said of a benchmark."""

    SLOWER = "slower"
    MORE = "more"
    FASTER = "faster"
    FEWER = "fewer"
    SAME = "same"
    UNDECIDED = "undecided"
    NEW = "new"
    GONE = "gone"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A benchmark on two revisions.

    Attributes:
        title: The benchmark.
        way: What was measured in it.
        base: Its figure on the old revision, the median of the runs; None if it is not there.
        head: Its figure on the new one, likewise.
        noise: By what factor runs of one revision differ.
        verdict: What this says.
    """

    title: str
    way: str
    base: float | None
    head: float | None
    noise: float
    verdict: Verdict

    @property
    def ratio(self) -> float:
        """The new figure by the old one."""
        return self.head / self.base if self.head and self.base else float("nan")

    @property
    def fails(self) -> bool:
        """Whether a change that does this is to be refused."""
        return self.verdict in (Verdict.SLOWER, Verdict.MORE)

    def __str__(self) -> str:
        base, head = map(_readable, (self.base, self.head))
        return (
            f"{self.verdict.value}: {self.title}: {self.way}: {base} -> {head}, "
            f"ratio {self.ratio:.2f}, noise {self.noise:.2f}"
        )


def _readable(figure: float | None) -> str:
    if figure is None:
        return "none"
    return f"{figure:.0f}" if figure == int(figure) else f"{figure:.3f}"


def compare(
    base: Sequence[Results], head: Sequence[Results], tripwire: float = TRIPWIRE
) -> list[Comparison]:
    """Compares the runs of two revisions.

    Args:
        base: Runs of the old revision.
        head: Runs of the new revision.
        tripwire: By what factor something must have become slower to be told so.

    Returns:
        A comparison for each count, and for each way of each benchmark that is ours: its name
        begins with "snt.".
    """
    found = []
    judges: tuple[tuple[Any, Callable[..., Verdict]], ...] = (
        (_ratios, functools.partial(_timed, tripwire=tripwire)),
        (_counts, _counted),
    )
    for figures, judge in judges:
        both = (figures(base), figures(head))
        for title, way in dict.fromkeys([*both[0], *both[1]]):
            old, new = (side.get((title, way), []) for side in both)
            missing = Verdict.GONE if old else Verdict.NEW
            verdict = judge(old, new) if old and new else missing
            found.append(_comparison(title, way, old, new, verdict))
    return found


def _timed(old: Sequence[float], new: Sequence[float], tripwire: float) -> Verdict:
    ratio = statistics.median(new) / statistics.median(old)
    if ratio > tripwire:
        return Verdict.SLOWER if min(new) > max(old) else Verdict.UNDECIDED
    if ratio < 1 / tripwire and max(new) < min(old):
        return Verdict.FASTER
    # A benchmark that differs from itself by more than the tripwire could hide what it looks for.
    return Verdict.UNDECIDED if max(_noise(old), _noise(new)) > tripwire else Verdict.SAME


def _counted(old: Sequence[float], new: Sequence[float]) -> Verdict:
    if len(set(old)) > 1 or len(set(new)) > 1:
        return Verdict.UNDECIDED  # not so exact after all
    if new[0] == old[0]:
        return Verdict.SAME
    return Verdict.MORE if new[0] > old[0] else Verdict.FEWER


def _comparison(
    title: str, way: str, old: Sequence[float], new: Sequence[float], verdict: Verdict
) -> Comparison:
    medians = [statistics.median(figures) if figures else None for figures in (old, new)]
    noise = max(_noise(figures) for figures in (old, new) if figures)
    return Comparison(title, way, medians[0], medians[1], noise, verdict)


def _noise(figures: Sequence[float]) -> float:
    """Returns by what factor figures differ, without the one that lies farthest out."""
    if len(figures) < 3:
        return max(figures) / min(figures) if min(figures) else 1.0
    middle = statistics.median(figures)
    kept = sorted(figures, key=lambda figure: abs(figure - middle))[:-1]
    return max(kept) / min(kept) if min(kept) else 1.0


def _ratios(runs: Iterable[Results]) -> dict[Key, list[float]]:
    figures: dict[Key, list[float]] = {}
    for run in runs:
        for ratio in run.ratios:
            if ratio.way.startswith("snt."):  # others are there to be compared with
                figures.setdefault((ratio.title, ratio.way), []).append(ratio.ratio)
    return figures


def _counts(runs: Iterable[Results]) -> dict[Key, list[float]]:
    figures: dict[Key, list[float]] = {}
    for run in runs:
        for count in run.counts:
            figures.setdefault((count.title, count.way), []).append(count.count)
    return figures


def summary(comparisons: Sequence[Comparison]) -> str:
    """Returns what was found, as text: first what fails, then what could not be decided."""
    order: dict[Any, int] = {verdict: place for place, verdict in enumerate(Verdict)}
    told = [c for c in comparisons if c.verdict is not Verdict.SAME]
    lines = [str(c) for c in sorted(told, key=lambda c: order[c.verdict])]
    same = sum(c.verdict is Verdict.SAME for c in comparisons)
    return "\n".join([*lines, f"{same} benchmarks of {len(comparisons)} are the same."])
