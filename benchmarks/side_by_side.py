"""Puts the peers side by side: the same problem, outputs and losses compared before it is timed."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.interleaved import Interleaved, repeated
from benchmarks.networks import Network, Runner, runner
from benchmarks.problems import Problem

TARGET_SECONDS = 0.03  # about what a way works in a round
STEPS = 3


def runners(problem: Problem, mode: str, peers: Iterable[ModuleType]) -> dict[str, Runner]:
    """Returns a runner for each way of the peers that can do it in a mode, by its name.

    Args:
        problem: What is computed.
        mode: How; one of `benchmarks.networks.MODES`.
        peers: The peers, bare TensorFlow first; see `benchmarks.peers`.
    """
    found: dict[str, Runner] = {}
    for peer in peers:
        if mode not in peer.MODES:
            continue
        for name, build in peer.WAYS.get(problem.kind, {}).items():

            def network(build: Any = build) -> Network:
                return build(problem)

            made = build(problem) if peer.MAKES_RUNNERS else runner(network, problem, mode)
            if made is not None:
                found[name] = made
    return found


def interleaved(
    problem: Problem, mode: str, what: str, peers: Iterable[ModuleType], title: str | None = None
) -> Interleaved:
    """Returns what measures a problem, after comparing what the ways give.

    Args:
        problem: What is computed.
        mode: How; one of `benchmarks.networks.MODES`.
        what: "forward" or "train".
        peers: As for `runners`.
        title: Of the benchmark. Default: it names all of these.
    """
    found = runners(problem, mode, peers)
    compare(found, what)
    timed = {}
    for name, way in found.items():
        run = way.forward if what == "forward" else way.train
        run()
        seconds = min(repeated(run, 1).time().cpu for _ in range(3))
        timed[name] = repeated(run, max(1, min(1000, int(TARGET_SECONDS / max(seconds, 1e-6)))))
    step = "forward" if what == "forward" else "training step"
    return Interleaved(title or f"{problem.name}: {step}, {mode}", timed)


def compare(found: dict[str, Runner], what: str) -> None:
    """Raises an error if the outputs of the ways differ, or the losses of some training steps."""
    (first, baseline), *others = found.items()
    expected = baseline.outputs()
    scale = np.abs(expected).max()
    for name, way in others:
        message = f"outputs of {name} beside {first}"
        np.testing.assert_allclose(
            way.outputs(), expected, rtol=1e-3, atol=1e-4 * scale, err_msg=message
        )
    if what == "forward":
        return
    losses = [baseline.loss() for _ in range(STEPS)]
    if not abs(losses[-1] - losses[0]) > 5e-4 * abs(losses[0]):
        raise AssertionError(f"{first} learns nothing, so that there is nothing to compare.")
    for name, way in others:
        message = f"losses of {name} beside {first}"
        np.testing.assert_allclose(
            [way.loss() for _ in range(STEPS)], losses, rtol=1e-4, err_msg=message
        )
