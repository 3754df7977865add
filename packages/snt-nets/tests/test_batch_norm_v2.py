"""`BatchNormV2`: data formats; what it shares with `BatchNorm` is tested there."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

RNG = np.random.default_rng(0)
SHAPES = {
    "NC": (8, 3),
    "NWC": (4, 5, 3),
    "NCW": (4, 3, 5),
    "NHWC": (4, 5, 2, 3),
    "NCHW": (4, 3, 5, 2),
    "NDHWC": (4, 5, 2, 2, 3),
    "NCDHW": (4, 3, 5, 2, 2),
}
RANDOM = {
    "gamma": tf1.random_uniform_initializer(0.5, 1.5),
    "beta": tf1.random_normal_initializer(),
    "moving_mean": tf1.random_normal_initializer(),
    "moving_variance": tf1.random_uniform_initializer(0.5, 1.5),
}
each_format = pytest.mark.parametrize("data_format", SHAPES)
fused_or_not = pytest.mark.parametrize("fused", [True, False])


def array(shape):
    return (RNG.normal(size=shape) * 2 + 1).astype("float32")


def layout(data_format):
    """The axes that are reduced, and the shape in which a vector stands along the channels."""
    axis = data_format.index("C")
    return tuple(i for i in range(len(data_format)) if i != axis), [
        -1 if i == axis else 1 for i in range(len(data_format))
    ]


@pytest.mark.parametrize(
    ("data_format", "named"),
    [(data_format, True) for data_format in SHAPES]
    + [(data_format, False) for data_format in SHAPES if data_format.endswith("C")],
)
@fused_or_not
def test_normalises_each_channel(data_format, fused, named, mode):
    module = snt.BatchNormV2(
        data_format=data_format if named else None,
        fused=fused,
        scale=True,
        initializers=RANDOM,
        update_ops_collection="updates" if mode.in_graph else None,
    )
    inputs = array(SHAPES[data_format])
    axes, along = layout(data_format)

    def connect(x):
        tested = module(x, is_training=False)
        with tf.control_dependencies([tested] if mode.in_graph else []):
            return [tested, module(x, is_training=True)]

    mode.run(lambda x: module(x, is_training=False), inputs)
    values = mode.values(
        [module._gamma, module._beta, module._moving_mean, module._moving_variance]
    )
    tested, trained = mode.run(connect, inputs, unknown_batch=True)
    gamma, beta, *averages = (value.astype("float64").reshape(along) for value in values)
    batch = inputs.mean(axes, dtype="float64"), inputs.astype("float64").var(axes)
    for found, (mean, variance) in ((tested, averages), (trained, batch)):
        mean, variance = mean.reshape(along), variance.reshape(along)
        expected = gamma * (inputs - mean) / np.sqrt(variance + 1e-3) + beta
        np.testing.assert_allclose(found, expected, 1e-4, 1e-5)
    shape = [1 if size == -1 else size for size in along]
    shape[data_format.index("C")] = 3
    for name in ("moving_mean", "moving_variance", "beta", "gamma"):
        assert getattr(module, name).shape == shape
        assert getattr(module, f"_{name}").shape == [3]
    np.testing.assert_array_equal(mode.values(module.beta).ravel(), mode.values(module._beta))


@each_format
@fused_or_not
@pytest.mark.parametrize("is_training", [True, False, "fed"])
def test_the_static_shape_is_that_of_the_input(data_format, fused, is_training):
    channel_axis = data_format.index("C")
    sizes = SHAPES[data_format]
    others = [i for i in range(len(sizes)) if i != channel_axis]
    inputs = array(sizes)
    with tf.Graph().as_default(), tf1.Session() as session:
        flag = tf1.placeholder_with_default(True, []) if is_training == "fed" else is_training
        module = snt.BatchNormV2(data_format=data_format, fused=fused)
        found = []
        for unknown in itertools.chain.from_iterable(
            itertools.combinations(others, n) for n in range(len(others) + 1)
        ):
            shape = [None if i in unknown else size for i, size in enumerate(sizes)]
            placeholder = tf1.placeholder(tf.float32, shape)
            outputs = module(placeholder, flag, test_local_stats=True)
            assert outputs.shape.as_list() == shape
            found.append((outputs, placeholder))
        session.run(tf1.global_variables_initializer())
        first, *rest = (session.run(y, {x: inputs}) for y, x in found)
        for other in rest:
            np.testing.assert_allclose(first, other, 1e-5, 1e-6)


@fused_or_not
def test_any_size_fits_an_unknown_one(fused):
    with tf.Graph().as_default(), tf1.Session() as session:
        placeholder = tf1.placeholder(tf.float32, [None, None, None, 3])
        module = snt.BatchNormV2(fused=fused)
        outputs = module(placeholder, is_training=False)
        session.run(tf1.global_variables_initializer())
        for shape in ((1, 1, 1, 3), (2, 5, 4, 3), (7, 1, 2, 3)):
            inputs = array(shape)
            found = session.run(outputs, {placeholder: inputs})
            np.testing.assert_allclose(found, inputs / np.sqrt(1.001), 1e-4)


@fused_or_not
def test_a_checkpoint_fits_the_other_format(fused, tmp_path):
    values = {}
    for data_format in ("NHWC", "NCHW"):
        with tf.Graph().as_default(), tf1.Session() as session:
            module = snt.BatchNormV2(data_format, fused=fused, scale=True, initializers=RANDOM)
            module(tf.constant(array(SHAPES[data_format])), is_training=False)
            saver = tf1.train.Saver()
            if values:
                saver.restore(session, str(tmp_path / "model"))
            else:
                session.run(tf1.global_variables_initializer())
                saver.save(session, str(tmp_path / "model"))
            values[data_format] = session.run(tf1.global_variables())
    for first, second in zip(*values.values(), strict=True):
        np.testing.assert_array_equal(first, second)
    with tf.Graph().as_default(), tf1.Session() as session:
        outputs = snt.BatchNormV2(fused=fused, scale=True)(tf.ones([4, 5, 2, 2]), is_training=False)

        def restore_and_use():
            tf1.train.Saver().restore(session, str(tmp_path / "model"))
            session.run(outputs)

        with pytest.raises(tf.errors.InvalidArgumentError):
            restore_and_use()


# Errors.


@pytest.mark.parametrize("data_format", ["", "CN", "NHCW", "nhwc", "NHWCD", 4])
def test_the_formats(data_format):
    with pytest.raises(ValueError, match="Invalid data_format"):
        snt.BatchNormV2(data_format=data_format)
    assert set(SHAPES) == snt.BatchNormV2.SUPPORTED_DATA_FORMATS


@pytest.mark.parametrize("shape", [(), (3,), (1, 1, 1, 1, 1, 3)])
def test_a_format_cannot_be_inferred_from_any_rank(shape, mode):
    with pytest.raises(snt.IncompatibleShapeError, match="too many or too few dimensions"):
        mode.run(lambda x: snt.BatchNormV2()(x, is_training=True), array(shape))


@each_format
def test_the_rank_is_that_of_the_format(data_format, mode):
    module = snt.BatchNormV2(data_format=data_format)
    for shape in ((2, 3, 4), (2, 3, 4, 5)):
        if len(shape) != len(data_format):
            with pytest.raises(snt.IncompatibleShapeError, match="Incorrect data format"):
                mode.run(lambda x: module(x, is_training=True), array(shape))


def test_an_inferred_format_stays(mode):
    module = snt.BatchNormV2()
    mode.run(lambda x: module(x, is_training=True), array((4, 5, 3)))
    with pytest.raises(snt.IncompatibleShapeError, match="Incorrect data format NWC"):
        mode.run(lambda x: module(x, is_training=True), array((4, 5, 2, 3)))


def test_the_number_of_channels_is_known():
    with tf.Graph().as_default():
        for data_format, shape in (("NHWC", [2, 3, 4, None]), ("NCHW", [2, None, 3, 4])):
            module = snt.BatchNormV2(data_format)
            with pytest.raises(snt.UnderspecifiedError, match="number of channels must be known"):
                module(tf1.placeholder(tf.float32, shape), is_training=True)
            assert not module.is_connected
        with pytest.raises(ValueError, match="unknown TensorShape"):
            snt.BatchNormV2()(tf1.placeholder(tf.float32), is_training=True)
