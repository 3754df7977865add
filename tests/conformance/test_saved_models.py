"""Every module as a SavedModel: loaded, it is called as the module is, and gives the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.descriptors import DESCRIPTORS, Descriptor


class Recorder:
    """Calls a module, and remembers what it is called with."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.args, self.kwargs = args, kwargs
        return self.module(*args, **kwargs)


def specification(value: Any, batch_size: int | None) -> Any:
    """Returns what stands for a tensor, with an unknown size for that of the batch."""
    if not tf.is_tensor(value):
        return value
    shape = value.shape.as_list()
    if batch_size in shape:
        shape[shape.index(batch_size)] = None
    return tf.TensorSpec(shape, value.dtype)


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=lambda descriptor: descriptor.name)
def test_a_saved_model_does_what_the_module_does(descriptor: Descriptor, tmp_path: Path) -> None:
    tf1.reset_default_graph()
    module = descriptor.make()
    recorder = Recorder(module)
    descriptor.connect(recorder, *map(tf.constant, descriptor.inputs()))
    unknown = descriptor.shape[0] if descriptor.unknown_batch and descriptor.shape else None
    args, kwargs = tf.nest.map_structure(
        lambda value: specification(value, unknown), (recorder.args, recorder.kwargs)
    )
    snt.export(module, tmp_path / "model", *args, **kwargs)
    loaded = tf.saved_model.load(os.fspath(tmp_path / "model"))
    assert [v.name for v in loaded.variables] == [v.name for v in module.variables]
    assert len(loaded.trainable_variables) == len(module.trainable_variables)
    # As many examples as the descriptor says, and where it can be another number.
    for batch_size in [None, 3] if unknown else [None]:
        tensors = [tf.constant(array) for array in descriptor.inputs(batch_size=batch_size)]
        found = tf.nest.flatten(descriptor.connect(loaded, *tensors))
        expected = tf.nest.flatten(descriptor.connect(module, *tensors))
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            if not descriptor.random:
                np.testing.assert_allclose(one, other, 1e-5, 1e-5)
