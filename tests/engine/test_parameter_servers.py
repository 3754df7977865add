"""Modules under `tf.distribute.ParameterServerStrategy`, with two servers and a worker."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from tests.engine.parameter_servers import INPUTS
from tests.support.processes import run_program

PROGRAM = pathlib.Path(__file__).with_name("parameter_servers.py")


@pytest.fixture(scope="module")
def results() -> Any:
    """What the program found, for whole variables and for those cut in shards."""
    return run_program(PROGRAM)


def test_whole_variables_are_on_the_servers(results: Any) -> None:
    found = results["whole"]["linear"]
    values = {name: np.array(value) for name, value in found["values"].items()}
    assert {name: value.shape for name, value in values.items()} == {
        "linear/b:0": (3,),
        "linear/w:0": (2, 3),
    }
    assert set(found["servers"].values()) == {0, 1}
    expected = INPUTS @ values["linear/w:0"] + values["linear/b:0"]
    np.testing.assert_allclose(found["outputs"], expected, 1e-5, 1e-5)


def test_sharded_variables_are_on_both_servers(results: Any) -> None:
    found = results["sharded"]["linear"]
    values = {name: np.array(value) for name, value in found["values"].items()}
    assert {name: value.shape for name, value in values.items()} == {
        "linear/b/part_0:0": (2,),
        "linear/b/part_1:0": (1,),
        "linear/w/part_0:0": (1, 3),
        "linear/w/part_1:0": (1, 3),
    }
    for name, server in found["servers"].items():
        assert f"part_{server}" in name
    w = np.concatenate([values["linear/w/part_0:0"], values["linear/w/part_1:0"]])
    b = np.concatenate([values["linear/b/part_0:0"], values["linear/b/part_1:0"]])
    np.testing.assert_allclose(found["outputs"], INPUTS @ w + b, 1e-5, 1e-5)


@pytest.mark.parametrize("cut", ["whole", "sharded"])
def test_moving_averages_are_updated_by_the_worker(cut: str, results: Any) -> None:
    found, inputs = results[cut]["norm"], np.array(INPUTS)
    mean, variance = inputs.mean(axis=0), inputs.var(axis=0)
    np.testing.assert_allclose(
        found["outputs"], (inputs - mean) / np.sqrt(variance + 1e-3), 1e-5, 1e-5
    )
    # Once by the coordinator, once by the worker; they begin with zeros and ones.
    values = {name: np.squeeze(value) for name, value in found["values"].items()}
    np.testing.assert_allclose(values["batch_norm/moving_mean:0"], 0.75 * mean, 1e-5)
    np.testing.assert_allclose(values["batch_norm/moving_variance:0"], 0.25 + 0.75 * variance, 1e-5)
