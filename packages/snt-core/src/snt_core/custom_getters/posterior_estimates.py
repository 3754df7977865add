"""Weights from a posterior: a sample, its mean, or the sample that was drawn last."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


class EstimatorModes:
    """What weights are: the values of `sampling_mode_tensor`.

    Attributes:
        sample: A new sample from the posterior.
        mean: The mean of the posterior.
        last_sample: The sample that was drawn last; for posteriors with a method `last_sample`.
    """

    sample = "sample"
    mean = "mean"
    last_sample = "last"


def check_reparameterised(name: str, posterior: Any) -> None:
    """Checks that gradients flow through the samples of a posterior.

    Args:
        name: Full name of the weights.
        posterior: The posterior distribution.

    Raises:
        ValueError: If they don't, or the posterior doesn't say so.
    """
    # By its text, since the type is one of TensorFlow Probability, which may not be there.
    kind = getattr(posterior, "reparameterization_type", None)
    if "FULLY_REPARAMETERIZED" not in str(kind):
        raise ValueError(
            f"The posterior {posterior!r} of variable '{name}' is incompatible with Bayes by "
            "Backprop: no gradient flows through its samples. Its reparameterization_type is "
            f"{kind!r}, and must be FULLY_REPARAMETERIZED (that text will do)."
        )


def takes_stateless_seed(posterior: Any) -> bool:
    """Tells whether the posterior draws the same again when it gets the same seed."""
    # Others may have a `seed` too, but mean by it what differs from call to call.
    kinds = type(posterior).__mro__
    return any(kind.__module__.startswith("tensorflow_probability.") for kind in kinds)


def estimate_weights(posterior: Any, mode: Any, seed: tf.Tensor | None) -> tf.Tensor:
    """Builds weights from the posterior.

    Args:
        posterior: The posterior distribution.
        mode: See `sampling_mode_tensor` of `bayes_by_backprop_getter`.
        seed: Stateless seed of the sample, shape `[2]`, or `None`.

    Returns:
        A tensor of the weights.

    Raises:
        tf.errors.InvalidArgumentError: For any other mode, when the tensor is evaluated.
    """

    def sample() -> tf.Tensor:
        return posterior.sample() if seed is None else posterior.sample(seed=seed)

    if mode is None:
        return sample()
    branches = {EstimatorModes.sample: sample, EstimatorModes.mean: posterior.mean}
    if hasattr(posterior, "last_sample"):
        branches[EstimatorModes.last_sample] = posterior.last_sample
    mode = tf.convert_to_tensor(mode, tf.string)
    static_mode = tf.get_static_value(mode)
    if static_mode is not None:
        branch = branches.get(tf.compat.as_text(np.asarray(static_mode).item()))
        if branch is not None:
            return branch()

    valid = tf.debugging.Assert(
        tf.reduce_any(tf.equal(mode, list(branches))),
        ["Invalid posterior estimate mode.", mode, "Expected one of", list(branches)],
    )
    with tf.control_dependencies([valid]):
        mode = tf.identity(mode)
    return tf.case(
        [(tf.equal(mode, key), branch) for key, branch in branches.items() if branch != sample],
        default=sample,
    )
