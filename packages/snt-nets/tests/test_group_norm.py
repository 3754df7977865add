"""`GroupNorm`, `InstanceNorm` and `RMSNorm`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

RNG = np.random.default_rng(0)
RANDOM = {
    "gamma": tf1.random_uniform_initializer(0.5, 1.5),
    "beta": tf1.random_normal_initializer(),
}
SHAPES = {
    "NC": (5, 6),
    "NWC": (4, 5, 6),
    "NCW": (4, 6, 5),
    "NHWC": (4, 5, 2, 6),
    "NCHW": (4, 6, 5, 2),
    "NDHWC": (4, 5, 2, 2, 6),
    "NCDHW": (4, 6, 5, 2, 2),
}
each_format = pytest.mark.parametrize("data_format", SHAPES)


def array(*shape):
    return RNG.normal(size=shape) * 2 + 1


def normalised(x, data_format, groups, gamma, beta, eps):
    """Each group of channels of each example by itself, in a loop."""
    x = np.moveaxis(x, data_format.index("C"), -1)
    outputs = np.empty_like(x)
    size = x.shape[-1] // groups
    for i in range(len(x)):
        for start in range(0, x.shape[-1], size):
            group = x[i, ..., start : start + size]
            outputs[i, ..., start : start + size] = (group - group.mean()) / np.sqrt(
                group.var() + eps
            )
    return np.moveaxis(outputs * gamma + beta, -1, data_format.index("C"))


@each_format
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_groups(data_format, groups, mode):
    module = snt.GroupNorm(groups, data_format=data_format, initializers=RANDOM, eps=0.1)
    inputs = array(*SHAPES[data_format])
    outputs = mode.run(module, inputs, unknown_batch=True)
    gamma, beta = mode.values([module.gamma, module.beta])
    assert gamma.shape == beta.shape == (6,)
    expected = normalised(inputs, data_format, groups, gamma, beta, eps=0.1)
    np.testing.assert_allclose(outputs, expected, 1e-10, 1e-10)


@each_format
def test_instances(data_format, mode):
    module = snt.InstanceNorm(data_format=data_format, initializers=RANDOM, eps=0.1)
    inputs = array(*SHAPES[data_format])
    if data_format == "NC":
        with pytest.raises(snt.IncompatibleShapeError, match="needs axes besides the batch"):
            mode.run(module, inputs)
        return
    outputs = mode.run(module, inputs, unknown_batch=True)
    gamma, beta = mode.values([module.gamma, module.beta])
    expected = normalised(inputs, data_format, 6, gamma, beta, eps=0.1)
    np.testing.assert_allclose(outputs, expected, 1e-10, 1e-10)


@pytest.mark.parametrize(
    ("axis", "axes"), [(-1, (3,)), (None, (1, 2, 3)), ([1, 2], (1, 2)), (np.int32(2), (2,))]
)
def test_root_mean_square(axis, axes, mode):
    module = snt.RMSNorm(axis=axis, initializers={"gamma": RANDOM["gamma"]}, eps=0.1)
    inputs = array(4, 5, 2, 3)
    outputs = mode.run(module, inputs, unknown_batch=True)
    gamma = mode.values(module.gamma)
    assert gamma.shape == (3,)
    scale = np.sqrt(np.mean(inputs**2, axes, keepdims=True) + 0.1)
    np.testing.assert_allclose(outputs, gamma * inputs / scale, 1e-10)


MODULES = {
    "group_norm": lambda **kwargs: snt.GroupNorm(groups=2, **kwargs),
    "instance_norm": snt.InstanceNorm,
    "rms_norm": snt.RMSNorm,
}
each_module = pytest.mark.parametrize("name", MODULES)


@each_module
def test_variables_and_dictionaries(name, mode):
    ones = tf1.ones_initializer()
    module = MODULES[name](initializers={"gamma": ones}, regularizers={"gamma": tf.nn.l2_loss})
    for _ in range(2):
        mode.run(module, array(4, 5, 6))
    names = ["gamma"] if name == "rms_norm" else ["gamma", "beta"]
    assert [v.name for v in module.get_variables()] == [f"{name}/{n}:0" for n in names]
    assert mode.values(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)) == [3]
    assert set(module.initializers) == set(names) == module.get_possible_initializer_keys()
    for argument in ("initializers", "partitioners", "regularizers"):
        with pytest.raises(KeyError, match=f"Invalid {argument[:-1]} keys"):
            MODULES[name](**{argument: {"w": ones}})


@each_module
def test_without_variables(name, mode):
    options = {"scale": False} if name == "rms_norm" else {"scale": False, "offset": False}
    module = MODULES[name](**options)
    inputs = array(4, 5, 6)
    outputs = mode.run(module, inputs)
    assert module.variables == ()
    assert module.gamma is None
    np.testing.assert_allclose(outputs, mode.run(MODULES[name](), inputs))


@each_module
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_computes_in_single_precision(name, dtype, mode):
    module = MODULES[name]()
    inputs = (300 + 100 * RNG.normal(size=[2, 500, 4])).astype(tf.as_dtype(dtype).as_numpy_dtype)
    outputs, exact = mode.run(lambda x: [module(x), module(tf.cast(x, tf.float32))], inputs)
    assert outputs.dtype == inputs.dtype
    assert {v.dtype.base_dtype.name for v in module.variables} == {"float32"}
    np.testing.assert_array_equal(outputs, exact.astype(inputs.dtype))


@each_module
def test_keeps_the_static_shape(name):
    with tf.Graph().as_default(), tf1.Session() as session:
        module = MODULES[name]()
        inputs, found = array(4, 3, 2, 6), []
        for shape in ([None, None, None, 6], [4, None, None, 6], [None, 3, 2, 6], [4, 3, 2, 6]):
            placeholder = tf1.placeholder(tf.float64, shape)
            outputs = module(placeholder)
            assert outputs.shape.as_list() == shape
            found.append((outputs, placeholder))
        session.run(tf1.global_variables_initializer())
        first, *others = (session.run(y, {x: inputs}) for y, x in found)
        for other in others:
            np.testing.assert_allclose(first, other, 1e-12)


@each_module
def test_partitioned_parameters(name, mode):
    partitioner = tf1.fixed_size_partitioner(2)
    names = MODULES[name]().get_possible_initializer_keys()
    module = MODULES[name](partitioners=dict.fromkeys(names, partitioner))
    inputs = array(4, 5, 6)
    np.testing.assert_allclose(mode.run(module, inputs), mode.run(MODULES[name](), inputs))
    assert len(module.variables) == 2 * len(names)


# Errors.


@pytest.mark.parametrize("groups", [0, -1])
def test_there_is_a_group(groups):
    with pytest.raises(ValueError, match="groups must be at least 1"):
        snt.GroupNorm(groups)


def test_groups_are_of_the_same_size(mode):
    with pytest.raises(snt.IncompatibleShapeError, match="6 channels cannot be divided into 4"):
        mode.run(snt.GroupNorm(4), array(2, 3, 6))


@pytest.mark.parametrize("module_class", [snt.GroupNorm, snt.InstanceNorm])
def test_data_formats(module_class, mode):
    with pytest.raises(ValueError, match="Invalid data_format"):
        module_class(data_format="NHCW")
    with pytest.raises(snt.IncompatibleShapeError, match="Incorrect data format"):
        mode.run(module_class(data_format="NWC"), array(2, 3, 3, 32))
    with pytest.raises(snt.IncompatibleShapeError, match="too many or too few dimensions"):
        mode.run(module_class(), array(32))
    module = module_class()
    mode.run(module, array(2, 3, 32))
    with pytest.raises(snt.IncompatibleShapeError, match="Incorrect data format NWC"):
        mode.run(module, array(2, 3, 3, 32))
    with pytest.raises(ValueError, match="Trying to share variable"):
        mode.run(module, array(2, 3, 64))


@pytest.mark.parametrize("module_class", [snt.GroupNorm, snt.InstanceNorm])
def test_the_number_of_channels_is_known(module_class):
    with tf.Graph().as_default(), pytest.raises(snt.UnderspecifiedError, match="must be known"):
        module_class()(tf1.placeholder(tf.float32, [2, 3, None]))


@each_module
def test_inputs_are_floating_point(name, mode):
    with pytest.raises(TypeError, match=f"{name}: inputs must be of a floating-point type"):
        mode.run(MODULES[name](), np.ones([2, 3, 4], "int32"))


@each_module
def test_properties_need_a_connection(name):
    with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
        _ = MODULES[name]().gamma


def test_the_axes_of_the_root_mean_square(mode):
    with pytest.raises(ValueError, match="axis should be an int or an iterable of ints"):
        snt.RMSNorm(axis=1.5)
    with pytest.raises(ValueError, match="axis must name axes of the input"):
        mode.run(snt.RMSNorm(axis=3), array(2, 3, 4))
    with pytest.raises(snt.NotSupportedError, match="at least rank 2"):
        mode.run(snt.RMSNorm(), array(3))
