"""Layers beside bare TensorFlow and the peers, forward and in a training step.

Each is run eagerly, in `tf.function`, and in a graph. PyTorch has no counterpart of `tf.function`
that its users would take for a layer, and stands beside both; Keras 3 and Sonnet 2 know no graphs
with sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import counts
from benchmarks.networks import MODES
from benchmarks.problems import LAYERS, Problem
from benchmarks.side_by_side import interleaved

ROUNDS = 11


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", ["forward", "train"])
@pytest.mark.parametrize("make", LAYERS)
def test_layer(make: Callable[[], Problem], what: str, mode: str, measure: Any, peers: Any) -> None:
    measure(interleaved(make(), mode, what, peers), rounds=ROUNDS)


@pytest.mark.ours
@pytest.mark.parametrize("make", LAYERS)
def test_ops_and_variables(make: Callable[[], Problem], report_counts: Any) -> None:
    bare, ours, *_ = counts.report_graph(make(), report_counts)
    for what in ("ops, first connection", "ops, later connection", "variables"):
        assert ours[what] == bare[what]


@pytest.mark.ours
@pytest.mark.parametrize("make", LAYERS)
def test_eager_call(make: Callable[[], Problem], report_counts: Any) -> None:
    counts.report_eager_call(make(), report_counts)
