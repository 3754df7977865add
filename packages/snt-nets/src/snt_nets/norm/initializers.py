"""Default initializers of the normalisation layers."""

from __future__ import annotations

from typing import Any

import tensorflow.compat.v1 as tf1


def create_beta_initializer() -> Any:
    """Returns the default initializer of an offset: zeros."""
    return tf1.zeros_initializer()


def create_gamma_initializer() -> Any:
    """Returns the default initializer of a scale: ones."""
    return tf1.ones_initializer()


def create_mean_initializer() -> Any:
    """Returns the default initializer of a moving mean: zeros."""
    return tf1.zeros_initializer()


def create_variance_initializer() -> Any:
    """Returns the default initializer of a moving variance: ones."""
    return tf1.ones_initializer()
