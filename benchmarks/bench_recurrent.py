"""Cores over whole sequences: the unroll beside what else there is to run one.

Each shape is `[time, batch, inputs, hidden units]`; the forward pass alone, or a training step with
the gradient of the inputs. The ways have the same weights, and their outputs and losses are
compared before anything is timed. Bare TensorFlow is a `tf.while_loop` with a step that is written
by hand.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.problems import sequence
from benchmarks.side_by_side import interleaved

SMALL, LARGE = [64, 32, 128, 128], [64, 128, 256, 512]
SHAPES = ([32, 4, 64, 256], SMALL)
EXPENSIVE = ([64, 32, 128, 512], LARGE)

CASES = [
    pytest.param("LSTM", shape, marks=pytest.mark.expensive if shape in EXPENSIVE else ())
    for shape in (*SHAPES, *EXPENSIVE)
] + [(core, SMALL) for core in ("GRU", "VanillaRNN", "HighwayCore", "DeepRNN")]


@pytest.mark.parametrize(("core", "shape"), CASES)
@pytest.mark.parametrize("what", ["forward", "train"])
def test_in_function(
    what: str, core: str, shape: list[int], measure: Any, peers: Any, report_counts: Any
) -> None:
    rounds = 3 if shape == LARGE else 7
    measure(interleaved(sequence(core, shape), "tf.function", what, peers), rounds=rounds)
    if (what, core) == ("train", "LSTM"):
        report_counts(f"LSTM {shape}: bytes kept for the backward pass", kept_bytes(shape))


@pytest.mark.parametrize("core", ["LSTM", "GRU"])
def test_in_graph(core: str, measure: Any, peers: Any) -> None:
    measure(interleaved(sequence(core, SMALL), "graph", "train", peers), rounds=7)


def kept_bytes(shape: list[int]) -> dict[str, int]:
    """Returns what the unroll keeps: hidden states, cells and the four gates of all steps."""
    time, batch, _, hidden = shape
    return {"snt.dynamic_unroll": 6 * time * batch * hidden * 4}
