"""Whatever a module is given, it answers or raises a named error."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import sonnet as snt
from tests.support.descriptors import DESCRIPTORS, Descriptor

DTYPES = ("float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8", "bool", "string")
NAMED_ERRORS = (snt.Error, ValueError, TypeError, NotImplementedError, tf.errors.OpError)


def tensor_of(shape: list[int], dtype: str) -> Any:
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3 - 1
    if dtype == "string":
        return tf.constant(values.astype(str), tf.string, shape)
    return tf.cast(tf.constant(values), dtype)


def states(descriptor: Descriptor, shape: list[int], dtype: str) -> list[Any]:
    """Returns the parts of a state that would go with an input, of numbers as far as possible."""
    dtype = dtype if tf.as_dtype(dtype).is_floating else "float32"
    parts = descriptor.inputs(dtype, batch_size=shape[0] if shape else None)[1:]
    return [tf.constant(part) for part in parts]


@pytest.mark.parametrize("descriptor", [d for d in DESCRIPTORS if d.shape], ids=lambda d: d.name)
@hypothesis.settings(max_examples=12, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    first=st.lists(st.integers(0, 4), max_size=5),
    later=st.lists(st.integers(0, 4), max_size=5),
    dtype=st.sampled_from(DTYPES),
)
def test_random_tensors(
    descriptor: Descriptor, first: list[int], later: list[int], dtype: str
) -> None:
    module = descriptor.make()
    for shape in (first, list(descriptor.shape or ()), later):
        try:
            outputs = descriptor.connect(
                module, tensor_of(shape, dtype), *states(descriptor, shape, dtype)
            )
        except NAMED_ERRORS:
            continue
        assert module.is_connected
        for output in tf.nest.flatten(outputs):
            assert tf.convert_to_tensor(output).shape.is_fully_defined()


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=lambda d: d.name)
@pytest.mark.parametrize(
    "odd", [None, object(), "text", {"a": 1}, len], ids=["None", "object", "text", "dict", "len"]
)
def test_what_is_no_tensor(descriptor: Descriptor, odd: Any) -> None:
    state = map(tf.constant, descriptor.inputs()[1:])
    try:
        outputs = descriptor.connect(descriptor.make(), odd, *state)
    except NAMED_ERRORS:
        return
    for output in tf.nest.flatten(outputs):  # text, for one, can be a tensor
        tf.convert_to_tensor(output)


@pytest.mark.parametrize("descriptor", [d for d in DESCRIPTORS if d.shape], ids=lambda d: d.name)
def test_an_empty_batch(descriptor: Descriptor) -> None:
    inputs = map(tf.constant, descriptor.inputs(batch_size=0))
    try:
        outputs = descriptor.connect(descriptor.make(), *inputs)
    except tf.errors.OpError:  # of kernels that refuse
        return
    sizes = [tf.convert_to_tensor(output).shape for output in tf.nest.flatten(outputs)]
    assert 0 in {size.num_elements() for size in sizes}
