"""What the tests of the examples share."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest


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
