"""`nets.AlexNet`, `nets.AlexNetFull` and `nets.AlexNetMini`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_core import deprecation
from tests.support.variables import names

AlexNet = snt.nets.AlexNet
IMAGES = np.random.default_rng(0).normal(size=[2, 18, 17, 2]).astype("float32")
RANDOM_BIASES = {"b": tf1.random_normal_initializer(stddev=0.1)}

# Output channels, kernel and stride, pool and stride.
LAYERS = {
    "FULL": [
        (96, (11, 4), (3, 2)),
        (256, (5, 1), (3, 2)),
        (384, (3, 1), None),
        (384, (3, 1), None),
        (256, (3, 1), (3, 2)),
    ],
    "MINI": [
        (48, (3, 1), (3, 1)),
        (128, (3, 1), (3, 1)),
        (192, (3, 1), None),
        (192, (3, 1), None),
        (128, (3, 1), (3, 1)),
    ],
}
LINEAR = {"FULL": 4096, "MINI": 1024}


def mini(**options):
    return AlexNet(**{"mode": AlexNet.MINI, "bn_on_fc_layers": False, **options})


def forward(net, mode, images, normalise=None, normalise_linear=False):
    """The small network, composed of TensorFlow's ops, in float64."""
    values = {name: v.astype("float64") for name, v in mode.values(variables_of(net)).items()}

    def activated(x, is_normalised):
        return tf.nn.relu(normalise(x) if is_normalised else x)

    outputs = tf.constant(images.astype("float64"))
    for i, (_, (_, stride), pool) in enumerate(LAYERS["MINI"]):
        outputs = tf.nn.conv2d(outputs, values[f"conv_{i}/w"], stride, "VALID")
        outputs = activated(outputs + values[f"conv_{i}/b"], normalise)
        if pool is not None:
            outputs = tf.nn.max_pool2d(outputs, *pool, "VALID")
    outputs = tf.reshape(outputs, [images.shape[0], -1])
    for i in range(2):
        outputs = outputs @ values[f"fc_{i}/w"] + values[f"fc_{i}/b"]
        outputs = activated(outputs, normalise and normalise_linear)
    return mode.values(outputs)


def variables_of(net):
    prefix = f"{net.scope_name}/"
    return {
        name.removeprefix(prefix): v
        for name, v in zip(names(net.variables), net.variables, strict=True)
    }


# What is computed.


def test_applies_convolutions_and_linear_layers(mode):
    net = mini(initializers=RANDOM_BIASES)
    outputs = mode.run(net, IMAGES.astype("float64"), unknown_batch=True)
    assert outputs.shape == (2, 1024)
    assert outputs.min() == 0
    assert outputs.max() > 0
    np.testing.assert_allclose(outputs, forward(net, mode, IMAGES), 1e-10, 1e-10)


@pytest.mark.parametrize("bn_on_fc_layers", [False, True])
def test_normalises_before_the_rectifiers(bn_on_fc_layers, mode):
    net = mini(
        use_batch_norm=True, bn_on_fc_layers=bn_on_fc_layers, batch_norm_config={"eps": 0.01}
    )

    def normalise(x):
        mean, variance = tf.nn.moments(x, list(range(x.shape.rank - 1)))
        return (x - mean) / tf.sqrt(variance + 0.01)

    outputs = mode.run(lambda x: net(x, is_training=True), IMAGES.astype("float64"))
    expected = forward(net, mode, IMAGES, normalise, bn_on_fc_layers)
    np.testing.assert_allclose(outputs, expected, 1e-6, 1e-8)
    batch_norms = {name.split("/")[0] for name in variables_of(net) if "batch_norm" in name}
    count = 7 if bn_on_fc_layers else 5
    assert batch_norms == {"batch_norm", *(f"batch_norm_{i}" for i in range(1, count))}
    assert len(net.variables) == 14 + 3 * count
    testing = mode.run(lambda x: net(x, is_training=False), IMAGES.astype("float64"))
    np.testing.assert_allclose(testing, expected, 1e-6, 1e-8)  # of the batch, by default


def test_tests_with_moving_averages_where_asked_to(mode):
    net = mini(use_batch_norm=True, initializers=RANDOM_BIASES)
    outputs = mode.run(
        lambda x, training, local: net(x, is_training=training, test_local_stats=local),
        IMAGES.astype("float64"),
        np.asarray(False),
        np.asarray(False),
    )

    def normalise(x):
        return x / np.sqrt(1 + 1e-3)

    np.testing.assert_allclose(outputs, forward(net, mode, IMAGES, normalise), 1e-6, 1e-8)


# Variables and layers.


@pytest.mark.parametrize(
    ("make", "scope", "kind"),
    [
        (lambda: AlexNet("FULL"), "alex_net", "FULL"),
        (lambda: snt.nets.AlexNetFull(), "alex_net_full", "FULL"),
        (lambda: snt.nets.AlexNetMini(), "alex_net_mini", "MINI"),
    ],
)
def test_variables(make, scope, kind):
    with tf.Graph().as_default():
        net = make()
        size = net.min_input_size
        for _ in range(2):
            outputs = net(tf1.placeholder(tf.float32, [None, size, size, 3]))
        assert outputs.shape.as_list() == [None, LINEAR[kind]]
        found = net.get_variables()
        assert len(tf1.global_variables()) == 14
    expected, channels = [], 3
    for i, (next_channels, (kernel, _), _) in enumerate(LAYERS[kind]):
        expected += [(f"conv_{i}/w", (kernel, kernel, channels, next_channels))]
        expected += [(f"conv_{i}/b", (next_channels,))]
        channels = next_channels
    for i in range(2):
        expected += [(f"fc_{i}/w", (channels, LINEAR[kind])), (f"fc_{i}/b", (LINEAR[kind],))]
        channels = LINEAR[kind]
    shapes = [(name, tuple(v.shape)) for name, v in zip(names(found), found, strict=True)]
    assert shapes == [(f"{scope}/{name}", shape) for name, shape in expected]


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: AlexNet("FULL", use_batch_norm=True), 35),
        (lambda: AlexNet("FULL", use_batch_norm=True, bn_on_fc_layers=False), 29),
        (lambda: snt.nets.AlexNetFull(use_batch_norm=True), 29),
    ],
)
def test_numbers_of_variables_with_batch_normalisation(make, count):
    with tf.Graph().as_default():
        net = make()
        for _ in range(2):
            net(tf1.placeholder(tf.float32, [None, 195, 195, 3]), is_training=True)
        assert len(tf1.global_variables()) == count
        assert len(tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)) == 4 * (count - 14) // 3


def test_layers(mode):
    net = mini()
    for name in ("conv_modules", "linear_modules", "variables"):
        with pytest.raises(snt.NotConnectedError, match="Variables in alex_net not instantiated"):
            getattr(net, name)
    for _ in range(2):
        mode.run(net, IMAGES)
        assert [type(layer) for layer in net.conv_modules] == [snt.Conv2D] * 5
        assert [layer.module_name for layer in net.linear_modules] == ["fc_0", "fc_1"]
    assert len(net.variables) == 14


def test_regularizes_the_convolutions_only(mode):
    key = tf1.GraphKeys.REGULARIZATION_LOSSES
    tf1.get_default_graph().clear_collection(key)
    ones = tf1.ones_initializer()
    net = mini(
        initializers={"w": ones, "b": ones},
        regularizers={"w": tf.reduce_sum, "b": lambda b: -tf.reduce_sum(b)},
    )
    for _ in range(2):
        mode.run(net, IMAGES)
    losses = mode.values([tf.convert_to_tensor(loss) for loss in tf1.get_collection(key)])
    sizes = [2, 48, 128, 192, 192, 128]
    expected = [(9 * a * b, -b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]  # noqa: RUF007
    np.testing.assert_allclose(losses, np.ravel(expected))
    assert mode.values(net.linear_modules[1].w).min() == 1


def test_partitions_all_layers():
    with tf.Graph().as_default():
        net = mini(partitioners={"w": tf1.fixed_size_partitioner(2)})
        net(tf.constant(IMAGES))
        assert len(net.get_variables()) == 14 + 7


def test_properties_before_the_connection():
    regularizers, partitioners = {"w": tf.reduce_sum}, {"w": tf1.fixed_size_partitioner(1)}
    net = mini(
        initializers=RANDOM_BIASES, partitioners=partitioners, regularizers=regularizers, name="net"
    )
    assert net.initializers == RANDOM_BIASES
    assert net.partitioners is partitioners
    assert net.regularizers == regularizers
    assert net.scope_name == "net"


def test_custom_getters_act_on_the_layers(mode):
    net = mini(custom_getter={"fc_0/w": snt.custom_getters.non_trainable})
    mode.run(net, IMAGES)
    assert [n for n, v in variables_of(net).items() if not v.trainable] == ["fc_0/w"]


# The size of images.


def size_left(size, layers):
    for _, kernel, pool in layers:
        for window in (kernel, pool):
            if window is not None:
                width, stride = window
                size = (size - width) // stride + 1 if size >= width else 0
    return size


@pytest.mark.parametrize(("kind", "expected"), [("FULL", 195), ("MINI", 17)])
def test_minimum_size(kind, expected):
    net = AlexNet(kind)
    assert net.min_input_size == net._min_size == net._calc_min_size(LAYERS[kind]) == expected
    assert size_left(expected, LAYERS[kind]) == 1
    assert size_left(expected - 1, LAYERS[kind]) == 0


def test_minimum_size_of_other_layers():
    net = mini()
    assert net._calc_min_size([]) == 1
    assert net._calc_min_size([(1, (3, 1), None)]) == 3
    assert net._calc_min_size([(1, None, (3, 2)), (1, (5, 2), None)]) == 11


@pytest.mark.parametrize("shape", [(1, 16, 17, 3), (1, 17, 16, 3), (1, 1, 1, 3)])
def test_images_that_are_too_small(shape, mode):
    with pytest.raises(snt.IncompatibleShapeError, match="alex_net: Image shape too small"):
        mode.run(mini(), np.ones(shape, np.float32))


@pytest.mark.parametrize("shape", [(17, 17, 3), (1, 1, 17, 17, 3)])
def test_images_have_four_axes(shape, mode):
    with pytest.raises(snt.IncompatibleShapeError, match="alex_net: images must have shape"):
        mode.run(mini(), np.ones(shape, np.float32))


@pytest.mark.parametrize("shape", [[2, None, 17, 3], [None, 17, None, 3]])
def test_height_and_width_must_be_known(shape):
    with tf.Graph().as_default():
        inputs = tf1.placeholder(tf.float32, shape)
        with pytest.raises(snt.UnderspecifiedError, match="height and width of the images must be"):
            mini()(inputs)


# Construction and flags.


@pytest.mark.parametrize("kind", ["full", "MAXI", None, ["FULL"]])
def test_unknown_modes(kind):
    with pytest.raises(snt.Error, match="construction mode .* not recognised"):
        AlexNet(kind)
    assert (AlexNet.FULL, AlexNet.MINI) == ("FULL", "MINI")


def test_checks_its_dictionaries():
    with pytest.raises(KeyError, match="Invalid initializer keys"):
        mini(initializers={"no": tf.zeros})
    with pytest.raises(KeyError, match="Invalid partitioner keys"):
        mini(partitioners={"no": tf.zeros})
    with pytest.raises(TypeError, match="Regularizer for 'w' is not a callable function"):
        mini(regularizers={"w": 3.0})


def test_normalising_the_linear_layers_is_deprecated(monkeypatch):
    logged = []
    monkeypatch.setattr(tf1.logging, "warning", logged.append)
    monkeypatch.setattr(deprecation, "_seen", set())
    snt.nets.AlexNetFull(use_batch_norm=True)
    snt.nets.AlexNetMini()
    mini()
    assert not logged
    AlexNet("MINI")
    assert len(logged) == 1
    assert "bn_on_fc_layers=True is deprecated" in logged[0]


@pytest.mark.parametrize(
    ("options", "arguments"),
    [({"use_batch_norm": True}, {}), ({}, {"keep_prob": 0.5}), ({}, {"keep_prob": 1.0})],
)
def test_needs_is_training(options, arguments, mode):
    net = mini(**options)
    with pytest.raises(ValueError, match="is_training flag must be explicitly specified"):
        mode.run(lambda x: net(x, **arguments), IMAGES)


# Dropout.


@pytest.mark.parametrize("as_tensor", [False, True])
def test_drops_features_of_both_linear_layers(as_tensor, mode):
    net = mini(initializers={"w": tf1.ones_initializer()})
    ones = np.ones([8, 17, 17, 1], np.float32)
    everything = mode.run(net, ones)
    if as_tensor:
        arrays = [np.asarray(True), np.asarray(0.7, np.float32)]
        outputs = mode.run(lambda x, t, k: net(x, is_training=t, keep_prob=k), ones, *arrays)
    else:
        outputs = mode.run(lambda x: net(x, is_training=True, keep_prob=0.7), ones)
    assert abs(np.mean(outputs != 0) - 0.7) < 0.05
    shares = outputs / everything * 0.7  # the second layer sums those of the first that were kept
    for row in shares:
        kept = row[row != 0]
        np.testing.assert_allclose(kept, kept[0], 1e-4)
        assert abs(kept[0] * 0.7 - 0.7) < 0.1
    assert np.ptp(shares.max(1)) > 0


@pytest.mark.parametrize("keep_prob", [1, 1.0, np.float32(1)])
@pytest.mark.parametrize("is_training", [False, True])
def test_keeps_everything(keep_prob, is_training, mode):
    net = mini()
    expected = mode.run(net, IMAGES)
    plain = mode.run(lambda x: net(x, is_training=is_training, keep_prob=keep_prob), IMAGES)
    np.testing.assert_array_equal(plain, expected)
    arrays = [np.asarray(is_training), np.asarray(keep_prob, np.float32)]
    fed = mode.run(lambda x, t, k: net(x, is_training=t, keep_prob=k), IMAGES, *arrays)
    np.testing.assert_allclose(fed, expected, 1e-6)


@pytest.mark.parametrize("flag_as_tensor", [False, True])
@pytest.mark.parametrize("probability_as_tensor", [False, True])
def test_drops_nothing_but_in_training(flag_as_tensor, probability_as_tensor, mode):
    net = mini()

    def call(x, flag, probability):
        return net(
            x,
            is_training=flag if flag_as_tensor else False,
            keep_prob=probability if probability_as_tensor else 0.5,
        )

    with pytest.raises(tf.errors.InvalidArgumentError, match="keep_prob must be None or 1"):
        mode.run(call, IMAGES, np.asarray(False), np.asarray(0.5, np.float32))


def test_dropout_of_other_dtypes(mode):
    net = mini()
    arrays = [IMAGES.astype("float16"), np.asarray(True), np.asarray(0.5, np.float32)]
    outputs = mode.run(lambda x, t, k: net(x, is_training=t, keep_prob=k), *arrays)
    assert outputs.dtype == np.float16


# Saving and compiling.


def test_checkpoints_saved_models_and_xla(tmp_path):
    images, options = tf.constant(IMAGES), {"is_training": False, "test_local_stats": False}
    net = mini(use_batch_norm=True)
    net(images, is_training=True)
    expected = net(images, **options)
    path = tf.train.Checkpoint(net=net).save(str(tmp_path / "checkpoint"))
    twin = mini(use_batch_norm=True)
    status = tf.train.Checkpoint(net=twin).restore(path)
    np.testing.assert_array_equal(tf.function(twin)(images, **options), expected)
    status.assert_consumed()
    exported = tf.Module()
    exported.net = net
    spec = [tf.TensorSpec([None, 18, 17, 2])]
    exported.call = tf.function(lambda x: net(x, **options), input_signature=spec)
    tf.saved_model.save(exported, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.call(images), expected, 1e-5, 1e-6)
    compiled = tf.function(lambda x: net(x, **options), jit_compile=True)
    np.testing.assert_allclose(compiled(images), expected, 1e-4, 1e-5)
