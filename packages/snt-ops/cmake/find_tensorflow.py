"""Prints `folder;version;ABI` of the TensorFlow to build for, or nothing where there is none.

Looks, in this order, into TENSORFLOW_ROOT (argument, then environment variable), what this Python
can import, its site-packages (pip hides them from imports while it builds), and the environments
of the `python3` on the PATH (uv builds in an environment of its own, but leaves the PATH). A
TENSORFLOW_ROOT that holds no TensorFlow is an error.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pathlib
import sys
import sysconfig
from collections.abc import Iterator

LIBRARY = "libtensorflow_framework.so.2"
DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tensorflow_cpu")


def main() -> int:
    """Returns the exit status."""
    wish = sys.argv[1] or os.environ.get("TENSORFLOW_ROOT", "")
    if wish:
        root = pathlib.Path(wish)
        if not (root / LIBRARY).exists():
            print(f"There is no {LIBRARY} in TENSORFLOW_ROOT={root}.", file=sys.stderr)
            return 1
        print(describe(root))
        return 0
    for root in places():
        if (root / LIBRARY).exists():
            print(describe(root))
            break
    return 0


def places() -> Iterator[pathlib.Path]:
    """Yields where TensorFlow may be, the best place first."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is not None and spec.origin:
        yield pathlib.Path(spec.origin).parent
    yield pathlib.Path(sysconfig.get_path("purelib"), "tensorflow")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if pathlib.Path(folder, "python3").exists():
            yield pathlib.Path(folder).parent / "lib" / version / "site-packages" / "tensorflow"


def describe(root: pathlib.Path) -> str:
    """Returns what CMake wants to know; TensorFlow itself is not imported, which takes seconds."""
    versions = [
        distribution.version
        for distribution in importlib.metadata.distributions(path=[str(root.parent)])
        if distribution.metadata["Name"] in DISTRIBUTIONS
    ]
    # Wheels of TensorFlow 2 for Linux are built with the new ABI of libstdc++.
    return f"{root.resolve().as_posix()};{versions[0] if versions else 'unknown'};1"


if __name__ == "__main__":
    sys.exit(main())
