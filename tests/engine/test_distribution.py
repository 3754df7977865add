"""Modules under `tf.distribute.MirroredStrategy`, on two logical CPUs."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from tests.support.processes import run_program

FIRST = ["eager", "function", "run", "run in a function", "run of a function"]
PROGRAM = pathlib.Path(__file__).with_name("distributed_training.py")


@pytest.fixture(scope="module")
def results() -> Any:
    """What the training gave, by where the net was first connected."""
    return run_program(PROGRAM, *FIRST)


each_first = pytest.mark.parametrize("first", FIRST)


@each_first
def test_variables_are_mirrored(first: str, results: Any) -> None:
    assert results["one device"]["types"] == ["ResourceVariable"]
    found = results[first]
    assert found["types"] == ["MirroredVariable"]
    assert found["names"] == results["one device"]["names"]
    assert found["names"] == [
        f"net/{name}:0" for name in ("first/b", "first/w", "last/b", "last/w", "scale")
    ]
    assert found["in its scope"] == 4


@each_first
def test_training_is_that_of_one_device_with_the_whole_batch(first: str, results: Any) -> None:
    alone, found = results["one device"], results[first]
    assert alone["losses"][-1] < 0.9 * alone["losses"][0]
    np.testing.assert_allclose(found["losses"], alone["losses"], 1e-5)
    for value, expected in zip(found["values"], alone["values"], strict=True):
        np.testing.assert_allclose(value, expected, 1e-5, 1e-6)
    assert found["replicas agree"]
    np.testing.assert_allclose(found["outside"], alone["outside"], 1e-4, 1e-5)
