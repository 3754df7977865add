"""What longer trainings share: a folder that they can go on from, a history, and its picture."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

matplotlib.use("Agg")

import matplotlib.pyplot as plt

BLUE, ORANGE, GREEN, GREY = "#0969da", "#bc4c00", "#1a7f37", "#57606a"

console = Console(highlight=False, soft_wrap=True)


def progress_bar() -> Progress:
    """Returns a progress bar, which shows itself on a terminal alone."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Reads the command line and makes the folder `--output`.

    Raises:
        SystemExit: If something is wrong with the command line, or one cannot write there.
    """
    arguments = parser.parse_args()
    try:
        make_folder(arguments.output)
    except OSError as error:
        parser.error(f"cannot write to --output {arguments.output}: {error.strerror}")
    return arguments


def make_folder(folder: Path) -> None:
    """Makes a folder, and sees that one can write there.

    Raises:
        OSError: If one can't.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trial = folder / f".trial-{os.getpid()}"
    trial.touch()
    trial.unlink()


def number(
    kind: Callable[[str], Any], low: float, high: float = float("inf")
) -> Callable[[str], Any]:
    """Returns the type of an argument that is an int or a float from `low` to `high`."""

    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            upper = "" if high == float("inf") else f" and at most {high:g}"
            raise argparse.ArgumentTypeError(f"{text} must be at least {low:g}{upper}")
        return value

    read.__name__ = kind.__name__  # argparse says it when `text` is no number at all
    return read


def add_numbers(
    parser: argparse.ArgumentParser,
    defaults: Any,
    ranges: Mapping[str, tuple[Any, ...]],
) -> None:
    """Adds an option for each number in `ranges`.

    Args:
        parser: Where to add them.
        defaults: Has an attribute with the default of each.
        ranges: The least value, the greatest where there is one, and the meaning of each.
    """
    for name, (low, *high, meaning) in ranges.items():
        default = getattr(defaults, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=number(type(default), low, *high),
            default=default,
            metavar="N" if isinstance(default, int) else "X",
            help=f"{meaning} (%(default)s)",
        )


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes down the settings of a training; when it is resumed, sees that they are the same.

    Args:
        folder: Where the checkpoints are.
        settings: What must not change between two runs, in JSON's types.

    Raises:
        SystemExit: If they differ from those of the run that is to be resumed.
    """
    file = folder / "settings.json"
    if file.exists() and (folder / "checkpoint").exists():  # TensorFlow's list of checkpoints
        before = json.loads(file.read_text())
        names = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
        if names:
            changes = ", ".join(
                f"{name.replace('_', '-')} was {before.get(name)} and is {settings.get(name)}"
                for name in names
            )
            sys.exit(
                f"The training in {folder} cannot be resumed with other settings: {changes}. "
                "Give those it was begun with, or another --output, or remove that folder."
            )
    write_whole(file, json.dumps(dict(settings), indent=1))


def write_whole(file: Path, text: str) -> None:
    """Writes a file so that whoever kills the program finds the old one or the new one."""
    new = file.with_name(file.name + ".new")
    new.write_text(text)
    new.replace(file)


class History:
    """What was measured during a training, at which step; on disk as JSON.

    Args:
        file: The file.
        resumed_at: Last step of the run that is resumed: what was measured later is dropped, for
            it will be measured again. Default: none, and what is in the file is dropped whole.
    """

    def __init__(self, file: Path, resumed_at: int = 0) -> None:
        self._file = file
        self._curves: dict[str, list[tuple[int, float]]] = {}
        if resumed_at and file.exists():
            for name, points in json.loads(file.read_text()).items():
                self._curves[name] = [(s, v) for s, v in points if s <= resumed_at]

    def add(self, step: int, **values: float) -> None:
        """Adds what was measured after this step."""
        for name, value in values.items():
            self._curves.setdefault(name, []).append((step, float(value)))

    def __getitem__(self, name: str) -> list[tuple[int, float]]:
        """Returns a curve: steps and values."""
        return self._curves.get(name, [])

    def save(self) -> None:
        """Writes the file anew."""
        write_whole(self._file, json.dumps(self._curves))


class Stopwatch:
    """Tells how long something took, in words."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def __str__(self) -> str:
        minutes, seconds = divmod(round(time.perf_counter() - self._start), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def plot_curves(
    path: Path,
    title: str,
    panels: Mapping[str, Mapping[str, list[tuple[int, float]]]],
    levels: Mapping[str, Mapping[str, float]] | None = None,
    percent: tuple[str, ...] = (),
    rises: Sequence[int] = (),
    x: str = "step",
) -> None:
    """Draws curves over the steps of a training into a PNG.

    Args:
        path: The file.
        title: What to say above all.
        panels: Pictures side by side: for each, by what it shows, the curves by name.
        levels: Lines at one height to compare with, by name, for a panel that has some.
        percent: Panels whose values are fractions of one.
        rises: Steps from which on the task was harder.
        x: What the steps are.
    """
    width = 6.2 * len(panels)
    figure, row = plt.subplots(
        1, len(panels), figsize=(width, 4.8), dpi=110, layout="constrained", squeeze=False
    )
    figure.suptitle(title, fontsize=13)
    for axes, (what, curves) in zip(row[0], panels.items(), strict=True):
        for (name, points), color in zip(curves.items(), (BLUE, ORANGE, GREEN, GREY), strict=False):
            if points:
                marker = None if len(points) > 30 else "o"
                steps, values = zip(*points, strict=True)
                axes.plot(steps, values, marker=marker, ms=4, color=color, label=name)
        for i, (name, height) in enumerate((levels or {}).get(what, {}).items()):
            axes.axhline(height, ls=("--", ":")[i % 2], color=GREY, label=f"{name} {height:.2f}")
        if what in percent:
            axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
            axes.set_ylim(-0.02, 1.02)
        for i, step in enumerate(rises):
            axes.axvline(step, ls=":", lw=1, color=GREY, label=None if i else "harder from here")
        axes.set_xlabel(x)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axes.set_ylabel(what)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)
