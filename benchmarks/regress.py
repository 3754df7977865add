"""Compares the working tree with another revision: `python -m benchmarks.regress --help`.

Both are installed side by side, each in a folder of its own, and the benchmarks of the working tree
are run on them in turns, in a new process each time. What is compared is not seconds but the ratio
of our code to the baseline of each benchmark, measured side by side in one process; see
`benchmarks.interleaved`.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

from benchmarks import results
from benchmarks.compare import TRIPWIRE, Comparison, Verdict, compare, summary

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "out" / "bench_regress"
PACKAGES = ("snt-core", "snt-nets", "snt-rnn", "snt-ops")

# What grows with the number of modules takes minutes, and is seen by one module.
SELECTION = ("benchmarks", "-m", "not growth")

# Two runs settle most benchmarks; what they leave open is run again.
RUNS, MOST_RUNS = 2, 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares the working tree with a revision, and prints what got slower."""
    parser = argparse.ArgumentParser(prog="bench_regress", description=__doc__)
    for name, default, meaning in (
        ("--runs", RUNS, "runs of each revision to begin with"),
        ("--most", MOST_RUNS, "runs of the benchmarks that are still unclear"),
    ):
        parser.add_argument(name, type=int, default=default, help=f"{meaning} (%(default)s)")
    parser.add_argument("--base", help="revision to compare with (the merge base with main)")
    parser.add_argument("--tripwire", type=float, default=TRIPWIRE, help="ratio (%(default)s)")
    parser.add_argument("selection", nargs="*", help="which benchmarks, as for pytest")
    options = parser.parse_args(arguments)

    base = options.base or git("merge-base", "HEAD", "main")
    print(f"Comparing the working tree with {git('log', '-1', '--format=%h %s', base)}", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    sides = Sides(
        install(export_revision(base, FOLDER / "base"), git("rev-parse", "--short", base)),
        install(export_working_tree(FOLDER / "head"), "working tree"),
        options.selection or SELECTION,
    )
    comparisons = sides.compare(options.runs, options.most, options.tripwire)
    print(summary(comparisons))
    return 1 if any(comparison.fails for comparison in comparisons) else 0


class Side:
    """A revision that is installed in a folder.

    Args:
        folder: The folder.
        revision: What it is called.
    """

    def __init__(self, folder: pathlib.Path, revision: str) -> None:
        self.folder = folder
        self.runs: list[results.Results] = []
        self._revision = revision

    def run(self, selection: Sequence[str]) -> None:
        """Runs benchmarks on it in a new process."""
        file = self.folder / f"results_{len(self.runs)}.json"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.folder / "installed"), str(ROOT)]),
            "BENCH_REVISION": self._revision,
        }
        command = [sys.executable, "-m", "pytest", "-q", "--no-peers", f"--results={file}"]
        command += selection
        finished = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        # On an old revision, benchmarks of what it does not have yet fail, and are left out.
        if not file.exists():
            raise RuntimeError(
                f"The benchmarks gave no results on {self._revision}:\n"
                f"{finished.stdout[-4000:]}{finished.stderr[-4000:]}"
            )
        self.runs += results.read(file)


class Sides:
    """Two revisions that are measured in turns.

    Args:
        base: The old one.
        head: The new one.
        selection: Which benchmarks, as for pytest.
    """

    def __init__(self, base: Side, head: Side, selection: Sequence[str]) -> None:
        self._sides = [base, head]
        self._selection = list(selection)

    def compare(
        self, runs: int = RUNS, most: int = MOST_RUNS, tripwire: float = TRIPWIRE
    ) -> list[Comparison]:
        """Runs both, and again what is unclear.

        Args:
            runs: How often to begin with.
            most: How often at most.
            tripwire: By what factor something must have become slower.
        """
        comparisons: list[Comparison] = []
        selection = self._selection
        for number in range(max(runs, most)):
            if number >= runs:
                selection = self._unclear(comparisons)
                if not selection:
                    break
            for side in self._sides if number % 2 else reversed(self._sides):
                side.run(selection)
            comparisons = compare(self._sides[0].runs, self._sides[1].runs, tripwire)
            unclear = len(self._unclear(comparisons))
            print(f"Run {number + 1}: {unclear} benchmarks are unclear", flush=True)
        return comparisons

    def _unclear(self, comparisons: Sequence[Comparison]) -> list[str]:
        """Returns the tests of what may be slower; counts do not change from run to run."""
        unclear = (Verdict.UNDECIDED, Verdict.SLOWER)
        titles = {comparison.title for comparison in comparisons if comparison.verdict in unclear}
        tests = self._sides[1].runs[0].tests
        return [test for title, test in tests.items() if title in titles]


def export_revision(revision: str, folder: pathlib.Path) -> pathlib.Path:
    """Writes the packages of a revision to a folder, and returns it."""
    folder.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", revision, "packages"], capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def export_working_tree(folder: pathlib.Path) -> pathlib.Path:
    """Writes the packages as they are now to a folder, and returns it."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "packages")
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target, follow_symlinks=True)
    return folder


def install(folder: pathlib.Path, revision: str) -> Side:
    """Installs the packages in a folder beside them."""
    packages = [path for name in PACKAGES if (path := folder / "packages" / name).exists()]
    command = ["uv", "pip", "install", "--python", sys.executable, "--quiet", "--no-deps"]
    target = ["--target", str(folder / "installed")]
    subprocess.run([*command, *target, *map(str, packages)], check=True)
    return Side(folder, revision)


def git(*words: str) -> str:
    """Returns what git prints."""
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
