"""The examples do what they say, each as a person runs it, with a small budget."""

from __future__ import annotations

import pathlib
import re
import struct
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"

WRITTEN = {
    "quickstart.py": [
        "report.png",
        "checkpoint/model.index",
        "saved_model/saved_model.pb",
        "saved_model/variables/variables.index",
    ],
    "quickstart_sonnet1.py": ["report.png", "checkpoint/model.index", "checkpoint/model.meta"],
}


@pytest.mark.parametrize("example", WRITTEN)
def test_quickstart(example: str, tmp_path: pathlib.Path) -> None:
    output = _run(example, "--epochs", "2", "--output", tmp_path / "out")

    table = re.findall(r"^digit_classifier/mlp/linear_\d/[bw] +[\dx]+ +float32", output, re.M)
    assert len(table) == 6
    first, second = _losses(output)
    assert second < first
    # A tenth is chance; two epochs reach about 0.90.
    assert 0.85 < float(re.search(r"^Test accuracy: (\S+)$", output, re.M)[1]) < 1
    assert "predicts the same" in output
    for name in WRITTEN[example]:
        assert (tmp_path / "out" / name).stat().st_size > 0
    width, height = _png_size(tmp_path / "out" / "report.png")
    assert 1000 < width < 2000
    assert 500 < height < 1000


def _run(example: str, *arguments: object) -> str:
    command = [sys.executable, EXAMPLES / example, *arguments]
    finished = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def _losses(output: str) -> list[float]:
    return [float(loss) for loss in re.findall(r"^Epoch +\d+ +train loss (\S+)", output, re.M)]


def _png_size(path: pathlib.Path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", header[16:24])
