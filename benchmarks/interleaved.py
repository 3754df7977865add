"""Times several ways of doing one thing, side by side.

A shared machine is now fast and now slow, so seconds mean little. Here the ways take turns, round
after round, and each round gives one ratio to the first way, the baseline; the median of these is
the result.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

Run = Callable[[], Any]


class Measurement(NamedTuple):
    """What the rounds said of one way.

    Attributes:
        name: Name of the way.
        seconds: Median time of a call.
        ratio: Median, over the rounds, of the ratio to the baseline.
        spread: A half of the distance between the quartiles of the ratio.
    """

    name: str
    seconds: float
    ratio: float
    spread: float


class Interleaved:
    """Several ways of doing one thing, measured in rounds.

    Args:
        title: What is done.
        ways: Functions by name, the baseline first. Each is called before each round, untimed, and
            returns the function to time.
        number: How often that one is called in a round.
    """

    def __init__(self, title: str, ways: Mapping[str, Callable[[], Run]], number: int = 1) -> None:
        self.title = title
        self.number = number
        self._ways = dict(ways)
        self._seconds: dict[str, list[float]] = {name: [] for name in ways}

    def round(self) -> None:
        """Times each way once; who is first changes from round to round."""
        names = list(self._ways)
        done = len(self._seconds[names[0]])
        for i in range(len(names)):
            name = names[(done + i) % len(names)]
            self._seconds[name].append(_time(self._ways[name](), self.number))

    def forget(self) -> None:
        """Forgets the rounds so far, which were there to warm up."""
        for seconds in self._seconds.values():
            seconds.clear()

    def measurements(self) -> list[Measurement]:
        """Returns what was measured, the baseline first."""
        baseline = next(iter(self._seconds.values()))
        found = []
        for name, seconds in self._seconds.items():
            ratios = [a / b for a, b in zip(seconds, baseline, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
            found.append(Measurement(name, statistics.median(seconds), middle, (high - low) / 2))
        return found


def ready(function: Run) -> Callable[[], Run]:
    """Returns a way that needs nothing prepared before each round."""
    return lambda: function


def table(results: Iterable[tuple[str, list[Measurement]]]) -> str:
    """Returns the results, by title, as text."""
    lines = [f"{'':52}{'ratio':>7}{'±':>6}{'median':>12}"]
    for title, measurements in results:
        lines += ["", title]
        lines += [
            f"  {name:50}{ratio:7.2f}{spread:6.2f}{_readable(seconds):>12}"
            for name, seconds, ratio, spread in measurements
        ]
    return "\n".join(lines)


def _time(run: Run, number: int) -> float:
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(number):
            run()
        return (time.perf_counter() - start) / number
    finally:
        if collecting:
            gc.enable()


def _readable(seconds: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.1f} {unit}"
    return f"{seconds * 1e6:.1f} us"
