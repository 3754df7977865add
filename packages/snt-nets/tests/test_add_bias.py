"""`AddBias`."""

import itertools

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import strategies as st

import sonnet as snt

RNG = np.random.default_rng(0)
NORMAL = {"b": tf1.random_normal_initializer()}
ONES = {"b": tf1.ones_initializer()}


def array(*shape):
    return RNG.normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("bias_dims", "shape"),
    [
        (None, (3, 4, 5)),
        ([], ()),
        ([-1], (5,)),
        ([3], (5,)),
        ([1], (3, 1, 1)),
        ([2], (4, 1)),
        ([1, 3], (3, 1, 5)),
        ([3, 1], (3, 1, 5)),
        ((-3, -2), (3, 4, 1)),
        (range(2, 3), (4, 1)),
    ],
)
def test_the_bias_varies_along_bias_dims(bias_dims, shape, mode):
    module = snt.AddBias(bias_dims=bias_dims, initializers=NORMAL)
    inputs = array(2, 3, 4, 5)
    outputs = mode.run(module, inputs)
    b = mode.values(module.b)
    assert b.shape == shape
    np.testing.assert_allclose(outputs, inputs + b, 1e-6)
    assert module.input_shape == (2, 3, 4, 5)
    assert [v.name for v in module.variables] == ["add/b:0"]


def test_leading_axes_of_size_1_are_left_out(mode):
    for shape, bias_dims, expected in (
        ((2, 1, 4, 5), [1, 2], (4, 1)),
        ((2, 1, 4, 5), [1], ()),
        ((2, 1, 4, 5), None, (1, 4, 5)),
        ((2, 3, 1, 5), [1, 2], (3, 1, 1)),
    ):
        module = snt.AddBias(bias_dims=bias_dims)
        mode.run(module, np.zeros(shape, "float32"))
        assert tuple(module.b.shape) == expected


sizes = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=4)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(sizes, st.none() | st.lists(st.integers(-6, 6), max_size=3), st.integers(0, 9))
def test_any_input_and_bias_dims(sizes, bias_dims, seed):
    """The bias is the same along all other axes, or the named error comes."""
    shape = [size for size, _ in sizes]
    static = [size if known else None for size, known in sizes]
    rank = len(shape)
    kept = set(range(1, rank)) if bias_dims is None else {dim % max(rank, 1) for dim in bias_dims}
    misplaced = 0 in kept or any(not -rank <= dim < rank for dim in bias_dims or [])
    inputs = np.random.default_rng(seed).normal(size=shape)
    with tf.Graph().as_default(), tf1.Session() as session:
        placeholder = tf1.placeholder(tf.float64, static)
        module = snt.AddBias(bias_dims=bias_dims, initializers=NORMAL)
        if misplaced or rank < 2 or any(static[dim] is None for dim in kept):
            too_flat = rank < 2 and not misplaced
            with pytest.raises(snt.IncompatibleShapeError if too_flat else ValueError):
                module(placeholder)
            assert not module.is_connected
            return
        outputs = module(placeholder)
        assert outputs.shape.as_list() == static
        session.run(tf1.global_variables_initializer())
        outputs, b = session.run([outputs, module.b], {placeholder: inputs})
    ones_elsewhere = [size if dim in kept else 1 for dim, size in enumerate(shape)][1:]
    if bias_dims is not None:
        ones_elsewhere = list(itertools.dropwhile(lambda size: size == 1, ones_elsewhere))
    assert list(b.shape) == ones_elsewhere
    added = outputs - inputs
    if added.size:
        others = tuple(dim for dim in range(rank) if dim not in kept)
        np.testing.assert_allclose(added, np.broadcast_to(added.mean(others, keepdims=True), shape))
        assert len(np.unique(added.round(9))) == b.size


# Multiplier.


@pytest.mark.parametrize(
    "multiplier",
    [1, 1.0, True, np.float32(1), np.int64(1), -1, 0, 2.5, np.float32(2), np.array([[2.0], [3.0]])],
)
def test_the_multiplier_scales_the_bias(multiplier, mode):
    module = snt.AddBias(initializers=NORMAL)
    inputs = array(2, 3)
    outputs = mode.run(lambda x: module(x, multiplier), inputs)
    np.testing.assert_allclose(outputs, inputs + mode.values(module.b) * multiplier, 1e-5, 1e-6)


@pytest.mark.parametrize("multiplier", [[], [2, 1], [3], [2, 3]])
def test_the_multiplier_may_be_a_tensor(multiplier, mode):
    module = snt.AddBias(initializers=NORMAL)
    inputs, multiplier = array(2, 3), array(*multiplier)
    outputs = mode.run(lambda x, m: module(x, multiplier=m), inputs, multiplier)
    assert outputs.shape == inputs.shape
    np.testing.assert_allclose(outputs, inputs + mode.values(module.b) * multiplier, 1e-5, 1e-6)


def test_a_bias_can_be_taken_away_and_given_back(mode):
    module = snt.AddBias(initializers=ONES)
    np.testing.assert_array_equal(
        mode.run(lambda x: (module(x, -1), module(module(x, -1))), np.zeros([2, 3], np.int32)),
        [-np.ones([2, 3]), np.zeros([2, 3])],
    )


def test_a_multiplier_is_not_rounded_to_an_integer(mode):
    module = snt.AddBias(initializers=ONES)
    with pytest.raises((TypeError, ValueError)):
        mode.run(lambda x: module(x, 0.5), np.zeros([2, 3], np.int32))


def test_a_multiplier_of_1_makes_no_op():
    with tf.Graph().as_default() as graph:
        snt.AddBias()(tf.ones([2, 3]), multiplier=np.float32(1))
        assert "Mul" not in {op.type for op in graph.get_operations()}


# Errors.


@pytest.mark.parametrize("bias_dims", [[0], [-3], [1, 0]])
def test_the_batch_has_no_bias(bias_dims, mode):
    with pytest.raises(ValueError, match="Cannot apply bias across the minibatch dimension"):
        mode.run(snt.AddBias(bias_dims=bias_dims), array(2, 3, 4))


def test_the_batch_is_checked_before_the_rank(mode):
    with pytest.raises(ValueError, match="Cannot apply bias across the minibatch dimension"):
        mode.run(snt.AddBias(bias_dims=[0]), array(2))


@pytest.mark.parametrize("dim", [3, 5, -4])
def test_axes_do_not_wrap_around(dim, mode):
    with pytest.raises(ValueError, match=f"bias_dims has the axis {dim}"):
        mode.run(snt.AddBias(bias_dims=[dim]), array(2, 3, 4))


@pytest.mark.parametrize("shape", [(), (2,)])
@pytest.mark.parametrize("bias_dims", [None, []])
def test_the_rank_must_be_at_least_2(shape, bias_dims, mode):
    with pytest.raises(snt.IncompatibleShapeError, match="Rank of input shape must be >=2"):
        mode.run(snt.AddBias(bias_dims=bias_dims), array(*shape))


@pytest.mark.parametrize("bias_dims", [None, [], [-1]])
def test_only_the_batch_may_change(bias_dims, mode):
    module = snt.AddBias(bias_dims=bias_dims)
    mode.run(module, array(2, 3, 4))
    mode.run(module, array(5, 3, 4))
    assert module.input_shape == (5, 3, 4)
    for shape in ((2, 4, 4), (2, 3), (2, 3, 4, 1)):
        with pytest.raises(snt.IncompatibleShapeError, match="Input shape has changed"):
            mode.run(module, array(*shape))
    assert module.input_shape == (5, 3, 4)


def test_unknown_sizes_fit_known_ones():
    with tf.Graph().as_default():
        module = snt.AddBias(bias_dims=[-1])
        module(tf1.placeholder(tf.float32, [None, 3, 4]))
        for shape in ([2, None, 4], [2, 3, None], [None, 3, 4]):
            assert module(tf1.placeholder(tf.float32, shape)).shape.as_list()[:2] == shape[:2]
        module(tf1.placeholder(tf.float32, [None, None, None]))
        assert len(module.variables) == 1


def test_a_bias_of_unknown_size_is_an_error():
    with tf.Graph().as_default():
        module = snt.AddBias()
        transposed = module.transpose()
        with pytest.raises(ValueError, match="not fully defined"):
            module(tf1.placeholder(tf.float32, [2, None]))
        assert not module.is_connected
        with pytest.raises(snt.ParentNotBuiltError):
            transposed(tf.ones([2, 3]))


def test_properties_need_a_connection(mode):
    module = snt.AddBias()
    for name in ("b", "input_shape"):
        with pytest.raises(snt.NotConnectedError, match="Variables in add not instantiated yet"):
            getattr(module, name)


# Output shape.


@pytest.mark.parametrize(
    "output_shape",
    [
        (2, 3, 4),
        [None, 3, 4],
        (7, 3, None),
        tf.TensorShape([None, 3, 4]),
        lambda: [2, 3, 4],
        lambda: (None, 3, 4),
    ],
)
def test_output_shape_is_that_of_the_input(output_shape, mode):
    module = snt.AddBias(output_shape)
    for batch in (2, 5):
        assert mode.run(module, array(batch, 3, 4)).shape == (batch, 3, 4)
    for shape in ((2, 4, 4), (2, 3), (2, 3, 4, 1)):
        with pytest.raises(snt.IncompatibleShapeError, match="Input shape must be"):
            mode.run(snt.AddBias(output_shape), array(*shape))


def test_a_callable_output_shape_is_called_once(mode):
    shapes = iter([(2, 3)])
    module = snt.AddBias(lambda: next(shapes))
    mode.run(module, array(2, 3))
    mode.run(module, array(2, 3))


# Transposes.


def test_a_transpose_adds_a_bias_of_its_own(mode):
    partitioners = {"b": tf1.fixed_size_partitioner(1)}
    module = snt.AddBias(
        bias_dims=[-1], initializers=ONES, partitioners=partitioners, regularizers=None
    )
    transposed = module.transpose()
    mode.run(module, array(2, 3, 4))
    inputs = array(5, 3, 4)
    np.testing.assert_allclose(mode.run(transposed, inputs), inputs + 1)
    assert [v.name for v in transposed.variables] == ["add_transpose/b/part_0:0"]
    assert transposed.partitioners is partitioners
    assert mode.run(transposed.transpose(), inputs).shape == inputs.shape
    with pytest.raises(snt.IncompatibleShapeError, match="Input shape must be"):
        mode.run(module.transpose(), array(2, 5, 4))


def test_a_transpose_waits_for_the_original_and_can_be_retried(mode):
    module = snt.AddBias()
    transposed = module.transpose()
    for _ in range(2):
        with pytest.raises(snt.ParentNotBuiltError, match="Build the original untransposed module"):
            mode.run(transposed, array(2, 4))
        assert not transposed.is_connected
    mode.run(module, array(2, 3))
    with pytest.raises(snt.IncompatibleShapeError, match="Input shape must be"):
        mode.run(transposed, array(2, 4))
    mode.run(transposed, array(2, 3))


def test_a_transpose_takes_the_name_and_scope_of_the_call(mode):
    with tf1.variable_scope("first"):
        module = snt.AddBias()
    with tf1.variable_scope("second"):
        assert module.transpose().scope_name == "second/add_transpose"
    assert module.transpose(name="back").scope_name == "back"


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
def test_the_bias_has_the_dtype_of_the_input(dtype, mode):
    module = snt.AddBias()
    outputs = mode.run(module, np.ones([2, 3], dtype))
    assert outputs.dtype == dtype == module.b.dtype.base_dtype.name
    np.testing.assert_array_equal(outputs, np.ones([2, 3]))
