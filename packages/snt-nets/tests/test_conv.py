"""`Conv1D`, `Conv2D`, `Conv3D` and `CausalConv1D`: variables, options, errors, copies."""

import inspect
import logging

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

PLAIN = {1: snt.Conv1D, 2: snt.Conv2D, 3: snt.Conv3D}
FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}
each_dims = pytest.mark.parametrize("n", [1, 2, 3])


def array(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def doubling(getter, name, *args, **kwargs):
    return tf.multiply(getter(name, *args, **kwargs), 2)


def inputs_for(n, channels=2):
    return array(2, *(6, 5, 4)[:n], channels)


# Names, variables, properties.


@each_dims
def test_names_and_variables(n, mode):
    conv = PLAIN[n](3, 2)
    assert conv.initializers == {}
    mode.run(conv, inputs_for(n))
    name = f"conv_{n}d"
    assert [v.name for v in conv.get_variables()] == [f"{name}/w:0", f"{name}/b:0"]
    assert tuple(conv.w.shape) == (*(2,) * n, 2, 3)
    assert tuple(conv.b.shape) == (3,)
    np.testing.assert_array_equal(mode.values(conv.b), np.zeros(3))
    assert set(conv.initializers) == {"w", "b"}
    assert PLAIN[n](3, 2).scope_name == f"{name}_1"


@each_dims
def test_weights_start_at_the_scale_of_the_fan_in(n, mode):
    tf.random.set_seed(1)
    conv = PLAIN[n](20000 // 2**n, 2)
    mode.run(conv, inputs_for(n, channels=4))
    w = mode.values(conv.w)
    stddev = (4 * 2**n) ** -0.5
    assert np.abs(w).max() <= 2 * stddev * 1.001
    np.testing.assert_allclose(w.std(), 0.8796 * stddev, rtol=0.03)


@each_dims
@pytest.mark.parametrize("channels_first", [False, True])
def test_properties(n, channels_first):
    data_format = FORMATS[n][channels_first]
    conv = PLAIN[n](tf1.Dimension(3), 2, stride=2, data_format=data_format, name="conv")
    for name in ("w", "b", "input_shape", "input_channels", "variables"):
        match = f"Variables in {conv.scope_name} not instantiated yet"
        with pytest.raises(snt.NotConnectedError, match=match):
            getattr(conv, name)
    assert conv.output_channels == 3
    assert type(conv.output_channels) is int
    assert conv.kernel_shape == (2,) * n
    assert conv.stride == ((1, 1, *[2] * n) if channels_first else (1, *[2] * n, 1))
    assert conv.rate == (1,) * n
    assert conv.paddings == (snt.SAME,) * n
    assert (conv.padding, conv.conv_op_padding) == (snt.SAME, "SAME")
    assert conv.data_format == data_format
    assert (conv.has_bias, conv.mask) == (True, None)
    assert conv.possible_keys == {"w", "b"} == conv.get_possible_initializer_keys()
    assert conv.get_possible_initializer_keys(use_bias=False) == {"w"}
    with tf.Graph().as_default():
        spatial = [None, 5, 4][:n]
        shape = [None, 2, *spatial] if channels_first else [None, *spatial, 2]
        conv = PLAIN[n](3, 2, data_format=data_format)
        conv(tf1.placeholder(tf.float32, shape))
        assert conv.input_shape == tuple(shape)
        assert conv.input_channels == 2


def test_b_without_bias(mode):
    conv = snt.Conv2D(3, 2, use_bias=False)
    with pytest.raises(snt.NotConnectedError):
        _ = conv.b
    mode.run(conv, inputs_for(2))
    with pytest.raises(AttributeError, match="No bias Variable in Conv2D Module"):
        _ = conv.b
    assert not conv.has_bias
    with pytest.raises(KeyError, match="Invalid initializer keys 'b'"):
        snt.Conv2D(3, 2, use_bias=False, initializers={"b": tf.zeros})


@pytest.mark.parametrize(
    ("padding", "padding_value", "op_padding"),
    [
        (snt.SAME, snt.CONSTANT_PADDING, "SAME"),
        (snt.SAME, snt.REFLECT_PADDING, "VALID"),
        (snt.VALID, snt.SYMMETRIC_PADDING, "VALID"),
        ([snt.SAME, snt.SAME], snt.CONSTANT_PADDING, "SAME"),
        ([snt.SAME, snt.VALID], snt.CONSTANT_PADDING, "VALID"),
        (iter([snt.FULL, snt.CAUSAL]), snt.CONSTANT_PADDING, "VALID"),
    ],
)
def test_padding_of_the_op(padding, padding_value, op_padding):
    conv = snt.Conv2D(3, 2, padding=padding, padding_value=padding_value)
    assert conv.conv_op_padding == op_padding
    if len(set(conv.paddings)) > 1:
        with pytest.raises(ValueError, match="different paddings for different dimensions"):
            _ = conv.padding


def test_constants_are_plain_strings():
    names = ["SAME", "VALID", "FULL", "CAUSAL", "REVERSE_CAUSAL"]
    assert [getattr(snt, name) for name in names] == names
    assert (snt.CONSTANT_PADDING, snt.REFLECT_PADDING, snt.SYMMETRIC_PADDING) == (
        "CONSTANT",
        "REFLECT",
        "SYMMETRIC",
    )


# Shapes of inputs.


@each_dims
@pytest.mark.parametrize("options", [{}, {"rate": 2}, {"padding": snt.FULL}, {"stride": 2}])
def test_sizes_may_be_unknown_and_change(n, options):
    with tf.Graph().as_default(), tf1.Session() as session:
        conv = PLAIN[n](3, 2, **options)
        known, unknown = inputs_for(n), tf1.placeholder(tf.float32, [None] * (n + 1) + [2])
        dynamic, static = conv(unknown), conv(tf.constant(known))
        assert dynamic.shape.as_list() == [None] * (n + 1) + [3]
        session.run(tf1.global_variables_initializer())
        values = session.run([dynamic, static], {unknown: known})
        np.testing.assert_allclose(values[0], values[1], 1e-6)
        longer = np.pad(known, [(0, 1), *[(0, 2)] * n, (0, 0)])
        assert session.run(dynamic, {unknown: longer}).shape[1] >= static.shape[1]
        assert len(conv.variables) == 2


@each_dims
def test_input_checks(n, mode):
    conv = PLAIN[n](3, 2)
    match = f"conv_{n}d: Input Tensor must have rank {n + 2}"
    for rank in (n + 1, n + 3, 0):
        with pytest.raises(snt.IncompatibleShapeError, match=match):
            mode.run(conv, array(*[2] * rank))
    for dtype in ("int32", "complex64", "bool"):
        with pytest.raises(TypeError, match="Input must have dtype tf.float16, .*got tf." + dtype):
            mode.run(conv, inputs_for(n).astype(dtype))
    with pytest.raises(snt.IncompatibleShapeError, match="must be input channels"):
        mode.run(conv, inputs_for(n, channels=0))
    assert not conv.is_connected
    mode.run(conv, inputs_for(n))
    with pytest.raises(ValueError, match="Trying to share variable"):
        mode.run(conv, inputs_for(n, channels=4))
    with pytest.raises(ValueError, match="Trying to share variable"):
        mode.run(conv, inputs_for(n).astype("float64"))
    assert conv.input_channels == 2


def test_input_checks_come_in_order():
    with tf.Graph().as_default():
        conv = snt.Conv2D(3, 2)
        with pytest.raises(snt.IncompatibleShapeError):
            conv(tf1.placeholder(tf.int32, [2, None]))
        with pytest.raises(TypeError):
            conv(tf1.placeholder(tf.int32, [2, 5, 5, None]))
        with pytest.raises(snt.UnderspecifiedError, match="Number of input channels must be known"):
            conv(tf1.placeholder(tf.float32, [2, 5, 5, None]))
        with pytest.raises(snt.UnderspecifiedError, match="Number of input channels must be known"):
            snt.Conv2D(3, 2, data_format="NCHW")(tf1.placeholder(tf.float32, [2, None, 5, 5]))
        with pytest.raises(ValueError, match="unknown TensorShape"):
            conv(tf1.placeholder(tf.float32))


def test_takes_arrays_and_lists_eagerly():
    assert snt.Conv1D(3, 2)([[[1.0], [2.0]]]).shape == (1, 2, 3)
    assert snt.Conv1D(3, 2)(array(2, 5, 4, dtype="float64")).dtype == tf.float64


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (snt.REFLECT_PADDING, "paddings must be less than"),
        (snt.SYMMETRIC_PADDING, "paddings must be no greater than"),
    ],
)
def test_mirror_images_are_no_longer_than_what_is_mirrored(value, match, mode):
    conv = snt.Conv1D(1, 5, padding=snt.FULL, padding_value=value)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=match):
        mode.run(conv, array(1, 3, 1))


# Arguments.


@pytest.mark.parametrize("channels", [3, np.int64(3), 3.0, tf1.Dimension(3), lambda: np.int32(3)])
def test_output_channels_are_any_integer(channels, mode):
    conv = snt.Conv2D(channels, 2)
    assert mode.run(conv, inputs_for(2)).shape[-1] == 3
    assert conv.output_channels == 3
    assert type(conv.output_channels) is int


@pytest.mark.parametrize("channels", [3.5, "3", None, [3], tf1.Dimension(None), lambda: 2.5])
def test_output_channels_are_not_rounded(channels):
    conv = snt.Conv2D(channels, 2)
    match = f"{conv.scope_name}: output_channels must be an integer"
    with pytest.raises(TypeError, match=match):
        conv(tf.ones([2, 4, 4, 1]))


def test_callable_output_channels_are_called_once_when_first_needed(mode):
    channels = iter([3, 5])
    conv = snt.Conv2D(lambda: next(channels), 2)
    assert mode.run(conv, inputs_for(2)).shape[-1] == 3
    assert mode.run(conv, inputs_for(2)).shape[-1] == 3
    assert conv.output_channels == 3
    assert next(channels) == 5


@pytest.mark.parametrize(
    "size",
    [2, (2, 2), [np.int32(2), 2], tf.TensorShape([2, 2]), tf1.Dimension(2), np.full(2, 2)],
)
@pytest.mark.parametrize("argument", ["kernel_shape", "stride", "rate"])
def test_sizes_are_filled(argument, size):
    conv = snt.Conv2D(3, **{"kernel_shape": 1, argument: size})
    got = conv.stride[1:-1] if argument == "stride" else getattr(conv, argument)
    assert got == (2, 2)


@pytest.mark.parametrize(
    "size", [0, -1, 1.5, None, (2,), (2, 0), (2, 1.5), (1, 2, 3), ([2, 2],), ("2", "2"), "22"]
)
@pytest.mark.parametrize("argument", ["kernel_shape", "stride", "rate"])
def test_sizes_are_positive_integers(argument, size):
    with pytest.raises(snt.IncompatibleShapeError) as raised:
        snt.Conv2D(3, **{"kernel_shape": 1, argument: size})
    words = "must be either a positive integer or an iterable of positive integers of size 2"
    what = argument.removesuffix("_shape")
    assert f"conv_2d: Invalid {what} shape: x is {size}, {words}" in str(raised.value)


@pytest.mark.parametrize(
    ("data_format", "stride", "wanted"),
    [
        ("NHWC", (1, 2, 3, 1), (1, 2, 3, 1)),
        ("NCHW", (1, 1, 2, 3), (1, 1, 2, 3)),
        ("NHWC", np.array([1, 2, 3, 1]), (1, 2, 3, 1)),
    ],
)
def test_a_stride_may_name_all_axes(data_format, stride, wanted):
    assert snt.Conv2D(3, 2, stride=stride, data_format=data_format).stride == wanted


@pytest.mark.parametrize(
    ("data_format", "stride", "words"),
    [
        ("NHWC", (2, 2, 2, 1), "First and last element must be 1"),
        ("NHWC", (1, 1, 2, 2), "First and last element must be 1"),
        ("NCHW", (1, 2, 2, 1), "First and second element must be 1"),
    ],
)
def test_strides_of_batch_and_channels_are_1(data_format, stride, words):
    with pytest.raises(snt.IncompatibleShapeError, match="Invalid stride: " + words):
        snt.Conv2D(3, 2, stride=stride, data_format=data_format)


@pytest.mark.parametrize("stride", [2, (1, 2)])
@pytest.mark.parametrize("rate", [2, (2, 1)])
def test_stride_and_rate_exclude_each_other(stride, rate):
    with pytest.raises(snt.NotSupportedError, match="Cannot have stride > 1 with rate > 1"):
        snt.Conv2D(3, 2, stride, rate)


@pytest.mark.parametrize(
    "padding",
    ["same", "", None, 1, (snt.SAME,), [snt.SAME] * 3, [snt.SAME, "same"], [[snt.SAME] * 2]],
)
def test_paddings_have_names(padding):
    with pytest.raises(TypeError, match="conv_2d: padding is .*, must be member of"):
        snt.Conv2D(3, 2, padding=padding)


@pytest.mark.parametrize("value", ["constant", None, 0, [snt.REFLECT_PADDING] * 2])
def test_padding_values_have_names(value):
    with pytest.raises(ValueError, match="conv_2d: Padding must be member of"):
        snt.Conv2D(3, 2, padding_value=value)


@each_dims
def test_data_formats_have_as_many_axes(n):
    for data_format in (*FORMATS[n % 3 + 1], "nhwc", 3, ["NHWC"]):
        with pytest.raises(ValueError, match=f"conv_{n}d: Invalid data_format"):
            PLAIN[n](3, 2, data_format=data_format)


def test_constructor_checks_come_in_order():
    faults = [
        ({"data_format": "x"}, ValueError, "data_format"),
        ({"kernel_shape": 0}, snt.IncompatibleShapeError, "kernel"),
        ({"stride": 0}, snt.IncompatibleShapeError, "stride"),
        ({"rate": 0}, snt.IncompatibleShapeError, "rate"),
        ({"stride": 2, "rate": 2}, snt.NotSupportedError, "stride > 1"),
        ({"padding": 0}, TypeError, "padding is"),
        ({"padding_value": 0}, ValueError, "Padding must"),
        ({"initializers": {"u": tf.ones}}, KeyError, "initializer"),
        ({"partitioners": {"u": tf.ones}}, KeyError, "partitioner"),
        ({"regularizers": {"u": tf.ones}}, KeyError, "regularizer"),
        ({"mask": 0}, TypeError, "mask"),
    ]
    options = {"output_channels": 3, "kernel_shape": 1}
    for fault, error, words in reversed(faults):
        options = {**options, **fault}
        with pytest.raises(error, match=words):
            snt.Conv2D(**options)


def test_positions_of_arguments():
    names = list(inspect.signature(snt.Conv2D).parameters)
    assert names == [
        "output_channels",
        "kernel_shape",
        "stride",
        "rate",
        "padding",
        "use_bias",
        "initializers",
        "partitioners",
        "regularizers",
        "mask",
        "data_format",
        "padding_value",
        "custom_getter",
        "name",
    ]
    assert snt.Conv2D(3, 2)(inputs=tf.ones([2, 4, 4, 1])).shape == (2, 4, 4, 3)


# Regularizers, partitioners, custom getters.


def test_regularizers_see_variables_once(mode):
    conv = snt.Conv2D(
        3,
        2,
        regularizers={"w": tf.reduce_sum, "b": tf.reduce_sum},
        mask=np.zeros([2, 2], np.float32),
    )
    for _ in range(2):
        mode.run(conv, inputs_for(2))
    losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
    assert len(losses) == 2
    w, b = mode.values([conv.w, conv.b])
    np.testing.assert_allclose(mode.values(losses), [w.sum(), b.sum()], 1e-5)


@pytest.mark.parametrize(
    ("n", "options"),
    [
        *((n, options) for n in PLAIN for options in ({}, {"rate": 2})),
        (2, {"mask": np.ones([3, 3], np.float32)}),  # masks are alike for all
    ],
)
def test_partitioned_variables_are_put_together(n, options):
    partitioners = {"w": tf1.fixed_size_partitioner(3), "b": tf1.fixed_size_partitioner(2)}
    with tf.Graph().as_default(), tf1.Session() as session:
        conv = PLAIN[n](4, 3, partitioners=partitioners, **options)
        outputs = conv(tf.constant(inputs_for(n)))
        again = conv(tf.constant(inputs_for(n)))
        assert len(conv.variables) == 5
        assert [len(list(v)) for v in (conv.w, conv.b)] == [3, 2]
        assert conv.partitioners is partitioners
        session.run(tf1.global_variables_initializer())
        w, b = session.run([tf.convert_to_tensor(conv.w), tf.convert_to_tensor(conv.b)])
        whole = PLAIN[n](
            4, 3, initializers={"w": lambda *_, **__: w, "b": lambda *_, **__: b}, **options
        )
        expected = whole(tf.constant(inputs_for(n)))
        session.run(tf1.variables_initializer(whole.variables))
        values = session.run([outputs, again, expected])
        np.testing.assert_allclose(values[0], values[2], 1e-5, 1e-6)
        np.testing.assert_array_equal(values[0], values[1])


@pytest.mark.parametrize("getter", [doubling, {"w": doubling}])
def test_custom_getters_and_their_copies(getter, mode):
    options = {"use_bias": False, "initializers": {"w": tf.ones_initializer()}}
    conv = snt.Conv2D(3, 2, custom_getter=getter, **options)
    plain = snt.Conv2D(3, 2, name="plain", **options)
    x = inputs_for(2)
    expected = 2 * mode.run(plain, x)
    for copy in (conv, conv.clone(), conv.clone(name="a_name_of_other_length").clone()):
        np.testing.assert_allclose(mode.run(copy, x), expected, 1e-5, 1e-5)
    transposed = conv.transpose()
    both = transposed.transpose()
    mode.run(transposed, x[..., :1] * np.ones(3, np.float32))
    np.testing.assert_allclose(mode.run(both, x), expected, 1e-5, 1e-5)
    names = [[v.name for v in m.variables] for m in (conv, transposed)]
    assert names == [["conv_2d/w:0"], ["conv_2d_transpose/w:0"]]


def test_the_graph_of_a_second_connection_shares_the_variables():
    with tf.Graph().as_default():
        conv = snt.Conv2D(3, 2)
        conv(tf.ones([1, 4, 4, 2]))
        conv(tf.ones([2, 7, 5, 2]))
        assert len(tf1.trainable_variables()) == 2


# Clones.


def test_clone_keeps_everything(mode):
    options = {
        "stride": (1, 2),
        "padding": [snt.FULL, snt.CAUSAL],
        "padding_value": snt.SYMMETRIC_PADDING,
        "use_bias": False,
        "initializers": {"w": tf.ones_initializer()},
        "partitioners": {"w": tf1.fixed_size_partitioner(1)},
        "regularizers": {"w": tf.reduce_sum},
        "mask": np.array([[1, 0, 1], [0, 1, 1]], np.float32),
    }
    conv = snt.Conv2D(lambda: 3, [2, 3], **options)
    x = inputs_for(2)
    for copy in (conv.clone(), conv.clone("twin")):
        for name in ("kernel_shape", "stride", "rate", "paddings", "has_bias", "output_channels"):
            assert getattr(copy, name) == getattr(conv, name)
        for name in ("initializers", "partitioners", "regularizers"):
            assert getattr(copy, name) == options[name]
        np.testing.assert_array_equal(mode.values(copy.mask), options["mask"])
        np.testing.assert_array_equal(mode.run(copy, x), mode.run(conv, x))
        assert copy.w is not conv.w
    assert type(conv.clone()) is snt.Conv2D
    assert conv.clone().scope_name == "conv_2d_clone_2"


def test_clones_compute_defaults_of_their_own(mode):
    conv = snt.Conv2D(3, 2)
    mode.run(conv, inputs_for(2, channels=100))
    clone = conv.clone()
    assert clone.initializers == {}
    mode.run(clone, inputs_for(2, channels=1).astype("float64"))
    assert np.abs(mode.values(clone.w)).max() > 2 / np.sqrt(400)


# CausalConv1D.


def test_causal_conv_1d_warns(caplog):
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        causal = snt.CausalConv1D(3, 2, padding=snt.SAME)
    assert causal.padding == snt.CAUSAL
    assert "always CAUSAL, 'SAME' is ignored" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        clone = causal.clone()
        snt.CausalConv1D(3, 2)
    assert caplog.text == ""
    assert type(clone) is snt.CausalConv1D
    assert not hasattr(causal, "transpose")
    assert not isinstance(causal, snt.Transposable)


def test_positions_of_arguments_of_causal_conv_1d(mode):
    causal = snt.CausalConv1D(3, 2, 1, 2, False)
    assert (causal.has_bias, causal.rate, causal.name) == (False, (2,), "causal_conv_1d")
    x = array(2, 5, 2)
    clone = causal.clone()
    assert mode.run(causal, x).shape == mode.run(clone, x).shape == (2, 5, 3)


# Old paths.


def test_old_paths_hold_the_same_objects():
    from sonnet.python.modules import conv

    assert conv.Conv2D is snt.Conv2D
    assert conv.SAME == "SAME"
    assert {"NHWC", "NCHW"} == conv.SUPPORTED_2D_DATA_FORMATS
    assert conv._fill_shape(3, 2) == (3, 3)
    assert isinstance(snt.DepthwiseConv2D(1, 3), conv._ConvND)
    assert isinstance(snt.Conv1DTranspose(1, None, 3), conv._ConvNDTranspose)
    assert conv._default_transpose_size([5], 2, 3, "VALID") == (12,)
    assert callable(conv.create_weight_initializer)
