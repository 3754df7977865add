"""The same networks by this library, and by what its users would pick instead.

Each module has the networks of one peer: `WAYS`, by kind of problem and by name of the way the
function that builds it; `MODES`, how these can be run; and `MAKES_RUNNERS`, whether the functions
return a `benchmarks.networks.Runner` and not a `Network`. A peer that is not installed is left out.
Sonnet 2 has the import name of this library, so that one of the two can be there: each is held
against bare TensorFlow in an environment of its own.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from types import ModuleType

BASELINE = "bare TensorFlow"

# The module of each peer, and the package that it needs.
PEERS = {
    "bare": "tensorflow",
    "ours": "snt_core",
    "keras_peer": "keras",
    "sonnet2_peer": "dm-sonnet",
    "torch_peer": "torch",
}


def is_installed(package: str) -> bool:
    """Returns whether a peer can take part."""
    if package == "dm-sonnet":
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return False
        return not is_installed("snt_core")
    return importlib.util.find_spec(package) is not None


def installed(with_others: bool = True) -> list[ModuleType]:
    """Returns the modules of the peers that can take part, bare TensorFlow first.

    Args:
        with_others: Whether those besides bare TensorFlow and this library are among them.
    """
    names = list(PEERS) if with_others else ["bare", "ours"]
    return [
        importlib.import_module(f"benchmarks.peers.{name}")
        for name in names
        if is_installed(PEERS[name])
    ]


def left_out() -> list[str]:
    """Returns the packages of the peers that cannot take part."""
    return [package for package in PEERS.values() if not is_installed(package)]
