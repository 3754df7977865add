"""What the tests of the examples share."""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


def bar_images(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images `[number, 28, 28]` of bars, which are quickly learnt, and labels.

    Args:
        number: How many; as many of each label.
        seed: Of their order.
    """
    labels = np.random.default_rng(seed).permutation(np.arange(number) % 10)
    images = np.zeros([number, 28, 28], np.float32)
    for image, label in zip(images, labels, strict=True):
        image[4 + 2 * label : 7 + 2 * label, 6:22] = 1  # a bar's place is its label
    return images, labels


def check_png(path: pathlib.Path) -> None:
    """Checks that a file is a picture in PNG, more than 600 pixels wide."""
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(header[16:20], "big") > 600


def check_refused(
    main: Callable[[], Any],
    arguments: list[str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Checks that a program refuses its arguments, as a command line does.

    Args:
        main: Runs the program.
        arguments: What is given to it.
        complaint: Pattern of what it says.
        monkeypatch: The fixture.
        capsys: The fixture.
    """
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert re.search(complaint, capsys.readouterr().err)
