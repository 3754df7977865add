"""Whole models beside bare TensorFlow and the peers: a training step.

It is run in `tf.function` and in a graph. Nobody but this library has a Transformer-XL; bare
TensorFlow's, and the quantisers of the VQ-VAE of Keras and of PyTorch, are written by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import counts
from benchmarks.problems import MODELS, Problem
from benchmarks.side_by_side import interleaved

ROUNDS = 11


@pytest.mark.parametrize("mode", ["tf.function", "graph"])
@pytest.mark.parametrize("make", MODELS)
def test_model(make: Callable[[], Problem], mode: str, measure: Any, peers: Any) -> None:
    measure(interleaved(make(), mode, "train", peers), rounds=ROUNDS)


@pytest.mark.ours
@pytest.mark.parametrize("make", MODELS)
def test_ops_and_variables(make: Callable[[], Problem], report_counts: Any) -> None:
    counts.report_graph(make(), report_counts)
