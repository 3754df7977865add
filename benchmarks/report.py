"""Makes a report of the history: `python -m benchmarks.report`, to out/bench_report/.

`report.md` has the figures of the last run; `report.html` has a picture of each series beside them,
in one file without others.
"""

from __future__ import annotations

import argparse
import html
import io
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

from benchmarks import results
from benchmarks.interleaved import readable
from benchmarks.results import Results

FOLDER = pathlib.Path(__file__).parent.parent / "out" / "bench_report"


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes both files."""
    parser = argparse.ArgumentParser(prog="bench_report", description=__doc__)
    parser.add_argument("--history", type=pathlib.Path, default=results.HISTORY)
    parser.add_argument("--folder", type=pathlib.Path, default=FOLDER)
    parser.add_argument("more", nargs="*", type=pathlib.Path, help="files of further runs")
    options = parser.parse_args(arguments)
    files = [file for file in (options.history, *options.more) if file.exists()]
    runs = sorted((run for file in files for run in results.read(file)), key=lambda run: run.date)
    if not runs:
        sys.exit(f"There are no runs in {options.history}: `nox -s bench -- benchmarks --record`.")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("report.md", markdown(runs)), ("report.html", page(runs))):
        file = options.folder / name
        file.write_text(text)
        print(file)


def markdown(runs: Sequence[Results]) -> str:
    """Returns the last run, beside the one before it, as Markdown.

    Args:
        runs: All runs, the last one last.
    """
    last = runs[-1]
    lines = ["# Benchmarks", "", *_about(last), ""]
    lines += ["Ratios of CPU time to the first line of each benchmark, medians of rounds.", ""]
    lines += ["| benchmark | way | ratio | ± | CPU | before |", "|---|---|---|---|---|---|"]
    for ratio in last.ratios:
        before = [r for r in _series(runs[:-1], ratio.title, ratio.way) if r is not None]
        lines.append(
            f"| {ratio.title} | {ratio.way} | {ratio.ratio:.2f} | {ratio.spread:.2f} "
            f"| {readable(ratio.cpu)} | {f'{before[-1]:.2f}' if before else ''} |"
        )
    lines += ["", "| count | way | |", "|---|---|---|"]
    lines += [f"| {c.title} | {c.way} | {c.count} |" for c in last.counts]
    return "\n".join(lines) + "\n"


def page(runs: Sequence[Results]) -> str:
    """Returns an HTML page with a picture of each benchmark over all runs.

    Args:
        runs: All runs, the last one last.
    """
    last = runs[-1]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Benchmarks</title>",
        "<style>body{font:16px/1.5 sans-serif;margin:2em auto;max-width:60em}"
        "td{padding:.1em 1em .1em 0}svg{max-width:100%;height:auto}</style>",
        "<h1>Benchmarks</h1>",
        *(f"<p>{html.escape(line)}</p>" for line in _about(last) if line),
    ]
    for title in dict.fromkeys(ratio.title for ratio in last.ratios):
        ratios = [ratio for ratio in last.ratios if ratio.title == title]
        parts.append(f"<h2>{html.escape(title)}</h2>")
        parts.append(picture(runs, title, [ratio.way for ratio in ratios]))
        parts.append(
            _table(
                (r.way, f"{r.ratio:.2f} ± {r.spread:.2f}", f"CPU {readable(r.cpu)}") for r in ratios
            )
        )
    parts.append("<h2>Counts</h2>")
    parts.append(_table((c.title, c.way, str(c.count)) for c in last.counts))
    return "\n".join(parts) + "\n"


def picture(runs: Sequence[Results], title: str, ways: Iterable[str]) -> str:
    """Returns a drawing of a benchmark over all runs, as SVG.

    Args:
        runs: All runs.
        title: The benchmark.
        ways: What was measured in it.
    """
    figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
    for way in ways:
        series: Any = _series(runs, title, way)  # None where a run has it not
        axes.plot(series, marker="o", markersize=4, label=way)
    axes.set_xticks(range(len(runs)), [f"{r.date[:10]}\n{r.revision}" for r in runs], fontsize=7)
    axes.set_ylabel("ratio of CPU time")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None})
    plt.close(figure)
    return drawing.getvalue()[drawing.getvalue().index("<svg") :]  # without the XML prologue


def _series(runs: Iterable[Results], title: str, way: str) -> list[float | None]:
    def figure(run: Results) -> float | None:
        found = (r.ratio for r in run.ratios if (r.title, r.way) == (title, way))
        return next(found, None)

    return [figure(run) for run in runs]


def _about(run: Results) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    reference = ", ".join(f"{name} {readable(time)}" for name, time in run.reference.items())
    return [
        f"Revision {run.revision}, {run.date}, on {run.machine}; one thread.",
        f"With {versions}.",
        f"Reference work: {reference}.",
    ]


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"


if __name__ == "__main__":
    main()
