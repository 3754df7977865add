"""Batch normalisation under `tf.distribute.MirroredStrategy`, on two logical CPUs."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from tests.engine.distributed_batch_norm import DECAY, INPUTS
from tests.support.processes import run_program

PROGRAM = pathlib.Path(__file__).with_name("distributed_batch_norm.py")
PARTS = np.array(INPUTS)
# After two equal updates of averages that begin with zeros and ones.
KEPT = DECAY**2
MEANS = (1 - KEPT) * PARTS.mean(axis=1)
VARIANCES = KEPT + (1 - KEPT) * PARTS.var(axis=1)


@pytest.fixture(scope="module")
def found() -> Any:
    """What the program found."""
    return run_program(PROGRAM)


def test_each_replica_normalises_its_own_part(found: Any) -> None:
    mean, deviation = PARTS.mean(axis=1, keepdims=True), PARTS.std(axis=1, keepdims=True)
    np.testing.assert_allclose(found["outputs"], (PARTS - mean) / deviation, 1e-5, 1e-5)


def test_each_replica_has_moving_averages_of_its_own(found: Any) -> None:
    assert found["types"] == ["MirroredVariable", "SyncOnReadVariable"]
    np.testing.assert_allclose(np.squeeze(found["means"]), MEANS, 1e-5)
    np.testing.assert_allclose(np.squeeze(found["variances"]), VARIANCES, 1e-5)
    assert abs(MEANS[0] - MEANS[1]).min() > 0.1
    expected = (PARTS - MEANS[:, None]) / np.sqrt(VARIANCES)[:, None]
    np.testing.assert_allclose(found["test outputs"], expected, 1e-5, 1e-5)


def test_outside_they_are_one_their_mean(found: Any) -> None:
    np.testing.assert_allclose(np.squeeze(found["mean outside"]), MEANS.mean(axis=0), 1e-5)


def test_checkpoint_gives_each_replica_the_mean(found: Any) -> None:
    mean, variance = MEANS.mean(axis=0), VARIANCES.mean(axis=0)
    np.testing.assert_allclose(np.squeeze(found["restored means"]), [mean, mean], 1e-5)
    expected = (PARTS - mean) / np.sqrt(variance)
    np.testing.assert_allclose(found["restored test outputs"], expected, 1e-5, 1e-5)
