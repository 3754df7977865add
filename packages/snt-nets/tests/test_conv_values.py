"""What convolutions compute, against their definition."""

import itertools

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import sonnet as snt
from tests.support import correlation

PADDINGS = [snt.SAME, snt.VALID, snt.FULL, snt.CAUSAL, snt.REVERSE_CAUSAL]
MODES = {
    snt.CONSTANT_PADDING: "constant",
    snt.REFLECT_PADDING: "reflect",
    snt.SYMMETRIC_PADDING: "symmetric",
}
PLAIN = {1: snt.Conv1D, 2: snt.Conv2D, 3: snt.Conv3D}
TRANSPOSED = {1: snt.Conv1DTranspose, 2: snt.Conv2DTranspose, 3: snt.Conv3DTranspose}
DEPTHWISE = {1: snt.DepthwiseConv1D, 2: snt.DepthwiseConv2D}
SEPARABLE = {1: snt.SeparableConv1D, 2: snt.SeparableConv2D}


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def amounts(paddings, padding_value, spatial, kernel, stride, rate):
    """Returns what is padded before and after each axis, by the table of the paddings."""
    sizes = [correlation.covered(k, r) for k, r in zip(kernel, rate, strict=True)]
    if set(paddings) == {snt.SAME} and padding_value == snt.CONSTANT_PADDING:
        return [
            correlation.tensorflow_same(*axis) for axis in zip(spatial, sizes, stride, strict=True)
        ]
    table = {
        snt.SAME: lambda k: ((k - 1) // 2, k // 2),
        snt.VALID: lambda k: (0, 0),
        snt.FULL: lambda k: (k - 1, k - 1),
        snt.CAUSAL: lambda k: (k - 1, 0),
        snt.REVERSE_CAUSAL: lambda k: (0, k - 1),
    }
    return [table[padding](size) for padding, size in zip(paddings, sizes, strict=True)]


def expected_size(padding, n, size, stride):
    extent = {snt.VALID: n - size + 1, snt.FULL: n + size - 1}.get(padding, n)
    return -(-extent // stride)


@st.composite
def windows(draw, dims, with_rate=True, equal_strides=False):
    """Draws the options of a convolution and a spatial size that suits them."""
    n = draw(dims)
    each = st.integers(1, 3)
    kernel = draw(st.tuples(*[each] * n))
    stride = rate = (1,) * n
    if with_rate and draw(st.booleans()):
        rate = draw(st.tuples(*[each] * n))
    elif equal_strides:
        stride = (draw(each),) * n
    else:
        stride = draw(st.tuples(*[each] * n))
    if draw(st.booleans()):
        paddings = (draw(st.sampled_from(PADDINGS)),) * n
    else:
        paddings = draw(st.tuples(*[st.sampled_from(PADDINGS)] * n))
    # A mirror image is at most as long as what is mirrored.
    spatial = tuple(
        draw(st.integers(correlation.covered(k, r), 8)) for k, r in zip(kernel, rate, strict=True)
    )
    return spatial, {
        "kernel_shape": kernel,
        "stride": stride,
        "rate": rate,
        "padding": paddings,
        "padding_value": draw(st.sampled_from(list(MODES))),
    }


def correlation_arguments(spatial, options):
    window = {key: options[key] for key in ("stride", "rate")}
    padded = amounts(
        options["padding"],
        options["padding_value"],
        spatial,
        options["kernel_shape"],
        options["stride"],
        options["rate"],
    )
    return {**window, "amounts": padded, "mode": MODES[options["padding_value"]]}


def constants(**values):
    return {
        name: (lambda shape, dtype, v=v, **_: tf.constant(v, dtype)) for name, v in values.items()
    }


@settings(max_examples=120, deadline=None)
@given(windows(st.integers(1, 3)), st.booleans())
def test_convolutions_are_correlations(drawn, use_bias):
    spatial, options = drawn
    x = array(2, *spatial, 2)
    w, b = array(*options["kernel_shape"], 2, 3, seed=1), array(3, seed=2)
    given_values = constants(w=w, b=b) if use_bias else constants(w=w)
    conv = PLAIN[len(spatial)](3, use_bias=use_bias, initializers=given_values, **options)
    y = conv(x)
    expected = correlation.correlate(x, w, **correlation_arguments(spatial, options))
    np.testing.assert_allclose(y, expected + (b if use_bias else 0), 1e-9, 1e-9)
    sizes = [
        expected_size(padding, n, correlation.covered(k, r), s)
        for padding, n, k, r, s in zip(
            options["padding"],
            spatial,
            options["kernel_shape"],
            options["rate"],
            options["stride"],
            strict=True,
        )
    ]
    assert tuple(y.shape) == (2, *sizes, 3)


@settings(max_examples=60, deadline=None)
@given(windows(st.integers(1, 2), with_rate=False, equal_strides=True), st.integers(1, 3))
def test_depthwise_convolutions_are_correlations_of_each_channel(drawn, multiplier):
    spatial, options = drawn
    x = array(2, *spatial, 2)
    w, b = array(*options["kernel_shape"], 2, multiplier, seed=1), array(2 * multiplier, seed=2)
    arguments = correlation_arguments(spatial, options)
    del options["rate"]
    lifted = w if len(spatial) == 2 else w[np.newaxis]
    conv = DEPTHWISE[len(spatial)](multiplier, initializers=constants(w=lifted, b=b), **options)
    y = conv(x)
    assert conv.output_channels == 2 * multiplier
    np.testing.assert_allclose(y, correlation.correlate_each(x, w, **arguments) + b, 1e-9, 1e-9)


@settings(max_examples=40, deadline=None)
@given(windows(st.just(2), with_rate=False, equal_strides=True))
def test_in_plane_convolutions_have_one_kernel_for_all_channels(drawn):
    spatial, options = drawn
    x = array(2, *spatial, 3)
    w, b = array(*options["kernel_shape"], 1, 1, seed=1), array(3, seed=2)
    arguments = correlation_arguments(spatial, options)
    del options["rate"]
    conv = snt.InPlaneConv2D(initializers=constants(w=w, b=b), **options)
    expected = correlation.correlate_each(x, np.tile(w, [1, 1, 3, 1]), **arguments)
    np.testing.assert_allclose(conv(x), expected + b, 1e-9, 1e-9)
    assert conv.output_channels == 3


@settings(max_examples=60, deadline=None)
@given(windows(st.integers(1, 2), equal_strides=True), st.integers(1, 3))
def test_separable_convolutions_are_depthwise_then_pointwise(drawn, multiplier):
    spatial, options = drawn
    x = array(2, *spatial, 2)
    w_dw = array(*options["kernel_shape"], 2, multiplier, seed=1)
    w_pw, b = array(2 * multiplier, 4, seed=2), array(4, seed=3)
    given_values = constants(
        w_dw=w_dw if len(spatial) == 2 else w_dw[np.newaxis], w_pw=w_pw[None, None], b=b
    )
    conv = SEPARABLE[len(spatial)](4, multiplier, initializers=given_values, **options)
    inner = correlation.correlate_each(x, w_dw, **correlation_arguments(spatial, options))
    np.testing.assert_allclose(conv(x), inner @ w_pw + b, 1e-9, 1e-9)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_transposed_convolutions_spread_their_inputs(data):
    n = data.draw(st.integers(1, 3))
    small = st.tuples(*[st.integers(1, 3)] * n)
    kernel, stride, spatial = data.draw(st.tuples(small, small, small))
    padding = data.draw(st.sampled_from([snt.SAME, snt.VALID]))
    # All sizes whose convolution has the size `spatial`.
    smallest = {
        snt.SAME: [(m - 1) * s + 1 for m, s in zip(spatial, stride, strict=True)],
        snt.VALID: [(m - 1) * s + k for m, s, k in zip(spatial, stride, kernel, strict=True)],
    }[padding]
    extra = data.draw(st.tuples(*[st.integers(0, s - 1) for s in stride]))
    sizes = tuple(a + e for a, e in zip(smallest, extra, strict=True))
    largest = tuple(a + s - 1 for a, s in zip(smallest, stride, strict=True))
    x, b = array(2, *spatial, 2), array(3, seed=2)
    w = array(*kernel, 3, 2, seed=1)
    conv = TRANSPOSED[n](
        3,
        None if sizes == largest else sizes,
        kernel,
        stride,
        padding,
        initializers=constants(w=w if n > 1 else w[np.newaxis], b=b),
    )
    before = [
        correlation.tensorflow_same(*axis)[0] if padding == snt.SAME else 0
        for axis in zip(sizes, kernel, stride, strict=True)
    ]
    expected = correlation.correlate_transposed(x, w, stride, sizes, before) + b
    np.testing.assert_allclose(conv(x), expected, 1e-9, 1e-9)
    assert conv.output_shape == sizes


# Against SciPy, and by hand.


@pytest.mark.parametrize("padding", [snt.SAME, snt.VALID, snt.FULL])
def test_one_channel_is_scipys_correlation(padding, mode):
    x, w = array(1, 6, 7, 1), array(3, 5, 1, 1, seed=1)
    conv = snt.Conv2D(1, (3, 5), padding=padding, initializers=constants(w=w))
    expected = scipy.signal.correlate2d(x[0, ..., 0], w[..., 0, 0], mode=padding.lower())
    np.testing.assert_allclose(mode.run(conv, x)[0, ..., 0], expected, 1e-9, 1e-9)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (snt.VALID, [4, 4, 4]),
        (snt.SAME, [3, 4, 4, 4, 3, 2]),
        (snt.CAUSAL, [1, 2, 3, 4, 4, 4]),
        (snt.REVERSE_CAUSAL, [4, 4, 4, 3, 2, 1]),
        (snt.FULL, [1, 2, 3, 4, 4, 4, 3, 2, 1]),
    ],
)
def test_sums_of_ones_show_the_padding(padding, expected, mode):
    ones = {"w": tf.ones_initializer()}
    for conv in (
        snt.Conv1D(1, 4, padding=padding, initializers=ones),
        snt.DepthwiseConv1D(1, 4, padding=padding, initializers=ones),
        snt.SeparableConv1D(
            1, 1, 4, padding=padding, initializers={f"w_{x}": ones["w"] for x in ("dw", "pw")}
        ),
    ):
        outputs = mode.run(conv, np.ones([1, 6, 1], np.float32))
        np.testing.assert_array_equal(outputs[0, :, 0], expected)
        assert conv.padding == padding


def test_a_causal_convolution_sees_nothing_later(mode):
    conv = snt.Conv1D(2, 3, rate=2, padding=snt.CAUSAL)
    x = array(1, 8, 2)
    later = x.copy()
    later[:, 5:] += 1
    first, second = mode.run(conv, x), mode.run(conv, later)
    np.testing.assert_array_equal(first[:, :5], second[:, :5])
    assert np.all(first[:, 5:] != second[:, 5:])


def test_causal_conv_1d_is_conv_1d_with_causal_padding(mode):
    x = array(2, 8, 3)
    old = snt.CausalConv1D(4, 3, 1, 2, initializers=constants(w=array(3, 3, 4), b=array(4)))
    new = snt.Conv1D(4, 3, 1, 2, snt.CAUSAL, initializers=constants(w=array(3, 3, 4), b=array(4)))
    np.testing.assert_array_equal(mode.run(old, x), mode.run(new, x))


def test_explicit_same_does_not_look_at_the_stride(mode):
    x, ones = np.arange(1.0, 7.0).reshape(1, 6, 1), {"w": tf.ones_initializer()}
    tensorflows = snt.Conv1D(1, 3, stride=2, initializers=ones)
    explicit = snt.Conv1D(1, 3, stride=2, padding_value=snt.SYMMETRIC_PADDING, initializers=ones)
    np.testing.assert_array_equal(mode.run(tensorflows, x)[0, :, 0], [1 + 2 + 3, 12, 5 + 6])
    np.testing.assert_array_equal(mode.run(explicit, x)[0, :, 0], [1 + 1 + 2, 9, 15])


@pytest.mark.parametrize(
    ("make", "channels"),
    [
        (lambda f: snt.Conv1D(3, 2, data_format=f), 2),
        (lambda f: snt.Conv2D(3, 2, stride=(2, 1), padding=[snt.FULL, snt.SAME], data_format=f), 2),
        (lambda f: snt.Conv3D(3, 2, data_format=f), 2),
        (lambda f: snt.Conv2D(3, 2, rate=2, data_format=f), 2),
        (lambda f: snt.Conv1DTranspose(3, None, 3, 2, data_format=f), 2),
        (lambda f: snt.Conv2DTranspose(3, (9, 8), (3, 2), 2, data_format=f), 2),
        (lambda f: snt.Conv3DTranspose(3, None, 2, (1, 2, 3), snt.VALID, data_format=f), 2),
        (lambda f: snt.InPlaneConv2D((2, 3), data_format=f), 3),
        (lambda f: snt.DepthwiseConv1D(2, 3, padding=snt.FULL, data_format=f), 2),
        (lambda f: snt.DepthwiseConv2D(2, 3, padding=snt.FULL, data_format=f), 2),
        (lambda f: snt.SeparableConv1D(3, 2, 3, 2, data_format=f), 2),
        (lambda f: snt.SeparableConv2D(3, 2, 3, data_format=f), 2),
    ],
)
def test_channels_first_gives_the_same_shapes_and_weights(make, channels):
    last_format = make(None).data_format
    first_format = "NC" + last_format[1:-1]
    spatial = (5, 4, 6)[: len(last_format) - 2]
    with tf.Graph().as_default():
        last, first = make(last_format), make(first_format)
        for batch in (2, None):
            y_last = last(tf.compat.v1.placeholder(tf.float32, [batch, *spatial, channels]))
            y_first = first(tf.compat.v1.placeholder(tf.float32, [batch, channels, *spatial]))
            n, *sizes, c = y_last.shape.as_list()
            assert y_first.shape.as_list() == [n, c, *sizes]
        shapes = [[tuple(v.shape) for v in module.variables] for module in (last, first)]
        assert shapes[0] == shapes[1]
        assert first.stride == (1, 1, *last.stride[1:-1])
        assert (first.input_channels, first.output_channels) == (channels, c)


def test_channels_first_gives_the_same_numbers_where_there_is_a_kernel():
    # XLA has one on every device.
    for n, make in itertools.product((1, 2, 3), (PLAIN, TRANSPOSED)):
        last_format = {1: "NWC", 2: "NHWC", 3: "NDHWC"}[n]
        options = {"kernel_shape": 3, "stride": 2, "padding": snt.VALID}
        last = make[n](4, data_format=last_format, **options)
        x = array(2, *(7, 8, 9)[:n], 3)
        expected = last(x)
        b = array(4, seed=5)
        first = make[n](
            4,
            data_format="NC" + last_format[1:-1],
            initializers=constants(w=last.w.numpy(), b=b),
            **options,
        )
        outputs = tf.function(first, jit_compile=True)(tf.constant(np.moveaxis(x, -1, 1)))
        np.testing.assert_allclose(np.moveaxis(outputs, 1, -1), expected + b, 1e-8, 1e-8)


def test_channels_first_has_no_kernel_on_a_cpu():
    with pytest.raises((tf.errors.UnimplementedError, tf.errors.InvalidArgumentError)):
        snt.Conv2D(3, 3, data_format="NCHW")(array(2, 3, 5, 5))
