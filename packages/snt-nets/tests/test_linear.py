"""`Linear`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

RNG = np.random.default_rng(0)
W = RNG.normal(size=[4, 3]).astype("float32")
B = RNG.normal(size=[3]).astype("float32")
GIVEN = {"w": tf1.constant_initializer(W), "b": tf1.constant_initializer(B)}


def array(*shape):
    return RNG.normal(size=shape).astype("float32")


def doubling(getter, name, *args, **kwargs):
    return 2 * tf.stop_gradient(getter(name, *args, **kwargs))


# Values and variables.


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), (0, 4), (5, 2, 4), (2, 0, 3, 4)])
def test_computes_the_product_of_the_last_axis(shape, use_bias, mode):
    given = GIVEN if use_bias else {"w": GIVEN["w"]}
    linear = snt.Linear(3, use_bias, given, allow_many_batch_dims=len(shape) > 2)
    inputs = array(*shape)
    outputs = mode.run(linear, inputs)
    assert outputs.shape == (*shape[:-1], 3)
    np.testing.assert_allclose(outputs, inputs @ W + (B if use_bias else 0), 1e-5, 1e-6)
    np.testing.assert_array_equal(mode.values(linear.w), W)
    assert linear.input_shape == shape
    assert linear.has_bias is use_bias


def test_batch_dimensions_may_be_unknown_and_change():
    with tf.Graph().as_default():
        linear = snt.Linear(3, allow_many_batch_dims=True)
        for shape in ([None, 4], [None, None, 4], [7, None, 2, 4]):
            assert linear(tf1.placeholder(tf.float32, shape)).shape.as_list() == [*shape[:-1], 3]
            assert linear.input_shape == tuple(shape)
        assert len(linear.variables) == 2


def test_defaults_to_a_bias_of_zeros(mode):
    linear = snt.Linear(3)
    mode.run(linear, array(2, 4))
    np.testing.assert_array_equal(mode.values(linear.b), np.zeros(3))
    assert [v.name for v in linear.get_variables()] == ["linear/w:0", "linear/b:0"]


def test_takes_integers_with_an_initializer_for_w(mode):
    inputs = np.array([[1, 2]], np.int32)
    with pytest.raises(ValueError, match="expected to be floating point"):
        mode.run(snt.Linear(2), inputs)
    linear = snt.Linear(2, initializers={"w": tf1.ones_initializer()})
    outputs = mode.run(linear, inputs)
    assert outputs.dtype == np.int32
    np.testing.assert_array_equal(outputs, [[3, 3]])


def test_takes_arrays_eagerly():
    inputs = array(2, 4).astype("float64")
    outputs = snt.Linear(3, initializers=GIVEN)(inputs)
    assert outputs.dtype == tf.float64
    np.testing.assert_allclose(outputs, inputs @ W + B, 1e-6)


# Output size.


@pytest.mark.parametrize("size", [3, np.int64(3), tf1.Dimension(3), lambda: np.int32(3)])
def test_output_size_is_any_integer(size, mode):
    linear = snt.Linear(size)
    assert mode.run(linear, array(2, 4)).shape == (2, 3)
    assert linear.output_size == 3
    assert type(linear.output_size) is int


@pytest.mark.parametrize("size", [3.5, 3.0, "3", tf1.Dimension(None)])
def test_output_size_is_not_rounded(size):
    with pytest.raises(TypeError):
        snt.Linear(size)(tf.ones([2, 4]))


def test_a_callable_output_size_is_called_once_when_first_needed(mode):
    sizes = iter([3, 5])
    linear = snt.Linear(lambda: next(sizes))
    assert mode.run(linear, array(2, 4)).shape == (2, 3)
    assert mode.run(linear, array(2, 4)).shape == (2, 3)
    assert linear.output_size == 3
    read_before = snt.Linear(lambda: next(sizes))
    assert read_before.output_size == 5
    assert mode.run(read_before, array(2, 4)).shape == (2, 5)


# Errors.


@pytest.mark.parametrize("shape", [(4,), (), (2, 3, 4)])
def test_the_rank_must_be_2(shape, mode):
    match = r"linear: rank of shape must be 2[\s\S]*allow_many_batch_dims=True"
    with pytest.raises(snt.IncompatibleShapeError, match=match):
        mode.run(snt.Linear(3), array(*shape))


@pytest.mark.parametrize("shape", [(4,), ()])
def test_the_rank_must_be_at_least_2(shape, mode):
    with pytest.raises(snt.IncompatibleShapeError, match="rank of shape must be at least 2"):
        mode.run(snt.Linear(3, allow_many_batch_dims=True), array(*shape))


def test_unknown_shapes_are_errors():
    with tf.Graph().as_default():
        linear = snt.Linear(3)
        match = "Input size must be specified at module build time"
        with pytest.raises(snt.IncompatibleShapeError, match=match):
            linear(tf1.placeholder(tf.float32, [2, None]))
        with pytest.raises(ValueError, match="unknown TensorShape"):
            linear(tf1.placeholder(tf.float32))
        assert not linear.is_connected
        linear(tf1.placeholder(tf.float32, [None, 4]))
        with pytest.raises(snt.IncompatibleShapeError, match=match):
            linear(tf1.placeholder(tf.float32, [2, None]))


@pytest.mark.parametrize(
    ("first", "batch"), [((2, 4), r"\[B, 4\]"), ((2, 2, 4), r"\[\.\.\., 4\]")], ids=["2", "3"]
)
def test_the_input_size_must_not_change(first, batch, mode):
    linear = snt.Linear(3, allow_many_batch_dims=True)
    mode.run(linear, array(*first))
    with pytest.raises(snt.IncompatibleShapeError, match=f"Input shape must be {batch}"):
        mode.run(linear, array(2, 5))
    assert linear.input_shape == first


def test_properties_before_connection_and_without_bias(mode):
    linear = snt.Linear(3, use_bias=False)
    for name in ("w", "b", "input_shape", "variables"):
        with pytest.raises(snt.NotConnectedError, match="Variables in linear not instantiated yet"):
            getattr(linear, name)
    assert (linear.output_size, linear.has_bias, linear.is_connected) == (3, False, False)
    mode.run(linear, array(2, 4))
    with pytest.raises(AttributeError, match="No bias Variable in Linear Module"):
        _ = linear.b


# Custom getters.


@pytest.mark.parametrize(
    ("custom_getter", "factors"),
    [
        (doubling, (2, 2)),
        ({".*": doubling}, (2, 2)),
        ({"w": doubling}, (2, 1)),
        ({"b": doubling}, (1, 2)),
        ({"linear": doubling, ".*/w": doubling}, (1, 1)),
    ],
)
def test_custom_getters_see_names_in_the_module(custom_getter, factors, mode):
    def connect(x):
        outputs = linear(x)
        for variable, factor in zip((linear.w, linear.b), factors, strict=True):
            assert isinstance(variable, tf.Variable) is (factor == 1)
        return outputs, linear.w, linear.b

    linear = snt.Linear(3, initializers=GIVEN, custom_getter=custom_getter)
    inputs = array(2, 4)
    for _ in range(2):
        outputs, w, b = mode.run(connect, inputs)
        np.testing.assert_allclose(w, factors[0] * W)
        np.testing.assert_allclose(b, factors[1] * B)
        np.testing.assert_allclose(outputs, inputs @ w + b, 1e-5, 1e-6)
    assert [v.name for v in linear.variables] == ["linear/b:0", "linear/w:0"]


def test_one_custom_getter_at_most_may_match(mode):
    linear = snt.Linear(3, custom_getter={"w": doubling, ".*": doubling})
    with pytest.raises(KeyError, match="More than one custom_getter matched"):
        mode.run(linear, array(2, 4))


def test_a_custom_getter_must_be_callable():
    with pytest.raises(TypeError, match="custom_getter is not callable"):
        snt.Linear(3, custom_getter=3)


def test_a_custom_getter_may_give_the_variable_of_another_module(mode):
    first = snt.Linear(3)
    mode.run(first, array(2, 4))
    second = snt.Linear(
        3, custom_getter=lambda getter, name, *args, **kw: first.w if "w" in name else first.b
    )
    inputs = array(2, 4)
    np.testing.assert_array_equal(mode.run(second, inputs), mode.run(first, inputs))
    assert second.w is first.w


# Clones and transposes.


def test_clone_and_transpose_keep_the_configuration(mode):
    options = {
        "use_bias": False,
        "partitioners": {"w": tf1.fixed_size_partitioner(1)},
        "regularizers": {"w": tf.reduce_sum},
        "initializers": {"w": tf1.ones_initializer()},
    }
    linear = snt.Linear(3, custom_getter={"w": doubling}, allow_many_batch_dims=True, **options)
    inputs = array(2, 5, 4)
    outputs = mode.run(linear, inputs)
    for copy, x in ((linear.clone(), inputs), (linear.transpose(), outputs)):
        for name, value in options.items():
            assert getattr(copy, "has_bias" if name == "use_bias" else name) == value
        size = copy.output_size
        np.testing.assert_allclose(
            mode.run(copy, x), 2 * x @ np.ones([x.shape[-1], size]), 1e-4, 1e-4
        )
        names = [v.name for v in copy.variables]
        assert names == [f"{copy.scope_name}/w/part_0:0"]
    assert linear.clone().output_size == 3
    assert linear.transpose().output_size == 4


def test_clone_and_transpose_compute_defaults_of_their_own(mode):
    linear = snt.Linear(400)
    mode.run(linear, array(2, 4).astype("float64"))
    given = linear.initializers
    for copy in (linear.clone(), linear.transpose(), linear.transpose().transpose()):
        assert copy.initializers == {}
    transposed = linear.transpose()
    mode.run(transposed, array(2, 400))
    assert transposed.w.dtype.base_dtype == tf.float32
    assert np.abs(mode.values(transposed.w)).max() <= 2 / np.sqrt(400)
    assert linear.initializers == given


def test_clone_and_transpose_take_names_and_scopes_of_the_call(mode):
    with tf1.variable_scope("first"):
        snt.Linear(3)
        linear = snt.Linear(3)
    assert linear.scope_name == "first/linear_1"
    with tf1.variable_scope("second"):
        assert linear.transpose().scope_name == "second/linear_1_transpose"
        assert linear.transpose().scope_name == "second/linear_1_transpose_1"
        assert linear.clone().scope_name == "second/linear_1_clone"
    assert linear.transpose(name="back").scope_name == "back"
    assert linear.clone(name="twin").scope_name == "twin"


def test_a_transpose_waits_for_the_original(mode):
    linear = snt.Linear(3, name="original")
    transposed = linear.transpose()
    again = transposed.transpose()
    for read in (lambda: mode.run(transposed, array(2, 3)), lambda: transposed.output_size):
        with pytest.raises(snt.NotConnectedError, match="Variables in original not instantiated"):
            read()
    mode.run(linear, array(2, 4))
    assert mode.run(transposed, array(2, 3)).shape == (2, 4)
    assert mode.run(again, array(2, 4)).shape == (2, 3)
    assert transposed.w is not linear.w
    assert tuple(transposed.w.shape) == (3, 4)


def test_a_clone_evaluates_the_output_size():
    linear = snt.Linear(3)
    with pytest.raises(snt.NotConnectedError):
        linear.transpose().clone()
    sizes = iter([3, 5])
    assert snt.Linear(lambda: next(sizes)).clone().output_size == 3
    assert next(sizes) == 5


def test_names_of_arguments():
    linear = snt.Linear(
        output_size=3,
        use_bias=True,
        initializers=None,
        partitioners=None,
        regularizers=None,
        custom_getter=None,
        allow_many_batch_dims=False,
        name="linear",
    )
    assert linear(inputs=tf.ones([2, 4])).shape == (2, 3)
