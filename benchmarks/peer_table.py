"""Joins what the peers' environments found: `python -m benchmarks.peer_table FOLDER...`.

Each folder has a file of results for each suite, `layers.json` and so on. All were measured beside
bare TensorFlow on their own, and are joined by their ratios to it. Writes a page with tables, and a
picture of each suite; with `--docs` into docs/, for the site.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

from benchmarks import results
from benchmarks.interleaved import readable
from benchmarks.results import Ratio, Results

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "out" / "bench_peers"
OURS = "Sonnet on today's TensorFlow"
COMMAND = "nox -s bench_peers -- --docs"

SUITES = {
    "layers": "Layers",
    "models": "Whole models, a training step",
    "recurrent": "Cores over sequences",
    "resampler": "The resampler",
}
ABOUT = {
    "resampler": "Ratios to a copy of as many bytes as the resampler has to move.",
}

# Rows by name; in each the ratios by column.
Table = dict[str, dict[str, Ratio]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the page and the pictures."""
    parser = argparse.ArgumentParser(prog="bench_peers", description=__doc__)
    parser.add_argument("folders", nargs="+", type=pathlib.Path, help="one for each environment")
    parser.add_argument("--docs", action="store_true", help="write into docs/")
    parser.add_argument("--folder", type=pathlib.Path, default=FOLDER, help="where to, otherwise")
    options = parser.parse_args(arguments)
    folder = ROOT / "docs" if options.docs else options.folder
    pictures = folder / "performance"
    pictures.mkdir(parents=True, exist_ok=True)
    tables = {}
    runs: list[Results] = []
    for suite in SUITES:
        found = [results.read(file)[-1] for file in _files(options.folders, suite)]
        if found:
            tables[suite] = join(found)
            draw(tables[suite], pictures / f"{suite}.svg")
            runs += found
    page = folder / "performance.md"
    page.write_text(markdown(tables, runs))
    print(page)


def _files(folders: Iterable[pathlib.Path], suite: str) -> list[pathlib.Path]:
    files = [folder / f"{suite}.json" for folder in folders]
    return [file for file in files if file.exists()]


def join(runs: Sequence[Results]) -> Table:
    """Returns a row for each benchmark of the runs, with the ways of all of them.

    Args:
        runs: Runs in several environments; where two have the same way, the baseline for instance,
            that of the first one counts.
    """
    table: Table = {}
    for run in runs:
        ways: dict[str, list[Ratio]] = {}
        for ratio in run.ratios:
            ways.setdefault(ratio.title, []).append(ratio)
        for title, row in ways.items():
            for way, ratio in zip(_columns_of([r.way for r in row]), row, strict=True):
                table.setdefault(title, {}).setdefault(way, ratio)
    return table


def _columns_of(ways: Sequence[str]) -> list[str]:
    """Returns the columns of the ways of a row: the first one of ours is that of this library."""
    ours = [way for way in ways if way.startswith("snt.")]
    names = {way: f"ours, {way.split()[-1]}" for way in ours}
    names |= dict.fromkeys(ours[:1], OURS)
    return [names.get(way, way) for way in ways]


def columns(table: Table) -> list[str]:
    """Returns the columns of a table: the baseline, ours, the others."""
    found = list(dict.fromkeys(column for row in table.values() for column in row))
    first = [column for column in (found[0], OURS) if column in found]  # a row begins with it
    return first + [column for column in found if column not in first]


def markdown(tables: Mapping[str, Table], runs: Sequence[Results]) -> str:
    """Returns the page.

    Args:
        tables: The table of each suite.
        runs: The runs that they were made of.
    """
    lines = [
        "# Performance",
        "",
        f"Written by `{COMMAND}`; [Benchmarks](benchmarks.md) tells how it measures.",
        "",
        "Each figure is CPU time by that of bare TensorFlow doing the same in the same process, "
        "the median of interleaved rounds on one thread: less is faster. All have the same weights "
        "and data, and their outputs and losses were compared before. Sonnet 2 has the import name "
        "of this library, and was measured beside bare TensorFlow in an environment of its own. "
        "PyTorch runs eagerly everywhere. A dash: the peer has no such layer, or no such mode.",
        "",
        *_about(runs),
    ]
    for suite, table in tables.items():
        lines += ["", f"## {SUITES[suite]}", ""]
        if suite in ABOUT:
            lines += [ABOUT[suite], ""]
        lines += [f"![Ratios, {SUITES[suite]}](performance/{suite}.svg)", "", *_rows(table)]
    return "\n".join(lines) + "\n"


def _rows(table: Table) -> list[str]:
    names = columns(table)
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for title, row in table.items():
        cells = [_cell(row.get(name), name == names[0]) for name in names]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _cell(ratio: Ratio | None, is_baseline: bool) -> str:
    if ratio is None:
        return "-"
    return readable(ratio.cpu) if is_baseline else f"{ratio.ratio:.2f}"


def _about(runs: Sequence[Results]) -> list[str]:
    versions: dict[str, str] = {}
    for run in runs:
        versions = {**run.versions, **versions}
    by_date = sorted(runs, key=lambda run: run.date)
    last = by_date[-1]
    revisions = ", ".join(dict.fromkeys(run.revision for run in by_date))
    reference = {
        name: statistics.median(run.reference[name] for run in runs) for name in last.reference
    }
    return [
        f"Revision {revisions}, {last.date[:10]}, on {last.machine}. With "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ". Reference work: "
        + ", ".join(f"{name} {readable(seconds)}" for name, seconds in reference.items())
        + "."
    ]


def draw(table: Table, path: pathlib.Path) -> None:
    """Draws bars of the ratios of each row.

    Args:
        table: The ratios.
        path: The file, an SVG.
    """
    names = columns(table)[1:]
    height = 0.8 / max(len(names), 1)
    figure, axes = plt.subplots(
        figsize=(9, 1.2 + 0.07 * len(table) * (len(names) + 1)), layout="constrained"
    )
    for i, name in enumerate(names):
        rows = [(y, row[name]) for y, row in enumerate(table.values()) if name in row]
        axes.barh(
            [y + (i - (len(names) - 1) / 2) * height for y, _ in rows],
            [ratio.ratio - 1 for _, ratio in rows],
            height,
            left=1,  # to the right what is slower than the baseline, to the left what is faster
            xerr=[ratio.spread for _, ratio in rows],
            error_kw={"linewidth": 0.7},
            label=name,
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(table)), list(table), fontsize=7)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.set_xlabel("CPU time by that of the baseline; less is faster")
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    with plt.rc_context({"svg.hashsalt": "benchmarks"}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
