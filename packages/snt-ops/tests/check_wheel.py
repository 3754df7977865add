"""Checks a wheel in a fresh environment; the nox session `wheel_ops` runs it."""

import importlib.metadata

import numpy as np
import tensorflow as tf

import snt_ops
from snt_ops.resampler import resampler, resampler_is_available


def test_the_wheel_is_for_many_machines():
    tags = importlib.metadata.distribution("snt-ops").read_text("WHEEL")
    assert "manylinux" in tags


def test_the_compiled_op_is_there_and_computes():
    assert snt_ops.build_info().tensorflow.split(".")[:2] == tf.__version__.split(".")[:2]
    assert resampler_is_available()
    data = tf.constant(np.arange(12.0, dtype=np.float32).reshape(1, 3, 4, 1))
    warp = tf.constant([[[1.5, 0.5], [3.5, 2.0]]])
    with tf.GradientTape() as tape:
        tape.watch(warp)
        samples = resampler(data, warp)
    assert samples.numpy().ravel().tolist() == [3.5, 5.5]
    # The second sample fades to the right, and downwards too.
    assert tape.gradient(samples, warp).numpy().tolist() == [[[1, 4], [-11, -5.5]]]
