"""`BatchReshape`, `BatchFlatten` and `FlattenTrailingDimensions`."""

import contextlib
import math

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import strategies as st

import sonnet as snt


def array(*shape):
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


def placeholder(*shape):
    return tf1.placeholder(tf.float32, shape)


@pytest.mark.parametrize(
    ("shape", "preserve_dims", "inputs", "outputs"),
    [
        ([2, 6], 1, (5, 4, 3), (5, 2, 6)),
        ((2, -1), 1, (5, 4, 3), (5, 2, 6)),
        ((-1,), 1, (5, 4, 3), (5, 12)),
        ((3, 2, -1), 2, (5, 4, 12), (5, 4, 3, 2, 2)),
        ((12,), 1, (0, 4, 3), (0, 12)),
        ((2, -1), 1, (5, 0, 3), (5, 2, 0)),
        ((-1,), 3, (5, 4, 3), (5, 4, 3, 1)),
        ((1, 1), 2, (5, 4), (5, 4, 1, 1)),
        ((), 1, (5, 1, 1), (5,)),
        ((), 1, (5,), (5,)),
        (tf.TensorShape([3, 4]), 1, (5, 12), (5, 3, 4)),
        ([tf1.Dimension(3), np.int64(4)], 1, (5, 12), (5, 3, 4)),
        (lambda: [3, 4], 1, (5, 12), (5, 3, 4)),
        (lambda: iter([3, 4]), 1, (5, 12), (5, 3, 4)),
    ],
)
def test_reshapes_all_but_the_preserved_axes(shape, preserve_dims, inputs, outputs, mode):
    module = snt.BatchReshape(shape, preserve_dims=preserve_dims)
    for batch in (inputs[0], 7):
        given = array(batch, *inputs[1:])
        np.testing.assert_array_equal(mode.run(module, given), given.reshape(batch, *outputs[1:]))
        assert module.input_shape == list(inputs[preserve_dims:])
    assert module.variables == ()


@pytest.mark.parametrize(
    ("shape", "preserve_dims", "sizes", "message"),
    [
        ((-1,), 3, (5, 4), "Input tensor has 2 dimensions, but preserve_dims is 3"),
        ((3,), 1, (5, 4), "Output shape is incompatible with input shape"),
        ((-2,), 1, (5, 4), "Output shape is incompatible with input shape"),
        ((3,), 1, (5, None), "Unknown non-preserved dimensions are not allowed"),
        ((2, 0), 1, (5, 4), "Desired shape can only contain positive integral numbers"),
        ((-2, -1), 1, (5, 4), "Desired shape can only contain positive integral numbers"),
        ((2.0, 2), 1, (5, 4), "Desired shape can only contain positive integral numbers"),
        (("2", 2), 1, (5, 4), "Desired shape can only contain positive integral numbers"),
        ((2, None), 1, (5, 4), "Desired shape can only contain positive integral numbers"),
        ((0, -1, -1), 1, (5, None), "Desired shape can only contain positive integral numbers"),
        ((-1, -1), 1, (5, None), "Wildcard -1 can appear only once"),
        ((2, -1), 1, (5, None), "Unknown non-preserved dimensions are not allowed"),
        ((-1,), 1, (5, None, 3), "Unknown non-preserved dimensions are not allowed"),
        ((2, 3), 1, (5, 4), "Output shape is incompatible with input shape"),
        ((3, -1), 1, (5, 4), "Output shape is incompatible with input shape"),
        ((2, 3), 1, (5, 0), "Output shape is incompatible with input shape"),
        ((), 1, (5, 4), "Output shape is incompatible with input shape"),
        ((2,), 2, (5, 4), "Output shape is incompatible with input shape"),
    ],
)
@pytest.mark.parametrize("in_function", [False, True])
def test_errors_of_the_connection(shape, preserve_dims, sizes, message, in_function):
    module = snt.BatchReshape(shape, preserve_dims)
    spec = [tf.TensorSpec(sizes, tf.float32)]
    function = tf.function(module, input_signature=spec, autograph=False)
    with tf.Graph().as_default() if not in_function else contextlib.nullcontext():
        connect = function.get_concrete_function if in_function else module
        inputs = [] if in_function else [placeholder(*sizes)]
        with pytest.raises(ValueError, match=f"batch_reshape.*: {message}"):
            connect(*inputs)
    assert not module.is_connected


@pytest.mark.parametrize("preserve_dims", [0, -1])
def test_the_batch_is_always_preserved(preserve_dims):
    with pytest.raises(ValueError, match="preserve_dims"):
        snt.BatchReshape([1], preserve_dims)
    with pytest.raises(ValueError, match="preserve_dims"):
        snt.BatchFlatten(preserve_dims)
    with pytest.raises(ValueError, match="dim_from"):
        snt.FlattenTrailingDimensions(preserve_dims)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [([-1], (5, 4)), ([4], (5, 4)), ([-1], (None, None)), ([4], (None, 4)), ([0], (5, 0))],
)
def test_gives_back_the_same_tensor_where_nothing_changes(shape, sizes):
    with tf.Graph().as_default() as graph:
        inputs = placeholder(*sizes)
        assert snt.BatchReshape(shape)(inputs) is inputs
        assert len(graph.get_operations()) == 1
    if None not in sizes:
        eager = tf.ones(sizes)
        assert snt.BatchReshape(shape)(eager) is eager


def test_unknown_rank_is_an_error():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="unknown TensorShape"):
        snt.BatchFlatten()(tf1.placeholder(tf.float32))


sizes_and_known = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=4)
targets = st.lists(st.sampled_from([-2, -1, -1, 0, 1, 1, 2, 3, 4, 6, 8, 12]), max_size=3)


def numpy_shape(static, shape, preserve_dims, target):
    """Returns NumPy's shape of the trailing axes, or None where there is to be an error."""
    trailing, known = shape[preserve_dims:], None not in static[preserve_dims:]
    if len(shape) < preserve_dims:
        return None
    if len(trailing) == len(target) == 1 and (target == [-1] or (known and target == trailing)):
        return trailing
    if not known or any(size < 1 and size != -1 for size in target):
        return None
    try:
        return list(np.empty(trailing).reshape(target).shape)
    except ValueError:
        return None


@hypothesis.settings(max_examples=250, deadline=None)
@hypothesis.given(sizes_and_known, targets, st.integers(1, 3), st.booleans())
def test_any_shape(sizes_and_known, target, preserve_dims, make_fit):
    """NumPy's reshape of the trailing axes, or a ValueError."""
    shape = [size for size, _ in sizes_and_known]
    static = [size if known else None for size, known in sizes_and_known]
    if make_fit:
        elements = math.prod(shape[preserve_dims:])
        target = [size for size in target if size > 0 and elements % size == 0][:1] + [-1]
    expected = numpy_shape(static, shape, preserve_dims, target)
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = placeholder(*static)
        module = snt.BatchReshape(target, preserve_dims)
        if expected is None:
            with pytest.raises(ValueError, match=r"^batch_reshape: "):
                module(inputs)
            return
        outputs = module(inputs)
        known = static[preserve_dims:] if None in static[preserve_dims:] else expected
        assert outputs.shape.as_list() == static[:preserve_dims] + known
        given = array(*shape)
        value = session.run(outputs, {inputs: given})
        np.testing.assert_array_equal(value, given.reshape(shape[:preserve_dims] + expected))


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(sizes_and_known, st.integers(1, 3))
def test_a_transpose_restores_any_shape(sizes_and_known, preserve_dims):
    shape = [size for size, _ in sizes_and_known]
    hypothesis.assume(len(shape) >= preserve_dims and 0 not in shape[preserve_dims:])
    static = [
        size if known or dim >= preserve_dims else None
        for dim, (size, known) in enumerate(sizes_and_known)
    ]
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = placeholder(*static)
        flatten = snt.BatchFlatten(preserve_dims)
        restored = flatten.transpose()(flatten(inputs))
        assert restored.shape.as_list() == static
        given = array(*shape)
        np.testing.assert_array_equal(session.run(restored, {inputs: given}), given)


# Transposes.


def test_a_transpose_waits_for_the_original(mode):
    module = snt.BatchReshape([2, 6], name="original")
    transposed = module.transpose()
    again = transposed.transpose()
    for early in (transposed, again):
        with pytest.raises(snt.NotConnectedError, match="in original.* not instantiated yet"):
            mode.run(transposed, array(5, 2, 6))
        assert not early.is_connected
    assert mode.run(module, array(5, 4, 3)).shape == (5, 2, 6)
    assert mode.run(transposed, array(5, 2, 6)).shape == (5, 4, 3)
    assert mode.run(again, array(5, 4, 3)).shape == (5, 2, 6)
    assert transposed.input_shape == [2, 6]


def test_a_transpose_keeps_the_first_shape_that_it_saw(mode):
    module = snt.BatchFlatten()
    transposed = module.transpose()
    mode.run(module, array(5, 4, 3))
    assert mode.run(transposed, array(5, 12)).shape == (5, 4, 3)
    mode.run(module, array(5, 6, 2))
    assert module.input_shape == [6, 2]
    assert mode.run(transposed, array(5, 12)).shape == (5, 4, 3)
    assert mode.run(module.transpose(), array(5, 12)).shape == (5, 6, 2)


def test_a_callable_shape_is_called_once(mode):
    shapes = iter([[2, 6]])
    module = snt.BatchReshape(lambda: next(shapes))
    for _ in range(2):
        assert mode.run(module, array(5, 12)).shape == (5, 2, 6)


def test_a_failed_connection_leaves_the_input_shape(mode):
    module = snt.BatchReshape([2, 6])
    mode.run(module, array(5, 4, 3))
    with pytest.raises(ValueError, match="Output shape is incompatible"):
        mode.run(module, array(5, 4, 4))
    assert module.input_shape == [4, 3]


@pytest.mark.parametrize("preserve_dims", [1, 2])
def test_an_empty_shape_is_restored(preserve_dims, mode):
    module = snt.BatchReshape([1, 1], preserve_dims)
    shape = (5, 4)[:preserve_dims]
    outputs = mode.run(module, array(*shape))
    assert module.input_shape == []
    np.testing.assert_array_equal(mode.run(module.transpose(), outputs), array(*shape))


def test_names_of_transposes(mode):
    with tf1.variable_scope("first"):
        modules = [snt.BatchReshape([1]), snt.BatchFlatten(), snt.FlattenTrailingDimensions(1)]
    with tf1.variable_scope("second"):
        transposed = [module.transpose() for module in modules]
    assert [module.scope_name for module in transposed] == [
        "second/batch_reshape_transpose",
        "second/batch_flatten_transpose",
        "second/batch_dim_from_transpose",
    ]
    assert {type(module) for module in transposed} == {snt.BatchReshape}
    assert modules[0].transpose(name="back").scope_name == "back"


def test_input_shape_needs_a_connection(mode):
    with pytest.raises(snt.NotConnectedError, match="Variables in batch_reshape not instantiated"):
        _ = snt.BatchReshape([1]).input_shape


# BatchFlatten, FlattenTrailingDimensions.


@pytest.mark.parametrize("make", [snt.BatchFlatten, snt.FlattenTrailingDimensions])
@pytest.mark.parametrize(
    ("axis", "shape"), [(1, (2, 60)), (2, (2, 3, 20)), (3, (2, 3, 4, 5)), (4, (2, 3, 4, 5, 1))]
)
def test_flattens_from_an_axis(make, axis, shape, mode):
    given = array(2, 3, 4, 5)
    np.testing.assert_array_equal(mode.run(make(axis), given), given.reshape(shape))


def test_flattens_axes_of_size_0(mode):
    assert mode.run(snt.BatchFlatten(), array(2, 3, 0)).shape == (2, 0)


def test_too_small_a_rank(mode):
    message = "Input tensor has 4 dimensions, but "
    with pytest.raises(ValueError, match=message + "preserve_dims is 5"):
        mode.run(snt.BatchFlatten(5), array(2, 3, 4, 5))
    with pytest.raises(ValueError, match=message + "dim_from"):
        mode.run(snt.FlattenTrailingDimensions(dim_from=5), array(2, 3, 4, 5))
