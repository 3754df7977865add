"""Names and values of variables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tests.support.modes import Mode


def names(variables: Iterable[Any]) -> list[str]:
    """Returns the names of variables, as a checkpoint has them."""
    return [variable.name.removesuffix(":0") for variable in variables]


def randomise(variables: Iterable[Any], mode: Mode, seed: int = 1) -> list[np.ndarray[Any, Any]]:
    """Gives variables random values, since biases start as zeros, and returns them."""
    random = np.random.default_rng(seed)
    values = []
    for variable in variables:
        values.append(random.normal(size=variable.shape).astype(np.float32))
        mode.assign(variable, values[-1])
    return values
