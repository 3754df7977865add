"""Times several ways of doing one thing, side by side.

A shared machine is now fast and now slow, so seconds alone mean little. Here the ways take turns,
round after round; each round gives one ratio of each way to the first, the baseline, and the
median of the ratios is the result. They are ratios of CPU time, which suffers least from
neighbours; wall time is told beside it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

Run = Callable[[], Any]


class Times(NamedTuple):
    """Seconds that something took, on the CPU and on the clock."""

    cpu: float
    wall: float

    def __truediv__(self, number: float) -> Times:
        return Times(self.cpu / number, self.wall / number)


class Way(NamedTuple):
    """One way of doing the thing.

    Attributes:
        prepare: Called before each round, untimed; returns the function to time.
        number: How often that one is called in a round, or how many things it does: the time is
            divided by it.
        calls: Whether `number` counts calls.
    """

    prepare: Callable[[], Run]
    number: int = 1
    calls: bool = True

    def time(self) -> Times:
        """Returns the time of one call, or of one thing."""
        run = self.prepare()
        calls = range(self.number if self.calls else 1)
        gc.collect()
        gc.disable()
        try:
            start = Times(time.process_time(), time.perf_counter())
            for _ in calls:
                run()
            end = Times(time.process_time(), time.perf_counter())
        finally:
            gc.enable()
        return Times(end.cpu - start.cpu, end.wall - start.wall) / self.number


class Measurement(NamedTuple):
    """What the rounds said of one way.

    Attributes:
        name: Name of the way.
        ratio: Median over the rounds of the ratio of its CPU time to that of the baseline.
        spread: Half the distance between the quartiles of the ratio.
        times: Medians of its times.
    """

    name: str
    ratio: float
    spread: float
    times: Times


class Interleaved:
    """Measures several ways in rounds.

    Args:
        title: What they do.
        ways: The ways by name, the baseline first.
    """

    def __init__(self, title: str, ways: Mapping[str, Way]) -> None:
        self.title = title
        self._ways = dict(ways)
        self._times: dict[str, list[Times]] = {name: [] for name in ways}
        self._first = 0

    def round(self) -> None:
        """Times each way once; another one is first in each round."""
        names = list(self._ways)
        for name in names[self._first :] + names[: self._first]:
            self._times[name].append(self._ways[name].time())
        self._first = (self._first + 1) % len(names)

    def measurements(self) -> list[Measurement]:
        """Returns what was measured, the baseline first."""
        return summarise(self._times)


def repeated(run: Run, number: int) -> Way:
    """Returns a way that calls a function `number` times in each round."""
    return Way(lambda: run, number)


def summarise(times: Mapping[str, list[Times]]) -> list[Measurement]:
    """Returns the medians of what rounds gave, by name, the baseline first."""
    baseline = next(iter(times.values()))
    found = []
    for name, rounds in times.items():
        ratios = [a.cpu / b.cpu for a, b in zip(rounds, baseline, strict=True)]
        low, ratio, high = (
            statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        )
        medians = Times(*map(statistics.median, zip(*rounds, strict=True)))
        found.append(Measurement(name, ratio, (high - low) / 2, medians))
    return found


def format_table(results: Iterable[tuple[str, list[Measurement]]]) -> str:
    """Returns results, by title, as text."""
    lines = [f"{'':56}{'ratio':>7}{'±':>6}{'CPU':>11}{'wall':>11}"]
    for title, measurements in results:
        lines += ["", title]
        for name, ratio, spread, times in measurements:
            cpu, wall = map(readable, times)
            lines.append(f"  {name:54}{ratio:7.2f}{spread:6.2f}{cpu:>11}{wall:>11}")
    return "\n".join(lines)


def readable(seconds: float) -> str:
    """Returns a time in a unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e6:.0f} us"
