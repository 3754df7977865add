"""`InPlaneConv2D`, `DepthwiseConv1D/2D`, `SeparableConv1D/2D`: variables, errors, copies."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

# Constructor, variables, name, of inputs [2, 6, (5,) 3].
CASES = {
    "in_plane_conv2d": (lambda **o: snt.InPlaneConv2D(2, **o), {"w": (2, 2, 1, 1), "b": (3,)}),
    "conv_1d_depthwise": (
        lambda **o: snt.DepthwiseConv1D(2, 2, **o),
        {"w": (1, 2, 3, 2), "b": (6,)},
    ),
    "conv_2d_depthwise": (
        lambda **o: snt.DepthwiseConv2D(2, 2, **o),
        {"w": (2, 2, 3, 2), "b": (6,)},
    ),
    "separable_conv1d": (
        lambda **o: snt.SeparableConv1D(4, 2, 2, **o),
        {"w_dw": (1, 2, 3, 2), "w_pw": (1, 1, 6, 4), "b": (4,)},
    ),
    "separable_conv2d": (
        lambda **o: snt.SeparableConv2D(4, 2, 2, **o),
        {"w_dw": (2, 2, 3, 2), "w_pw": (1, 1, 6, 4), "b": (4,)},
    ),
}
each_module = pytest.mark.parametrize("name", CASES)


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def inputs_for(name, channels=3):
    return array(2, *((6, 5) if "2d" in name else (6,)), channels)


def doubling(getter, name, *args, **kwargs):
    return tf.multiply(getter(name, *args, **kwargs), 2)


@each_module
def test_names_and_variables(name, mode):
    make, variables = CASES[name]
    module = make()
    assert module.possible_keys == set(variables)
    assert module.get_possible_initializer_keys(use_bias=False) == set(variables) - {"b"}
    mode.run(module, inputs_for(name))
    assert [v.name for v in module.get_variables()] == [f"{name}/{key}:0" for key in variables]
    assert [tuple(v.shape) for v in module.get_variables()] == list(variables.values())
    np.testing.assert_array_equal(mode.values(module.b), np.zeros(variables["b"]))


@each_module
def test_properties(name, mode):
    make, variables = CASES[name]
    module = make()
    n = 2 if "2d" in name else 1
    for attribute in ("w", "b", "input_shape", "input_channels"):
        with pytest.raises(snt.NotConnectedError, match=f"Variables in {name} not instantiated"):
            getattr(module, attribute)
    if "separable" in name:
        assert module.output_channels == 4
        with pytest.raises(snt.NotConnectedError):
            _ = module.w_pw
    else:
        with pytest.raises(snt.NotConnectedError, match=f"Variables in {name} not instantiated"):
            _ = module.output_channels
    assert (module.kernel_shape, module.rate, module.mask) == ((2,) * n, (1,) * n, None)
    assert module.stride == (1,) * (n + 2)
    assert (module.padding, module.conv_op_padding) == ("SAME", "SAME")
    outputs = mode.run(module, inputs_for(name))
    assert outputs.shape[-1] == module.output_channels == variables["b"][0]
    assert module.input_channels == 3
    if "separable" in name:
        assert module.w == (module.w_dw, module.w_pw)
    if "in_plane" not in name:
        assert module.channel_multiplier == 2
    assert not isinstance(module, snt.Transposable)
    assert not hasattr(module, "transpose")


@pytest.mark.parametrize(
    ("make", "shape", "stddevs"),
    [
        (lambda: snt.InPlaneConv2D((100, 200)), (1, 1, 1, 1), {"w": 20000**-0.5}),
        (lambda: snt.DepthwiseConv1D(2500, 4), (1, 4, 2), {"w": 1 / 2}),
        (lambda: snt.DepthwiseConv2D(1250, (2, 4)), (1, 4, 4, 2), {"w": 8**-0.5}),
        (lambda: snt.SeparableConv1D(2, 2500, 4), (1, 4, 2), {"w_dw": 1 / 2, "w_pw": 5000**-0.5}),
        (
            lambda: snt.SeparableConv2D(2, 1250, (2, 4)),
            (1, 4, 4, 2),
            {"w_dw": 8**-0.5, "w_pw": 2500**-0.5},
        ),
    ],
)
def test_weights_start_at_the_scale_of_the_fan_in(make, shape, stddevs, mode):
    tf.random.set_seed(1)
    module = make()
    mode.run(module, array(*shape))
    for name, stddev in stddevs.items():
        w = mode.values(getattr(module, name))
        assert np.abs(w).max() <= 2 * stddev * 1.001
        np.testing.assert_allclose(w.std(), 0.8796 * stddev, rtol=0.05)


@each_module
def test_without_bias(name, mode):
    make, variables = CASES[name]
    module = make(use_bias=False)
    mode.run(module, inputs_for(name))
    assert len(module.variables) == len(variables) - 1
    match = f"No bias Variable in {type(module).__name__} Module"
    with pytest.raises(AttributeError, match=match):
        _ = module.b
    with pytest.raises(KeyError, match="Invalid regularizer keys 'b'"):
        make(use_bias=False, regularizers={"b": tf.reduce_sum})


@each_module
def test_input_checks(name, mode):
    module = CASES[name][0]()
    with pytest.raises(snt.IncompatibleShapeError, match="Input Tensor must have rank"):
        mode.run(module, array(2, 3))
    with pytest.raises(TypeError, match="Input must have dtype tf.float16"):
        mode.run(module, inputs_for(name).astype(int))
    mode.run(module, inputs_for(name))
    if "in_plane" not in name or module.has_bias:
        with pytest.raises(ValueError, match="Trying to share variable"):
            mode.run(module, inputs_for(name, channels=4))
    with tf.Graph().as_default(), pytest.raises(snt.UnderspecifiedError):
        CASES[name][0]()(tf1.placeholder(tf.float32, [None] * inputs_for(name).ndim))


@each_module
def test_sizes_may_be_unknown(name):
    with tf.Graph().as_default(), tf1.Session() as session:
        module = CASES[name][0](padding=snt.FULL)
        x = inputs_for(name)
        unknown = tf1.placeholder(tf.float32, [None] * (x.ndim - 1) + [3])
        dynamic, static = module(unknown), module(tf.constant(x))
        assert dynamic.shape.as_list() == [None] * (x.ndim - 1) + [static.shape[-1]]
        session.run(tf1.global_variables_initializer())
        np.testing.assert_allclose(*session.run([dynamic, static], {unknown: x}), 1e-6, 1e-6)


@pytest.mark.parametrize("make", [make for name, (make, _) in CASES.items()])
@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"data_format": "NDHWC"}, ValueError, "Invalid data_format"),
        ({"stride": 0}, snt.IncompatibleShapeError, "Invalid stride shape"),
        ({"padding": "same"}, TypeError, "padding is 'same', must be member of"),
        ({"padding_value": "zeros"}, ValueError, "Padding must be member of"),
    ],
)
def test_constructor_errors(make, options, error, match):
    with pytest.raises(error, match=match):
        make(**options)


@pytest.mark.parametrize(
    "make",
    [
        lambda m: snt.DepthwiseConv1D(m, 0),
        lambda m: snt.DepthwiseConv2D(m, 0),
        lambda m: snt.SeparableConv1D(3, m, 0),
        lambda m: snt.SeparableConv2D(3, m, 0),
    ],
)
def test_channel_multipliers_are_positive_integers(make):
    # Checked before all else: the kernel shape is wrong, too.
    for multiplier in (1.0, "1", None, [1], tf1.Dimension(None)):
        with pytest.raises(ValueError, match="must be of type"):
            make(multiplier)
    for multiplier in (0, -1, tf1.Dimension(0)):
        with pytest.raises(ValueError, match="must be >= 1"):
            make(multiplier)
    for multiplier in (1, np.int64(1), tf1.Dimension(1)):
        with pytest.raises(snt.IncompatibleShapeError, match="Invalid kernel shape"):
            make(multiplier)


def test_a_dimension_is_a_channel_multiplier(mode):
    module = snt.DepthwiseConv2D(tf1.Dimension(2), 3)
    assert mode.run(module, array(1, 4, 4, 3)).shape == (1, 4, 4, 6)
    assert type(module.channel_multiplier) is int


@pytest.mark.parametrize(
    "make",
    [
        lambda: snt.InPlaneConv2D(3, (1, 2)),
        lambda: snt.DepthwiseConv2D(1, 3, (1, 2)),
        lambda: snt.SeparableConv2D(1, 1, 3, (1, 2)),
    ],
)
def test_tensorflow_refuses_unequal_strides(make, mode):
    with pytest.raises(tf.errors.InvalidArgumentError, match="only supports equal length strides"):
        mode.run(make(), array(1, 6, 6, 3))


def test_separable_stride_and_rate_exclude_each_other():
    for make in (snt.SeparableConv1D, snt.SeparableConv2D):
        with pytest.raises(snt.NotSupportedError, match="Cannot have stride > 1 with rate > 1"):
            make(3, 1, 3, 2, 2)


def test_callable_output_channels(mode):
    for make, shape in ((snt.SeparableConv1D, (2, 6, 3)), (snt.SeparableConv2D, (2, 6, 5, 3))):
        module = make(lambda: 4, 1, 3)
        assert mode.run(module, array(*shape)).shape == (*shape[:-1], 4)


def test_positions_of_arguments():
    tail = ["use_bias", "initializers", "partitioners", "regularizers"]
    end = ["data_format", "padding_value", "custom_getter", "name"]
    window = ["kernel_shape", "stride", "padding"]
    separable = ["output_channels", "channel_multiplier", "kernel_shape", "stride", "rate"]
    for module, names in (
        (snt.InPlaneConv2D, [*window, *tail, *end]),
        (snt.DepthwiseConv1D, ["channel_multiplier", *window, *tail, *end]),
        (snt.DepthwiseConv2D, ["channel_multiplier", *window, *tail, *end]),
        (snt.SeparableConv1D, [*separable, "padding", *tail, *end]),
        (snt.SeparableConv2D, [*separable, "padding", *tail, *end]),
    ):
        assert list(inspect.signature(module).parameters) == names


@each_module
def test_partitioned_variables_are_put_together(name):
    make, variables = CASES[name]

    def halve_what_can_be(shape, dtype):
        sizes = [1] * shape.rank
        sizes[next(i for i, size in enumerate(shape.as_list()) if size > 1)] = 2
        return sizes

    with tf.Graph().as_default(), tf1.Session() as session:
        module = make(partitioners=dict.fromkeys(variables, halve_what_can_be))
        x = tf.constant(inputs_for(name))
        outputs, again = module(x), module(x)
        assert len(module.variables) == 2 * len(variables)
        session.run(tf1.global_variables_initializer())
        values = session.run({k: tf.convert_to_tensor(getattr(module, k)) for k in variables})
        given = {k: (lambda *_, v=v, **__: v) for k, v in values.items()}
        whole = make(initializers=given)
        expected = whole(x)
        session.run(tf1.variables_initializer(whole.variables))
        values = session.run([outputs, again, expected])
        np.testing.assert_allclose(values[0], values[2], 1e-5, 1e-6)
        np.testing.assert_array_equal(values[0], values[1])


@each_module
def test_regularizers_see_variables_once(name, mode):
    make, variables = CASES[name]
    module = make(regularizers=dict.fromkeys(variables, tf.reduce_sum))
    for _ in range(2):
        mode.run(module, inputs_for(name))
    losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
    sums = [mode.values(getattr(module, key)).sum() for key in variables]
    np.testing.assert_allclose(mode.values(losses), sums, 1e-4, 1e-5)


@each_module
@pytest.mark.parametrize("pattern", ["w", "b"])
def test_clone_keeps_everything(name, pattern, mode):
    make, variables = CASES[name]
    options = {
        "padding": snt.FULL,
        "padding_value": snt.SYMMETRIC_PADDING,
        "initializers": dict.fromkeys(variables, tf.ones_initializer()),
        "regularizers": {"b": tf.reduce_sum},
        "custom_getter": {pattern: doubling},
    }
    module, plain = make(**options), make(**{**options, "custom_getter": None})
    x = inputs_for(name)
    outputs = mode.run(module, x)
    clone = module.clone()
    assert type(clone) is type(module)
    assert clone.scope_name == f"{name}_clone"
    assert (clone.initializers, clone.regularizers) == (module.initializers, module.regularizers)
    np.testing.assert_array_equal(mode.run(clone, x), outputs)
    # The pattern "w" fits `w_dw` and `w_pw`, too.
    times = {"w": 2 ** (len(variables) - 1), "b": 1}[pattern]
    biases = {"w": 1, "b": 2}[pattern]
    np.testing.assert_allclose(outputs, times * (mode.run(plain, x) - 1) + biases, 1e-4, 1e-4)
