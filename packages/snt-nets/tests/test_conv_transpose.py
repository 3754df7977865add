"""Transposed convolutions, and the transposition of convolutions."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

PLAIN = {1: snt.Conv1D, 2: snt.Conv2D, 3: snt.Conv3D}
TRANSPOSED = {1: snt.Conv1DTranspose, 2: snt.Conv2DTranspose, 3: snt.Conv3DTranspose}
FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}
each_dims = pytest.mark.parametrize("n", [1, 2, 3])


def array(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def inputs_for(n, channels=2):
    return array(2, *(6, 5, 4)[:n], channels)


def doubling(getter, name, *args, **kwargs):
    return tf.multiply(getter(name, *args, **kwargs), 2)


# Names, variables, properties.


@each_dims
def test_names_and_variables(n, mode):
    conv = TRANSPOSED[n](3, kernel_shape=2)
    mode.run(conv, inputs_for(n))
    name = f"conv_{n}d_transpose"
    assert [v.name for v in conv.get_variables()] == [f"{name}/w:0", f"{name}/b:0"]
    assert tuple(conv.w.shape) == {1: (1, 2, 3, 2)}.get(n, (*(2,) * n, 3, 2))
    assert tuple(conv.b.shape) == (3,)
    np.testing.assert_array_equal(mode.values(conv.b), np.zeros(3))


@each_dims
def test_weights_start_at_the_scale_of_the_fan_in(n, mode):
    tf.random.set_seed(1)
    conv = TRANSPOSED[n](20000 // 2**n, None, 2)
    mode.run(conv, array(1, *[1] * n, 4))
    stddev = (4 * 2**n) ** -0.5
    w = mode.values(conv.w)
    assert np.abs(w).max() <= 2 * stddev * 1.001
    np.testing.assert_allclose(w.std(), 0.8796 * stddev, rtol=0.03)


@each_dims
@pytest.mark.parametrize("channels_first", [False, True])
def test_properties(n, channels_first):
    data_format = FORMATS[n][channels_first]
    full_stride = (1, 1, *[2] * n) if channels_first else (1, *[2] * n, 1)
    for stride in (2, [2] * n, full_stride):
        conv = TRANSPOSED[n](
            3, kernel_shape=2, stride=stride, padding=snt.VALID, data_format=data_format
        )
        match = f"Variables in {conv.scope_name} not instantiated yet"
        for name in ("w", "b", "input_shape", "input_channels", "output_shape", "variables"):
            with pytest.raises(snt.NotConnectedError, match=match):
                getattr(conv, name)
        assert (conv.output_channels, conv.kernel_shape) == (3, (2,) * n)
        assert conv.stride == full_stride
        assert (conv.padding, conv.conv_op_padding, conv.has_bias) == ("VALID", "VALID", True)
        assert conv.data_format == data_format
        assert conv.get_possible_initializer_keys(use_bias=False) == {"w"}
        assert not any(hasattr(conv, name) for name in ("paddings", "rate", "mask"))


def test_b_without_bias(mode):
    conv = snt.Conv2DTranspose(3, None, 2, use_bias=False)
    with pytest.raises(snt.NotConnectedError):
        _ = conv.b
    mode.run(conv, inputs_for(2))
    with pytest.raises(AttributeError, match="No bias Variable in Conv2DTranspose Module"):
        _ = conv.b


# Output sizes.


@each_dims
def test_the_default_size_follows_the_input(n, mode):
    for padding, more in ((snt.SAME, 0), (snt.VALID, 3 - 1)):
        conv = TRANSPOSED[n](3, kernel_shape=3, stride=2, padding=padding)
        for spatial in ((4, 3, 2)[:n], (2, 5, 3)[:n]):
            sizes = tuple(2 * size + more for size in spatial)
            assert mode.run(conv, array(2, *spatial, 2)).shape == (2, *sizes, 3)
            assert conv.output_shape == sizes
            # What it is for: the convolution takes it back.
            back = PLAIN[n](1, 3, 2, padding=padding)
            assert mode.run(back, array(1, *sizes, 1)).shape == (1, *spatial, 1)


@each_dims
@pytest.mark.parametrize("wrap", [tuple, tf.TensorShape, lambda sizes: lambda: iter(sizes)])
def test_a_given_size_is_kept(n, wrap, mode):
    sizes = (5, 7, 6)[:n]
    conv = TRANSPOSED[n](3, wrap(sizes), 3, 2)
    assert conv.output_shape == sizes
    for _ in range(2):
        assert mode.run(conv, array(2, *(3, 4, 3)[:n], 2)).shape == (2, *sizes, 3)
    assert conv.output_shape == sizes


@pytest.mark.parametrize("size", [6, tf1.Dimension(6), np.int64(6)])
def test_one_size_is_for_all_axes(size, mode):
    conv = snt.Conv2DTranspose(3, size, 3, 2)
    assert mode.run(conv, array(2, 3, 3, 2)).shape == (2, 6, 6, 3)


@each_dims
@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("padding", [snt.SAME, snt.VALID])
def test_static_shapes(n, channels_first, padding):
    with tf.Graph().as_default():
        conv = TRANSPOSED[n](3, None, 3, 2, padding, data_format=FORMATS[n][channels_first])
        for spatial in ([4, 3, 2][:n], [None, 3, 2][:n], [None] * n):
            for batch in (2, None):
                shape = [batch, 2, *spatial] if channels_first else [batch, *spatial, 2]
                outputs = conv(tf1.placeholder(tf.float32, shape))
                more = 0 if padding == snt.SAME else 2
                sizes = [None if size is None else 2 * size + more for size in spatial]
                wanted = [batch, 3, *sizes] if channels_first else [batch, *sizes, 3]
                assert outputs.shape.as_list() == wanted
                assert conv.output_shape == tuple(sizes)


@each_dims
def test_unknown_sizes_are_taken_when_run(n, mode):
    conv = TRANSPOSED[n](3, kernel_shape=3, stride=2, padding=snt.VALID)
    x = inputs_for(n)
    expected = mode.run(conv, x)
    shape = [None] * (n + 1) + [2]
    if mode.in_graph:
        placeholder = tf1.placeholder(tf.float32, shape)
        outputs = mode.values(conv(placeholder), [(placeholder, x)])
    else:
        outputs = tf.function(conv, input_signature=[tf.TensorSpec(shape)])(x)
    np.testing.assert_array_equal(outputs, expected)


def test_a_size_that_does_not_fit_is_found_when_run(mode):
    conv = snt.Conv2DTranspose(3, (20, 20), 3, 2)
    with pytest.raises(tf.errors.InvalidArgumentError):
        mode.run(conv, array(2, 3, 3, 2))


def test_a_callable_size_has_as_many_entries_as_there_are_axes(mode):
    conv = snt.Conv2DTranspose(3, lambda: (6,), 3, 2)
    with pytest.raises(snt.IncompatibleShapeError, match="Output shape must have rank 2"):
        mode.run(conv, array(2, 3, 3, 2))


# Errors.


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"data_format": "NWC"}, ValueError, "Invalid data_format"),
        ({"kernel_shape": None}, ValueError, "`kernel_shape` cannot be None"),
        ({"kernel_shape": (2, 0)}, snt.IncompatibleShapeError, "Invalid kernel shape"),
        (
            {"stride": (1, 2, 2, 2)},
            snt.IncompatibleShapeError,
            "Invalid stride: First and last element must be 1",
        ),
        (
            {"stride": (1, 2, 2, 1), "data_format": "NCHW"},
            snt.IncompatibleShapeError,
            "Invalid stride: First and second element must be 1",
        ),
        *(
            (
                {"stride": stride},
                snt.IncompatibleShapeError,
                "must be either a positive integer or an iterable of positive integers of size 2",
            )
            for stride in ((1, 2, 2), (1, 1, 1, 1, 1), (2,), 0, -1, 1.5, None)
        ),
        *(
            ({"padding": padding}, ValueError, "Padding must be member of")
            for padding in (snt.FULL, "same", [snt.SAME], [snt.SAME] * 2, None)
        ),
        *(
            ({"output_shape": shape}, snt.IncompatibleShapeError, "Invalid output_shape shape")
            for shape in (0, (1,), (1, 2, 3), (1, 2.5), "a")
        ),
    ],
)
def test_constructor_errors(options, error, match):
    with pytest.raises(error, match="^conv_2d_transpose: .*" + match):
        snt.Conv2DTranspose(**{"output_channels": 3, "kernel_shape": 3, **options})


@each_dims
def test_input_checks(n, mode):
    conv = TRANSPOSED[n](3, kernel_shape=2)
    with pytest.raises(snt.IncompatibleShapeError, match="Input Tensor must have rank"):
        mode.run(conv, array(2, 3))
    with pytest.raises(TypeError, match="Input must have dtype tf.float16"):
        mode.run(conv, inputs_for(n).astype(int))
    mode.run(conv, inputs_for(n))
    with pytest.raises(ValueError, match="Trying to share variable"):
        mode.run(conv, inputs_for(n, channels=4))
    with tf.Graph().as_default(), pytest.raises(snt.UnderspecifiedError):
        TRANSPOSED[n](3, kernel_shape=2)(tf1.placeholder(tf.float32, [None] * (n + 2)))


def test_positions_of_arguments():
    assert list(inspect.signature(snt.Conv2DTranspose).parameters) == [
        "output_channels",
        "output_shape",
        "kernel_shape",
        "stride",
        "padding",
        "use_bias",
        "initializers",
        "partitioners",
        "regularizers",
        "data_format",
        "custom_getter",
        "name",
    ]


# Regularizers, partitioners, custom getters.


def test_regularizers_see_variables_once(mode):
    conv = snt.Conv1DTranspose(3, None, 2, regularizers={"w": tf.reduce_sum})
    for _ in range(2):
        mode.run(conv, inputs_for(1))
    (loss,) = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
    np.testing.assert_allclose(mode.values(loss), mode.values(conv.w).sum(), 1e-5)


@each_dims
def test_partitioned_variables_are_put_together(n):
    def split_outputs(shape, dtype):
        return [1] * (shape.rank - 2) + [2, 1] if shape.rank > 1 else [2]

    with tf.Graph().as_default(), tf1.Session() as session:
        conv = TRANSPOSED[n](4, None, 3, partitioners={"w": split_outputs, "b": split_outputs})
        outputs = conv(tf.constant(inputs_for(n)))
        assert len(conv.variables) == 4
        session.run(tf1.global_variables_initializer())
        w, b = session.run([tf.convert_to_tensor(conv.w), tf.convert_to_tensor(conv.b)])
        given = {"w": lambda *_, **__: w, "b": lambda *_, **__: b}
        whole = TRANSPOSED[n](4, None, 3, initializers=given)
        expected = whole(tf.constant(inputs_for(n)))
        session.run(tf1.variables_initializer(whole.variables))
        np.testing.assert_allclose(*session.run([outputs, expected]), 1e-5, 1e-6)


# Transposition.


@each_dims
@pytest.mark.parametrize("padding", [snt.SAME, snt.VALID])
@pytest.mark.parametrize("connected", [True, False])
def test_a_transpose_goes_back_to_the_shape_of_the_input(n, padding, connected, mode):
    conv = PLAIN[n](3, 3, 2, padding=padding, name="original")
    x = inputs_for(n)
    if connected:
        outputs = mode.run(conv, x)
    transposed = conv.transpose()
    again = transposed.transpose()
    if not connected:
        outputs = mode.run(conv, x)
    assert type(transposed) is TRANSPOSED[n]
    assert type(again) is PLAIN[n]
    assert mode.run(transposed, outputs).shape == x.shape
    assert mode.run(again, x).shape == outputs.shape
    assert transposed.output_shape == x.shape[1:-1]
    assert (transposed.output_channels, again.output_channels) == (2, 3)
    for name in ("kernel_shape", "stride", "conv_op_padding", "data_format", "has_bias"):
        assert getattr(conv, name) == getattr(transposed, name) == getattr(again, name)
    assert transposed.scope_name == "original_transpose"
    assert again.scope_name == "original_transpose_transpose"


@each_dims
def test_a_transpose_is_the_adjoint(n, mode):
    conv = PLAIN[n](3, 3, 2, use_bias=False)
    x = inputs_for(n).astype("float64")
    y = mode.run(conv, x)
    transposed = conv.transpose()
    mode.run(transposed, y)
    w = mode.values(conv.w)
    mode.assign(transposed.w, np.reshape(w, transposed.w.shape.as_list()))  # the same layout
    z = array(*y.shape, seed=3).astype("float64")
    np.testing.assert_allclose(np.sum(y * z), np.sum(x * mode.run(transposed, z)), 1e-9)


@each_dims
def test_a_transpose_waits_for_the_original(n, mode):
    conv = PLAIN[n](3, 3, name="original")
    for transposed in (conv.transpose(), conv.transpose().transpose().transpose()):
        for read in (
            lambda t=transposed: mode.run(t, inputs_for(n, channels=3)),
            lambda t=transposed: t.output_channels,
            lambda t=transposed: t.output_shape,
        ):
            with pytest.raises(snt.NotConnectedError, match="Variables in original"):
                read()
    transposed = conv.transpose()
    with pytest.raises(snt.NotConnectedError, match="Variables in original not instantiated"):
        _ = transposed.output_channels
    mode.run(conv, inputs_for(n))
    assert transposed.output_channels == 2
    assert mode.run(transposed, inputs_for(n, channels=3)).shape == inputs_for(n).shape

    deconv = TRANSPOSED[n](3, kernel_shape=3, name="transposed_original")
    back = deconv.transpose()
    with pytest.raises(snt.NotConnectedError, match="Variables in transposed_original"):
        mode.run(back, inputs_for(n))
    mode.run(deconv, inputs_for(n))
    assert mode.run(back, inputs_for(n, channels=3)).shape == inputs_for(n).shape


def test_a_transpose_has_the_size_of_the_last_input_before_it_is_needed(mode):
    conv = snt.Conv2D(3, 3, 2)
    mode.run(conv, array(1, 7, 7, 2))
    transposed = conv.transpose()
    y = mode.run(conv, array(1, 8, 6, 2))
    assert mode.run(transposed, y).shape == (1, 8, 6, 2)
    mode.run(conv, array(1, 7, 5, 2))
    assert transposed.output_shape == (8, 6)


@each_dims
def test_a_transpose_of_unknown_size(n):
    with tf.Graph().as_default(), tf1.Session() as session:
        conv = PLAIN[n](3, 3, padding=snt.VALID)
        x = tf1.placeholder(tf.float32, [None] * (n + 1) + [2])
        transposed = conv.transpose()
        outputs = transposed(conv(x))
        assert outputs.shape.as_list() == [None] * (n + 1) + [2]
        session.run(tf1.global_variables_initializer())
        value = inputs_for(n)
        assert session.run(outputs, {x: value}).shape == value.shape
        conv(tf.constant(value))  # by which the size becomes known
        assert transposed.output_shape == value.shape[1:-1]


@pytest.mark.parametrize("options", [{"rate": 2}, {"rate": (1, 2)}])
def test_dilated_convolutions_have_no_transpose(options):
    conv = snt.Conv2D(3, 3, **options)
    with pytest.raises(snt.NotSupportedError, match=f"{conv.scope_name}: .*dilated convolution"):
        conv.transpose()


@pytest.mark.parametrize(
    "options",
    [
        {"padding": (snt.SAME, snt.VALID)},
        {"padding": snt.FULL},
        {"padding": snt.CAUSAL},
        {"padding": snt.REVERSE_CAUSAL},
        {"padding_value": snt.REFLECT_PADDING},
        {"padding_value": snt.SYMMETRIC_PADDING},
    ],
)
def test_other_paddings_have_no_transpose(options):
    with pytest.raises(
        snt.NotSupportedError, match="mixed paddings or paddings other than SAME or VALID"
    ):
        snt.Conv2D(3, 3, **options).transpose()
    padded = snt.Conv2D(3, 3, padding=snt.VALID, padding_value=snt.REFLECT_PADDING)
    assert padded.transpose().padding == snt.VALID


@pytest.mark.parametrize("getter", [doubling, {"w": doubling}])
def test_a_transpose_is_configured_like_the_original(getter, mode):
    options = {
        "use_bias": False,
        "initializers": {"w": tf.ones_initializer()},
        "partitioners": {"w": tf1.fixed_size_partitioner(1)},
        "regularizers": {"w": tf.reduce_sum},
    }
    conv = snt.Conv2D(3, 2, custom_getter=getter, mask=np.ones([2], np.float32), **options)
    x = inputs_for(2)
    y = mode.run(conv, x)
    transposed = conv.transpose(name="a_name_of_other_length")
    again = transposed.transpose()
    assert transposed.scope_name == "a_name_of_other_length"
    for copy in (transposed, again, transposed.clone()):
        for name in ("initializers", "partitioners", "regularizers"):
            assert getattr(copy, name) == options[name]
        assert not copy.has_bias
    plain = snt.Conv2DTranspose(2, None, 2, use_bias=False, initializers=options["initializers"])
    np.testing.assert_allclose(mode.run(transposed, y), 2 * mode.run(plain, y), 1e-5, 1e-5)
    np.testing.assert_allclose(mode.run(again, x), y, 1e-5, 1e-5)


def test_transposes_compute_defaults_of_their_own(mode):
    conv = snt.Conv2D(3, 2)
    mode.run(conv, inputs_for(2, channels=100))
    transposed = conv.transpose()
    assert transposed.initializers == {}
    mode.run(transposed, inputs_for(2, channels=1).astype("float64"))
    assert np.abs(mode.values(transposed.w)).max() > 2 / np.sqrt(400)


def test_transposes_take_names_and_scopes_of_the_call(mode):
    with tf1.variable_scope("first"):
        snt.Conv2D(3, 2)
        conv = snt.Conv2D(3, 2)
    with tf1.variable_scope("second"):
        assert conv.transpose().scope_name == "second/conv_2d_1_transpose"
        assert conv.transpose().scope_name == "second/conv_2d_1_transpose_1"
        assert conv.clone().scope_name == "second/conv_2d_1_clone"


def test_clone(mode):
    conv = snt.Conv1DTranspose(lambda: 3, lambda: (9,), 4, 2, snt.VALID)
    x = array(2, 3, 2)
    clone = conv.clone()
    assert type(clone) is snt.Conv1DTranspose
    assert mode.run(clone, x).shape == mode.run(conv, x).shape == (2, 9, 3)
    assert clone.w is not conv.w
