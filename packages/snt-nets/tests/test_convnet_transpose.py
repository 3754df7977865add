"""`nets.ConvNet2DTranspose`, and the transposes of both networks."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.variables import names, randomise

SAME, VALID = snt.SAME, snt.VALID
IMAGES = np.random.default_rng(0).normal(size=[2, 8, 7, 3]).astype("float32")
SMALL = np.random.default_rng(1).normal(size=[2, 3, 3, 5]).astype("float32")
OPTIONS = {"kernel_shapes": [3, [2, 1]], "strides": [1, 2], "paddings": [SAME, VALID]}


def convnet(**options):
    """Maps [8, 7, 3] to [4, 4, 5]."""
    return snt.nets.ConvNet2D(**{"output_channels": [4, 5], **OPTIONS, **options})


def convnet_transpose(**options):
    """Maps [3, 3, 5] to [7, 6, 3]."""
    shapes = {"output_channels": [4, 3], "output_shapes": [(3, 3), lambda: (7, 6)]}
    return snt.nets.ConvNet2DTranspose(**{**shapes, **OPTIONS, **options})


# ConvNet2DTranspose.


@pytest.mark.parametrize("activate_final", [False, True])
@pytest.mark.parametrize("use_bias", [True, (False, True)])
def test_applies_transposed_convolutions(activate_final, use_bias, mode):
    net = convnet_transpose(activation=tf.tanh, activate_final=activate_final, use_bias=use_bias)
    images = SMALL.astype("float64")
    mode.run(net, images)
    scope = "conv_net_2d_transpose/conv_2d_transpose"
    biases = [use_bias] * 2 if use_bias is True else use_bias
    assert names(net.get_variables()) == [
        f"{scope}_{i}/{key}" for i in range(2) for key in ("wb" if biases[i] else "w")
    ]
    assert net.output_shapes == ((3, 3), (7, 6))
    assert net.rates == (1, 1)
    values = iter([v.astype("float64") for v in randomise(net.get_variables(), mode)])
    expected = images
    sizes = [[2, 3, 3, 4], [2, 7, 6, 3]]
    for index, (size, stride, padding) in enumerate(zip(sizes, [1, 2], [SAME, VALID], strict=True)):
        expected = tf.nn.conv2d_transpose(expected, next(values), size, stride, padding)
        if biases[index]:
            expected += next(values)
        if index == 0 or activate_final:
            expected = tf.tanh(expected)
    outputs = mode.run(net, images, unknown_batch=True)
    np.testing.assert_allclose(outputs, mode.values(expected), 1e-12, 1e-12)


def test_one_output_shape_for_all_layers(mode):
    net = convnet_transpose(output_shapes=[[6, 6]], strides=[2, 1], paddings=["SAME"])
    assert mode.run(net, SMALL).shape == (2, 6, 6, 3)
    assert net.output_shapes == ((6, 6), (6, 6))


def test_normalises(mode):
    net = convnet_transpose(normalization_ctor="LayerNorm", normalize_final=True)
    outputs = mode.run(net, SMALL)
    np.testing.assert_allclose(outputs.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.var((1, 2, 3)), 1, 1e-2)
    assert "conv_net_2d_transpose/batch_norm_1/gamma" in names(net.variables)


BAD_ARGUMENTS = {
    "output_channels": (3, TypeError, "output_channels must be iterable"),
    "output_shapes": (3, TypeError, "output_shapes must be iterable"),
    "output_shapes ": ([3] * 3, ValueError, "output_shapes must be of length 1 or 2"),
    "kernel_shapes": (3, TypeError, "kernel_shapes must be iterable"),
    "strides": (3, TypeError, "strides must be iterable"),
    "paddings": (None, TypeError, "paddings must be iterable"),
    "use_batch_norm": ([True], TypeError, "use_batch_norm must be a boolean"),
    "data_format": ("NHCW", ValueError, "Invalid data_format"),
    "initializers": ({"no": tf.zeros}, KeyError, "Invalid initializer keys"),
    "activation": (3, TypeError, "Input 'activation' must be callable"),
    "kernel_shapes ": ([1] * 3, ValueError, "kernel_shapes must be of length 1 or 2"),
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
        convnet_transpose(**options)
    suffix = "_1" if first >= 7 else ""
    assert convnet_transpose().scope_name == f"conv_net_2d_transpose{suffix}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_channels": [], "output_shapes": [3]}, "output_channels must not be empty"),
        ({"paddings": [snt.FULL]}, "Padding must be member of"),
    ],
)
def test_other_errors_of_the_constructor(options, message):
    with pytest.raises(ValueError, match=message):
        convnet_transpose(**options)


# Transposes.


@pytest.mark.parametrize("connect_first", [False, True])
def test_there_and_back_again(connect_first, mode):
    net = convnet(activation=tf.tanh, use_bias=[True, False], data_format="NHWC")
    if connect_first:
        mode.run(net, IMAGES)
    transposed = net.transpose()
    again = transposed.transpose()
    assert isinstance(transposed, snt.nets.ConvNet2DTranspose)
    assert type(again) is snt.nets.ConvNet2D
    assert (transposed.module_name, again.module_name) == (
        "conv_net_2d_transpose",
        "conv_net_2d_transpose_transpose",
    )
    if not connect_first:
        match = "Variables in conv_net_2d/conv_2d_1 not instantiated yet"
        for read in (
            lambda: mode.run(transposed, np.ones([2, 4, 4, 5], np.float32)),
            lambda: transposed.output_channels,
        ):
            with pytest.raises(snt.NotConnectedError, match=match):
                read()
        with pytest.raises(snt.NotConnectedError, match="conv_net_2d/conv_2d_1 not instantiated"):
            _ = transposed.output_shapes
        with pytest.raises(snt.NotConnectedError, match="conv_2d_transpose_1 not instantiated"):
            _ = again.output_channels
        mode.run(net, IMAGES)
    assert mode.run(transposed, np.ones([2, 4, 4, 5], np.float32)).shape == IMAGES.shape
    assert mode.run(again, IMAGES).shape == (2, 4, 4, 5)
    assert transposed.output_channels == (4, 3)
    assert transposed.output_shapes == ((8, 7), (8, 7))
    assert again.output_channels == net.output_channels
    for name in ("kernel_shapes", "strides", "paddings", "use_bias"):
        assert getattr(transposed, name) == getattr(net, name)[::-1]
        assert getattr(again, name) == getattr(net, name)
    for name in ("activation", "activate_final", "normalize_final", "initializers"):
        assert getattr(transposed, name) == getattr(again, name) == getattr(net, name)
    assert not {id(v) for v in net.variables} & {id(v) for v in transposed.variables}


def test_takes_over_what_is_not_given():
    regularizers, partitioners = {"w": tf.reduce_sum}, {"w": tf1.fixed_size_partitioner(1)}
    initializers = {"b": tf1.ones_initializer()}
    net = convnet(
        activation=tf.tanh,
        activate_final=True,
        normalize_final=False,
        normalization_ctor=snt.LayerNorm,
        normalization_kwargs={"eps": 0.1},
        initializers=initializers,
        partitioners=partitioners,
        regularizers=regularizers,
        data_format="NCHW",
    )
    transposed = net.transpose()
    for other in (transposed, transposed.transpose()):
        assert (other.activation, other.activate_final) == (tf.tanh, True)
        assert other.normalization_ctor is snt.LayerNorm
        assert other.normalization_kwargs == {"eps": 0.1}
        assert other.normalize_final is False
        assert other.initializers == initializers
        assert other.partitioners is partitioners
        assert other.regularizers == regularizers
        assert {layer.data_format for layer in other.layers} == {"NCHW"}


def test_arguments_of_transpose():
    net = convnet(normalize_final=False)
    given = {
        "output_channels": (7, 8),
        "kernel_shapes": ([1, 2], 3),
        "strides": (1, 1),
        "paddings": (SAME, SAME),
        "use_bias": (False, True),
        "activation": tf.tanh,
        "activate_final": True,
        "normalization_ctor": snt.LayerNorm,
        "normalization_kwargs": {"eps": 0.1},
        "normalize_final": True,
        "initializers": {"b": tf1.ones_initializer()},
        "partitioners": {"w": tf1.fixed_size_partitioner(1)},
        "regularizers": {"w": tf.reduce_sum},
    }
    for original in (net, net.transpose()):
        other = original.transpose(name="other", **given)
        assert other.module_name.startswith("other")
        assert {name: getattr(other, name) for name in given} == given
        assert original.transpose(data_format="NCHW").layers[0].data_format == "NCHW"


def test_reads_shapes_in_the_format_of_the_original():
    net = convnet()
    transposed = net.transpose(data_format="NCHW")
    with tf.Graph().as_default():
        net(tf1.placeholder(tf.float32, [None, 8, 7, 3]))
        outputs = transposed(tf1.placeholder(tf.float32, [None, 5, 4, 4]))
        assert outputs.shape.as_list() == [None, 3, 8, 7]


def test_unknown_sizes():
    """The size of the outputs is then the default of transposed convolutions."""
    net = snt.nets.ConvNet2D([4, 5], [3], [2], [SAME])
    transposed = net.transpose()
    tf.function(net, input_signature=[tf.TensorSpec([None, None, None, 3])])(IMAGES)
    assert transposed(tf.ones([2, 2, 2, 5])).shape == (2, 8, 8, 3)
    whole = tf.function(transposed, input_signature=[tf.TensorSpec([None, None, 2, 5])])
    assert whole.get_concrete_function().output_shapes.as_list() == [None, None, 8, 3]
    assert whole(tf.ones([2, 3, 2, 5])).shape == (2, 12, 8, 3)


@pytest.mark.parametrize(
    ("own", "given", "ctor", "kwargs"),
    [
        # Nothing is given: as before.
        ({"normalization_ctor": snt.LayerNorm}, {}, snt.LayerNorm, {}),
        ({"use_batch_norm": True}, {}, snt.BatchNorm, {}),
        # Other arguments for the same constructor.
        (
            {"normalization_ctor": snt.LayerNorm, "normalization_kwargs": {"eps": 0.1}},
            {"normalization_kwargs": {"eps": 0.2}},
            snt.LayerNorm,
            {"eps": 0.2},
        ),
        # Another constructor does not get the arguments of the one before.
        (
            {"normalization_ctor": snt.LayerNorm, "normalization_kwargs": {"eps": 0.1}},
            {"normalization_ctor": "BatchNormV2"},
            snt.BatchNormV2,
            {},
        ),
        (
            {"normalization_ctor": snt.LayerNorm, "normalization_kwargs": {"eps": 0.1}},
            {"normalization_ctor": "LayerNorm"},
            snt.LayerNorm,
            {"eps": 0.1},
        ),
        # The deprecated arguments.
        (
            {},
            {"use_batch_norm": True, "batch_norm_config": {"scale": True}},
            snt.BatchNorm,
            {"scale": True},
        ),
        (
            {"normalization_ctor": snt.LayerNorm, "normalization_kwargs": {"eps": 0.1}},
            {"use_batch_norm": True},
            snt.BatchNorm,
            {},
        ),
        ({"use_batch_norm": True}, {"use_batch_norm": False}, None, {}),
        ({"normalization_ctor": snt.LayerNorm}, {"use_batch_norm": False}, None, {}),
        (
            {},
            {"use_batch_norm": False, "normalization_ctor": snt.LayerNorm},
            snt.LayerNorm,
            {},
        ),
    ],
)
def test_normalisation_of_transposes(own, given, ctor, kwargs):
    net = convnet(**own)
    for original in (net, net.transpose()):
        transposed = original.transpose(**given)
        assert transposed.normalization_ctor is ctor
        assert transposed.normalization_kwargs == kwargs


@pytest.mark.parametrize(
    "given", [{"normalization_ctor": snt.LayerNorm}, {"normalization_kwargs": {}}]
)
def test_old_and_new_arguments_together(given):
    for original in (convnet(), convnet_transpose()):
        with pytest.raises(ValueError, match="If use_batch_norm is specified"):
            original.transpose(use_batch_norm=True, **given)


@pytest.mark.parametrize("rates", [[1], [(1, 1), [1, 1]]])
def test_rates_of_1_can_be_transposed(rates):
    assert convnet(rates=rates).transpose().rates == (1, 1)


@pytest.mark.parametrize("rates", [[2], [1, 2], [(1, 2), 1]])
def test_dilation_cannot_be_transposed(rates):
    net = convnet(rates=rates, strides=[1])
    with pytest.raises(NotImplementedError, match="Transpose dilated convolutions"):
        net.transpose()


@pytest.mark.parametrize(
    ("own", "given", "error", "message"),
    [
        (
            {},
            {"output_channels": [3]},
            ValueError,
            "Iterable output_channels length must match the number of layers",
        ),
        ({}, {"output_channels": 3}, TypeError, "output_channels must be iterable"),
        ({}, {"data_format": "NHCW"}, ValueError, "Invalid data_format"),
        ({"paddings": [snt.FULL]}, {}, ValueError, "Padding must be member of"),
        ({"paddings": [[SAME, VALID]]}, {}, ValueError, "different paddings"),
    ],
)
def test_errors_of_transpose(own, given, error, message):
    with pytest.raises(error, match=message):
        convnet(**own).transpose(**given)


def test_custom_getters_are_not_passed_on(monkeypatch, mode):
    logged = []
    monkeypatch.setattr(tf1.logging, "warning", lambda text, *args: logged.append(text % args))
    getter = snt.custom_getters.non_trainable
    net = convnet(custom_getter=getter)
    mode.run(net, IMAGES)
    images = np.ones([2, 4, 4, 5], np.float32)
    plain, fixed = net.transpose(), net.transpose(custom_getter=getter)
    assert len(logged) == 1
    assert "the custom getter is not passed on" in logged[0]
    mode.run(plain, images)
    mode.run(fixed, images)
    assert len(plain.trainable_variables) == 4
    assert not fixed.trainable_variables
    logged.clear()
    convnet().transpose()
    assert not logged


def test_names_of_transposes():
    with tf1.variable_scope("first"):
        net = convnet()
    with tf1.variable_scope("second"):
        transposed = net.transpose()
    assert transposed.layers[0].scope_name == "second/conv_net_2d_transpose/conv_2d_transpose_0"
    assert net.transpose(name="back").scope_name == "back"
