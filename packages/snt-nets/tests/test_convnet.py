"""`nets.ConvNet2D`."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_core import deprecation
from snt_nets.nets import convnet
from tests.support.variables import names, randomise

SAME, VALID = snt.SAME, snt.VALID
IMAGES = np.random.default_rng(0).normal(size=[2, 8, 7, 3]).astype("float32")
OPTIONS = {
    "output_channels": [4, 5],
    "kernel_shapes": [3, [2, 1]],
    "strides": [1, 2],
    "paddings": [SAME, VALID],
}


def convnet_2d(**options):
    return snt.nets.ConvNet2D(**{**OPTIONS, **options})


def layer_norm(x, gamma, beta):
    axes = tuple(range(1, x.ndim))
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


@pytest.fixture
def warnings_logged(monkeypatch):
    """The warnings that are logged, with nothing remembered from before."""
    logged = []
    monkeypatch.setattr(tf1.logging, "warning", lambda text, *a: logged.append(text % a))
    monkeypatch.setattr(deprecation, "_seen", set())
    return logged


# What is computed.


@pytest.mark.parametrize("activate_final", [False, True])
@pytest.mark.parametrize("use_bias", [False, True, [True, False]])
def test_applies_convolutions_and_activations(activate_final, use_bias, mode):
    net = convnet_2d(activation=tf.tanh, activate_final=activate_final, use_bias=use_bias)
    images = IMAGES.astype("float64")
    assert mode.run(net, images).shape == (2, 4, 4, 5)
    biases = [use_bias] * 2 if isinstance(use_bias, bool) else use_bias
    expected_names = [
        f"conv_net_2d/conv_2d_{i}/{key}" for i in range(2) for key in ("wb" if biases[i] else "w")
    ]
    assert names(net.get_variables()) == expected_names
    assert net.use_bias == tuple(biases)
    assert net.input_shape == (2, 8, 7, 3)
    values = iter([v.astype("float64") for v in randomise(net.get_variables(), mode)])
    expected = tf.constant(images) if not mode.in_graph else images
    for index, (stride, padding) in enumerate([(1, SAME), (2, VALID)]):
        expected = tf.nn.conv2d(expected, next(values), stride, padding)
        if biases[index]:
            expected += next(values)
        if index == 0 or activate_final:
            expected = tf.tanh(expected)
    outputs = mode.run(net, images, unknown_batch=True)
    np.testing.assert_allclose(outputs, mode.values(expected), 1e-12, 1e-12)


def test_rectifies_by_default(mode):
    net = convnet_2d(activate_final=True)
    assert net.activation is tf.nn.relu
    outputs = mode.run(net, IMAGES)
    assert outputs.min() == 0
    assert outputs.max() > 0


def test_rates_and_single_entries(mode):
    net = snt.nets.ConvNet2D(
        output_channels=iter([2, lambda: 3, np.int64(4)]),
        kernel_shapes=iter([[3, 3]]),
        strides=(1,),
        paddings=[SAME],
        rates=[1, 2, (3, 1)],
    )
    assert net.output_channels == (2, 3, 4)
    assert net.kernel_shapes == ([3, 3],) * 3
    assert net.strides == (1, 1, 1)
    assert net.paddings == (SAME,) * 3
    assert net.rates == (1, 2, (3, 1))
    assert [layer.rate for layer in net.layers] == [(1, 1), (2, 2), (3, 1)]
    assert mode.run(net, IMAGES).shape == (2, 8, 7, 4)
    assert [tuple(v.shape) for v in net.get_variables()][::2] == [
        (3, 3, 3, 2),
        (3, 3, 2, 3),
        (3, 3, 3, 4),
    ]


def test_a_padding_alone_is_for_all_layers(mode):
    net = convnet_2d(paddings="SAME")
    assert net.paddings == (SAME, SAME)
    assert mode.run(net, IMAGES).shape == (2, 4, 4, 5)


def test_paddings_by_axis(mode):
    net = convnet_2d(paddings=[[VALID, SAME], snt.FULL], strides=[1])
    assert mode.run(net, IMAGES).shape == (2, 7, 7, 5)


def test_channels_first():
    net = convnet_2d(data_format="NCHW", normalization_ctor=snt.BatchNormV2)
    with tf.Graph().as_default():
        images = tf1.placeholder(tf.float32, [None, 3, 8, 7])
        outputs = net(images, is_training=True)
        assert outputs.shape.as_list() == [None, 5, 4, 4]
        assert net.input_shape == (None, 3, 8, 7)
    assert (convnet.DATA_FORMAT_NHWC, convnet.DATA_FORMAT_NCHW) == ("NHWC", "NCHW")


def test_regularizes_each_layer(mode):
    key = tf1.GraphKeys.REGULARIZATION_LOSSES
    tf1.get_default_graph().clear_collection(key)
    ones = tf1.ones_initializer()
    regularizers = {"w": tf.reduce_sum, "b": lambda b: tf.reduce_sum(b) + 0.5}
    net = convnet_2d(
        initializers={"w": ones, "b": ones}, regularizers=regularizers, use_bias=[True, False]
    )
    for _ in range(2):
        mode.run(net, IMAGES)
    losses = [tf.convert_to_tensor(loss) for loss in tf1.get_collection(key)]
    np.testing.assert_allclose(mode.values(losses), [3 * 3 * 3 * 4, 4.5, 2 * 1 * 4 * 5])


def test_partitions_the_weights():
    partitioners = {"w": tf1.fixed_size_partitioner(2)}
    with tf.Graph().as_default():
        net = convnet_2d(partitioners=partitioners)
        net(tf.constant(IMAGES))
        assert len(net.get_variables()) == 6
    assert net.partitioners is partitioners


def test_custom_getters_act_on_the_layers(mode):
    net = convnet_2d(custom_getter={"conv_2d_0/w": snt.custom_getters.non_trainable})
    mode.run(net, IMAGES)
    assert [v.trainable for v in net.variables] == [True, False, True, True]


# Normalisation.


@pytest.mark.parametrize("ctor", [snt.LayerNorm, "LayerNorm", "snt.LayerNorm"])
@pytest.mark.parametrize("normalize_final", [False, True])
def test_normalises_between_convolution_and_activation(ctor, normalize_final, mode):
    net = convnet_2d(normalization_ctor=ctor, activation=tf.tanh, normalize_final=normalize_final)
    assert net.normalization_ctor is snt.LayerNorm
    for _ in range(2):
        mode.run(lambda x: net(x, is_training=True), IMAGES)
    expected_names = [
        "conv_2d_0/w",
        "conv_2d_0/b",
        "batch_norm_0/gamma",
        "batch_norm_0/beta",
        "conv_2d_1/w",
        "conv_2d_1/b",
        *(["batch_norm_1/gamma", "batch_norm_1/beta"] if normalize_final else []),
    ]
    variables = {v.name.removesuffix(":0"): v for v in net.variables}
    assert set(variables) == {f"conv_net_2d/{name}" for name in expected_names}
    values = dict(zip(variables, randomise(variables.values(), mode), strict=True))

    def value(name):
        return values[f"conv_net_2d/{name}"].astype("float64")

    def conv(x, layer, stride, padding):
        outputs = tf.nn.conv2d(x, value(f"{layer}/w"), stride, padding)
        return mode.values(outputs) + value(f"{layer}/b")

    expected = conv(IMAGES.astype("float64"), "conv_2d_0", 1, SAME)
    expected = layer_norm(expected, value("batch_norm_0/gamma"), value("batch_norm_0/beta"))
    expected = conv(np.tanh(expected), "conv_2d_1", 2, VALID)
    if normalize_final:
        expected = layer_norm(expected, value("batch_norm_1/gamma"), value("batch_norm_1/beta"))
    outputs = mode.run(lambda x: net(x, is_training=True), IMAGES)
    np.testing.assert_allclose(outputs, expected, 1e-3, 1e-3)


@pytest.mark.parametrize(
    ("options", "trainable", "all_variables"),
    [
        ({}, 6, 6),
        ({"normalization_ctor": snt.BatchNorm}, 8, 12),
        ({"normalization_ctor": snt.BatchNorm, "normalize_final": True}, 9, 15),
        (
            {"normalization_ctor": snt.BatchNorm, "normalization_kwargs": {"scale": True}},
            10,
            14,
        ),
        ({"normalization_ctor": snt.BatchNormV2}, 8, 14),
        ({"use_batch_norm": True}, 8, 12),
        ({"use_batch_norm": True, "batch_norm_config": {"scale": True}}, 10, 14),
        ({"use_batch_norm": False}, 6, 6),
        ({"use_batch_norm": False, "normalization_ctor": snt.BatchNorm}, 8, 12),
    ],
)
def test_numbers_of_variables(options, trainable, all_variables, mode):
    net = convnet_2d(
        output_channels=[2, 2, 2], kernel_shapes=[1], strides=[1], paddings=[SAME], **options
    )
    for is_training in (True, False):
        mode.run(lambda x, flag=is_training: net(x, is_training=flag), IMAGES)
    assert (len(net.trainable_variables), len(net.variables)) == (trainable, all_variables)


def test_normalize_final_is_activate_final_by_default(warnings_logged):
    for activate_final in (False, True):
        net = convnet_2d(activate_final=activate_final, normalization_ctor=snt.LayerNorm)
        assert net.normalize_final is activate_final
    assert [text for text in warnings_logged if "normalize_final" in text]
    warnings_logged.clear()
    assert convnet_2d(normalize_final=True).normalize_final is True
    assert not warnings_logged


def test_makes_normalisers_with_the_given_arguments(mode):
    made = []

    def ctor(name, factor, **kwargs):
        made.append((name, kwargs))
        return lambda x, power=1: (factor * x) ** power

    net = convnet_2d(
        normalization_ctor=ctor,
        normalization_kwargs={"factor": 2.0, "other": 3},
        normalize_final=True,
        activation=tf.identity,
    )
    plain = mode.run(lambda x: net(x, is_training=True), IMAGES)  # which no normaliser knows
    assert made[:2] == [("batch_norm_0", {"other": 3}), ("batch_norm_1", {"other": 3})]
    expected = mode.run(lambda x: 2 * net.layers[1](2 * net.layers[0](x)), IMAGES)
    np.testing.assert_allclose(plain, expected, 1e-5, 1e-6)
    squared = mode.run(lambda x: net(x, power=2, is_training=True), IMAGES)
    expected = mode.run(lambda x: (2 * net.layers[1]((2 * net.layers[0](x)) ** 2)) ** 2, IMAGES)
    np.testing.assert_allclose(squared, expected, 1e-5, 1e-6)


@pytest.mark.parametrize("ctor", [snt.BatchNorm, snt.BatchNormV2, "BatchNorm"])
def test_batch_normalisation_needs_is_training(ctor, mode):
    net = convnet_2d(normalization_ctor=ctor)
    with pytest.raises(ValueError, match="is_training flag must be explicitly specified"):
        mode.run(net, IMAGES)
    partial = convnet_2d(normalization_ctor=functools.partial(snt.BatchNorm, scale=True))
    with pytest.raises(TypeError, match="is_training"):
        mode.run(partial, IMAGES)


@pytest.mark.parametrize("ctor", [snt.BatchNorm, snt.BatchNormV2])
def test_batch_normalisation_in_training_and_after(ctor, mode):
    kwargs = {"decay_rate": 0.0, "update_ops_collection": None, "fused": False}
    net = snt.nets.ConvNet2D(
        [4], [1], [1], [SAME], normalization_ctor=ctor, normalization_kwargs=kwargs,
        normalize_final=True,
    )  # fmt: skip

    def training(x):
        return net(x, is_training=True)

    def testing(x, flag):
        return net(x, is_training=flag, test_local_stats=False)

    after = mode.run(testing, IMAGES, np.asarray(False))
    before = mode.run(training, IMAGES)
    np.testing.assert_allclose(before.mean((0, 1, 2)), 0, atol=1e-5)
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_allclose(mode.run(testing, IMAGES, np.asarray(False)), before, 1e-3, 1e-4)


def test_arguments_without_a_normaliser_only_warn(warnings_logged, mode):
    net = convnet_2d()
    for _ in range(2):
        mode.run(lambda x: net(x, is_training=True), IMAGES)
    assert warnings_logged == [
        "conv_net_2d: there is no normalisation, and so the arguments ['is_training'] are not used."
    ]


def test_a_name_for_the_normalisers(mode):
    net = convnet_2d(normalization_ctor=snt.LayerNorm, normalization_kwargs={"name": "norm"})
    with pytest.raises(TypeError, match="conv_net_2d: normalization_kwargs must not have a name"):
        mode.run(net, IMAGES)


def test_deprecated_arguments_and_properties(warnings_logged):
    config = {"scale": True}
    old = convnet_2d(use_batch_norm=True, batch_norm_config=config)
    assert [text for text in warnings_logged if "use_batch_norm" in text]
    assert old.normalization_ctor is snt.BatchNorm
    assert old.normalization_kwargs == old.batch_norm_config == config
    assert old.use_batch_norm is True
    assert convnet_2d(normalization_ctor=snt.BatchNormV2).use_batch_norm is False
    assert convnet_2d().use_batch_norm is False
    assert convnet_2d().normalization_kwargs == convnet_2d().batch_norm_config == {}
    warnings_logged.clear()
    deprecation._seen.clear()
    convnet_2d()
    assert not warnings_logged


# Properties and errors.


def test_properties_before_the_connection():
    regularizers, partitioners = {"w": tf.reduce_sum}, {"w": tf1.fixed_size_partitioner(1)}
    initializers = {"w": tf1.ones_initializer()}
    net = convnet_2d(
        initializers=initializers,
        partitioners=partitioners,
        regularizers=regularizers,
        name="net",
    )
    assert isinstance(net.layers, tuple)
    assert [layer.scope_name for layer in net.layers] == ["net/conv_2d_0", "net/conv_2d_1"]
    assert net.initializers == initializers
    assert net.partitioners is partitioners
    assert net.regularizers == regularizers
    assert net.kernel_shapes == (3, [2, 1])
    assert net.strides == (1, 2)
    assert net.paddings == (SAME, VALID)
    assert net.rates == (1, 1)
    assert net.use_bias == (True, True)
    assert (net.activate_final, net.normalize_final) == (False, False)
    assert net.normalization_ctor is None
    assert net.possible_keys == net.get_possible_initializer_keys() == {"w", "b"}
    for name in ("input_shape", "variables"):
        with pytest.raises(snt.NotConnectedError, match="Variables in net not instantiated yet"):
            getattr(net, name)


BAD_ARGUMENTS = {
    # Each with the errors of all those after it, so that the order is tested too.
    "output_channels": (3, TypeError, "output_channels must be iterable"),
    "kernel_shapes": (3, TypeError, "kernel_shapes must be iterable"),
    "strides": (3, TypeError, "strides must be iterable"),
    "paddings": (None, TypeError, "paddings must be iterable"),
    "rates": (3, TypeError, "rates must be iterable"),
    "use_batch_norm": ([True], TypeError, "use_batch_norm must be a boolean"),
    "output_channels ": ([], ValueError, "output_channels must not be empty"),
    "data_format": ("NHCW", ValueError, "Invalid data_format"),
    "initializers": ({"no": tf.zeros}, KeyError, "Invalid initializer keys"),
    "partitioners": ({"no": tf.zeros}, KeyError, "Invalid partitioner keys"),
    "regularizers": ({"no": tf.zeros}, KeyError, "Invalid regularizer keys"),
    "activation": (3, TypeError, "Input 'activation' must be callable"),
    "kernel_shapes ": ([1] * 3, ValueError, "kernel_shapes must be of length 1 or 2"),
    "strides ": ([1] * 3, ValueError, "strides must be of length 1 or 2"),
    "paddings ": ([SAME] * 3, ValueError, "paddings must be of length 1 or 2"),
    "rates ": ([], ValueError, "rates must be of length 1 or 2"),
    "normalization_ctor": (3, ValueError, "normalization_ctor must be a callable"),
    "use_bias": (3, TypeError, "use_bias must be either a bool or an iterable"),
}


@pytest.mark.parametrize("first", range(len(BAD_ARGUMENTS)))
def test_errors_of_the_constructor_in_order(first):
    entries = list(BAD_ARGUMENTS.items())[first:]
    _, (_, error, message) = entries[0]
    options = {name.strip(): value for name, (value, _, _) in reversed(entries)}
    tf1.reset_default_graph()
    with pytest.raises(error, match=message):
        convnet_2d(**options)
    used_up = first >= 6
    assert convnet_2d().scope_name == ("conv_net_2d_1" if used_up else "conv_net_2d")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data_format": None}, ValueError, "Invalid data_format"),
        ({"data_format": 3}, ValueError, "Invalid data_format"),
        ({"normalization_ctor": "NoSuchNorm"}, ValueError, "could not find"),
        ({"normalization_ctor": "nowhere.Norm"}, ValueError, "could not find"),
        (
            {"use_batch_norm": True, "normalization_ctor": snt.LayerNorm},
            ValueError,
            "if use_batch_norm is specified",
        ),
        (
            {"use_batch_norm": True, "normalization_kwargs": {}},
            ValueError,
            "if use_batch_norm is specified",
        ),
        ({"use_bias": [True] * 3}, ValueError, "use_bias must be of length 1 or 2"),
        ({"use_bias": []}, ValueError, "use_bias must be of length 1 or 2"),
        ({"use_bias": False, "initializers": {"b": tf.zeros}}, KeyError, "Invalid initializer"),
        ({"kernel_shapes": [0]}, snt.IncompatibleShapeError, "Invalid kernel shape"),
        ({"paddings": "CIRCULAR"}, TypeError, "must be member of"),
        ({"rates": [2]}, snt.NotSupportedError, "Cannot have stride > 1 with rate > 1"),
    ],
)
def test_other_errors_of_the_constructor(options, error, message):
    with pytest.raises(error, match=message):
        convnet_2d(**options)


@pytest.mark.parametrize("shape", [(4,), (8, 7, 3), (1, 2, 8, 7, 3)])
def test_images_have_four_axes(shape, mode):
    with pytest.raises(snt.IncompatibleShapeError, match="conv_2d_0: Input Tensor must have rank"):
        mode.run(convnet_2d(), np.ones(shape, np.float32))


# Graphs and functions.


def test_static_shapes_stay_known_in_a_function():
    net = convnet_2d(normalization_ctor=snt.BatchNorm, normalize_final=True)
    spec = [tf.TensorSpec([None, 8, 7, 3])]
    function = tf.function(net).get_concrete_function(*spec, is_training=tf.TensorSpec([], tf.bool))
    assert function.output_shapes.as_list() == [None, 4, 4, 5]
    assert len(net.variables) == 10
    whole = tf.function(convnet_2d())
    assert whole(tf.constant(IMAGES)).shape == (2, 4, 4, 5)


def test_may_be_constructed_in_another_graph():
    with tf.Graph().as_default():
        net = convnet_2d()
    with tf.Graph().as_default():
        assert net(tf.constant(IMAGES)).shape == (2, 4, 4, 5)
    with pytest.raises(snt.DifferentGraphError):
        net(tf.constant(IMAGES))
