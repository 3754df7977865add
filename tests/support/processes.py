"""Programs that need a Python of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_program(program: Path, *arguments: str, timeout: float = 300) -> Any:
    """Runs a program that prints one line of JSON last, and returns what it says.

    Args:
        program: Path of the file.
        *arguments: Arguments of the command line.
        timeout: Seconds after which the program is stopped.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", str(program), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{program.name} {arguments} failed:\n{done.stderr[-4000:]}"
    return json.loads(done.stdout.splitlines()[-1])
