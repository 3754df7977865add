"""`BatchNorm` and `BatchNormV2`: what they have in common, and what `BatchNorm` has of its own."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.processes import run_program

RNG = np.random.default_rng(0)
EPS = 1e-3
RANDOM = {
    "gamma": tf1.random_uniform_initializer(0.5, 1.5),
    "beta": tf1.random_normal_initializer(),
    "moving_mean": tf1.random_normal_initializer(),
    "moving_variance": tf1.random_uniform_initializer(0.5, 1.5),
}
RANDOM_AVERAGES = {name: RANDOM[name] for name in ("moving_mean", "moving_variance")}
CLASSES = {
    "BatchNorm": lambda **kwargs: snt.BatchNorm(**kwargs),
    "BatchNorm-fused": lambda **kwargs: snt.BatchNorm(fused=True, **kwargs),
    "BatchNormV2": lambda **kwargs: snt.BatchNormV2(**kwargs),
    "BatchNormV2-formula": lambda **kwargs: snt.BatchNormV2(fused=False, **kwargs),
}
FUSED = ("BatchNorm-fused", "BatchNormV2")
each_class = pytest.mark.parametrize("kind", CLASSES)


def array(*shape, dtype="float32"):
    return (RNG.normal(size=shape) * 2 + 1).astype(dtype)


def normalised(x, mean, variance, gamma=1, beta=0, eps=EPS):
    x, mean, variance = (np.asarray(a, "float64") for a in (x, mean, variance))
    return gamma * (x - mean) / np.sqrt(variance + eps) + beta


def moments(x, axes=(0, 1, 2)):
    x = x.astype("float64")
    return x.mean(axes), x.var(axes)


def moving(module, mode):
    """Values of the moving averages, flat."""
    values = mode.values([module._moving_mean, module._moving_variance])
    return [np.ravel(value) for value in values]


def run_updates(mode):
    """Runs the updates of the last connection, where they do not run by themselves."""
    if mode.in_graph:
        mode._session.run(tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)[-2:])


# Values.


@each_class
def test_training_normalises_by_the_batch(kind, mode):
    module = CLASSES[kind](scale=True, initializers=RANDOM)
    inputs = array(4, 3, 5, 2)
    outputs = mode.run(lambda x: module(x, is_training=True), inputs, unknown_batch=True)
    gamma, beta = mode.values([module.gamma, module.beta])
    np.testing.assert_allclose(
        outputs, normalised(inputs, *moments(inputs), gamma, beta), 1e-4, 1e-5
    )


@each_class
def test_in_double_precision(kind, mode):
    module = CLASSES[kind](scale=True, eps=0.1, initializers=RANDOM)
    inputs = array(4, 3, 5, 2, dtype="float64")
    trained, tested = mode.run(
        lambda x: [module(x, True), module(x, False, test_local_stats=False)], inputs
    )
    gamma, beta = mode.values([module.gamma, module.beta])
    expected = normalised(inputs, *moments(inputs), gamma, beta, eps=0.1)
    np.testing.assert_allclose(trained, expected, 1e-12, 1e-12)
    assert {v.dtype.base_dtype.name for v in module.variables} == {"float64"}
    if mode.in_graph and "V2" not in kind:  # no update was run
        mean, variance = moving(module, mode)
        expected = normalised(inputs, mean, variance, gamma, beta, eps=0.1)
        np.testing.assert_allclose(tested, expected, 1e-12, 1e-12)


@each_class
@pytest.mark.parametrize(("offset", "scale"), list(itertools.product([True, False], repeat=2)))
def test_offset_and_scale(kind, offset, scale, mode):
    module = CLASSES[kind](offset=offset, scale=scale)
    inputs = array(4, 3, 5, 2)
    outputs = mode.run(lambda x: module(x, is_training=True), inputs)
    mode.run(lambda x: module(x, is_training=False), inputs)
    np.testing.assert_allclose(outputs, normalised(inputs, *moments(inputs)), 1e-4, 1e-5)
    fused = kind in FUSED
    names = ["beta"] * (offset or fused) + ["gamma"] * (scale or fused)
    trainable = ["beta"] * offset + ["gamma"] * scale
    prefix = "batch_norm/"
    assert [v.name for v in module.variables] == [
        f"{prefix}{name}:0" for name in [*names, "moving_mean", "moving_variance"]
    ]
    assert [v.name for v in module.trainable_variables] == [f"{prefix}{n}:0" for n in trainable]
    for name, wanted, text in (
        ("beta", offset, "doesn't have an offset, so no beta"),
        ("gamma", scale, "doesn't have a scale, so no gamma"),
    ):
        if wanted or fused:
            assert mode.values(getattr(module, name)).size == 2
        else:
            with pytest.raises(snt.Error, match=text):
                getattr(module, name)


@each_class
def test_moving_averages_over_several_steps(kind, mode):
    module = CLASSES[kind](
        decay_rate=0.9, initializers=RANDOM_AVERAGES, update_ops_collection="update_ops"
    )
    mode.run(lambda x: module(x, is_training=False), array(2, 3, 1, 2))
    mean, variance = moving(module, mode)
    for _ in range(4):
        inputs = array(2, 3, 1, 2)
        outputs = mode.run(functools.partial(module, tf.constant(inputs), is_training=True))
        run_updates(mode)
        batch_mean, batch_variance = moments(inputs)
        np.testing.assert_allclose(outputs, normalised(inputs, batch_mean, batch_variance), 1e-3)
        if kind in FUSED:  # the unbiased estimator, of 6 elements
            batch_variance = batch_variance * 6 / 5
        mean = 0.9 * mean + 0.1 * batch_mean
        variance = 0.9 * variance + 0.1 * batch_variance
        for found, expected in zip(moving(module, mode), [mean, variance], strict=True):
            np.testing.assert_allclose(found, expected, 1e-5, 1e-6)
    inputs = array(2, 3, 1, 2)
    tested = mode.run(lambda x: module(x, is_training=False, test_local_stats=False), inputs)
    np.testing.assert_allclose(tested, normalised(inputs, mean, variance), 1e-4, 1e-5)


@each_class
def test_gradients(kind, mode):
    """Those of the inputs and parameters, against finite differences in double precision."""
    module = CLASSES[kind](scale=True, initializers={"gamma": RANDOM["gamma"]})
    inputs, weights = array(3, 2, 2, 2), array(3, 2, 2, 2)
    mode.run(lambda x: module(x, is_training=True), inputs)

    def compute(x):
        parameters = [module._gamma, module._beta]
        if mode.in_graph:
            loss = tf.reduce_sum(module(x, is_training=True) * weights)
            return tf1.gradients(loss, [x, *parameters])
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(module(x, is_training=True) * weights)
        return tape.gradient(loss, [x, *parameters])

    gradients = mode.run(compute, inputs)
    gamma = np.ravel(mode.values(module._gamma)).astype("float64")

    def loss(x, gamma, beta):
        return np.sum(normalised(x, *moments(x), gamma, beta) * weights.astype("float64"))

    point = [inputs.astype("float64"), gamma, np.zeros(2)]
    for index, gradient in enumerate(gradients):
        direction = RNG.normal(size=point[index].shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = list(point)
            moved[index] = point[index] + step * direction
            ends.append(loss(*moved))
        slope = (ends[0] - ends[1]) / 2e-6
        found = np.sum(gradient.reshape(direction.shape) * direction)
        np.testing.assert_allclose(found, slope, 1e-3, 1e-3)


# Flags.


@each_class
@pytest.mark.parametrize("form", ["python", "variable", "fed"])
@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("test_local_stats", [True, False])
def test_flags(kind, form, is_training, test_local_stats, mode):
    module = CLASSES[kind](
        decay_rate=0.5, initializers=RANDOM, scale=True, update_ops_collection=None
    )
    inputs = array(4, 3, 5, 2)
    mode.run(lambda x: module(x, is_training=False), inputs)
    before = moving(module, mode)
    flags = [is_training, test_local_stats]
    if form == "fed":
        outputs = mode.run(module, inputs, *map(np.array, flags))
    else:
        if form == "variable":
            flags = [
                tf1.get_variable(f"flag_{i}", initializer=tf.constant(flag), trainable=False)
                for i, flag in enumerate(flags)
            ]
        outputs = mode.run(lambda x: module(x, *flags), inputs)
    after = moving(module, mode)
    statistics = moments(inputs) if is_training or test_local_stats else before
    gamma, beta = (np.ravel(value) for value in mode.values([module._gamma, module._beta]))
    expected = normalised(inputs, *statistics, gamma, beta)
    np.testing.assert_allclose(outputs, expected, 1e-4, 1e-5)
    assert outputs.shape == inputs.shape
    for old, new in zip(before, after, strict=True):
        assert np.all(old != new) if is_training else np.array_equal(old, new)


@each_class
def test_a_flag_and_a_placeholder(kind):
    """Updates in a collection do nothing when the flag that is fed is False."""
    with tf.Graph().as_default(), tf1.Session() as session:
        is_training = tf1.placeholder(tf.bool, [])
        module = CLASSES[kind](decay_rate=0.5, initializers=RANDOM, update_ops_collection="updates")
        inputs = array(4, 3, 5, 2)
        outputs = module(tf.constant(inputs), is_training, test_local_stats=True)
        assert outputs.shape == inputs.shape
        updates = tf1.get_collection("updates")
        assert [update.name for update in updates] == [
            "batch_norm/update_moving_mean",
            "batch_norm/update_moving_variance",
        ]
        session.run(tf1.global_variables_initializer())
        for flag in (False, True):
            before = session.run([module.moving_mean, module.moving_variance])
            session.run(updates, {is_training: flag})
            after = session.run([module.moving_mean, module.moving_variance])
            for old, new in zip(before, after, strict=True):
                assert np.all(old != new) if flag else np.array_equal(old, new)


@each_class
@pytest.mark.parametrize("flag", [None, "yes"])
def test_a_flag_is_a_boolean(kind, flag, mode):
    for arguments in ({"is_training": flag}, {"is_training": False, "test_local_stats": flag}):
        module = CLASSES[kind]()
        with pytest.raises(TypeError, match="must be a boolean"):
            mode.run(lambda x, m=module, a=arguments: m(x, **a), array(4, 3, 5, 2))
        assert not module.is_connected
    with pytest.raises(TypeError, match="is_training"):
        mode.run(CLASSES[kind](), array(4, 3, 5, 2))


# Variables.


@each_class
def test_variables(kind):
    with tf.Graph().as_default():
        module = CLASSES[kind](scale=True)
        for _ in range(3):
            module(tf1.placeholder(tf.float32, [None, None, 5, 2]), is_training=True)
        names = ["moving_mean", "moving_variance", "beta", "gamma"]
        shape = [2] if "V2" in kind else [1, 1, 1, 2]
        made = tf1.global_variables()
        assert [v.name for v in made] == [f"batch_norm/{name}:0" for name in names]
        assert all(v.shape.as_list() == shape for v in made)
        assert tf1.get_collection(tf1.GraphKeys.MOVING_AVERAGE_VARIABLES) == made[:2]
        assert tf1.trainable_variables() == made[2:]
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            assert [np.ravel(value).tolist() for value in session.run(made)] == [
                [0, 0],
                [1, 1],
                [0, 0],
                [1, 1],
            ]
        assert set(module.initializers) == {"moving_mean", "moving_variance", "beta", "gamma"}


@each_class
def test_dictionaries(kind):
    one = tf1.ones_initializer()
    module = CLASSES[kind](
        initializers={"moving_mean": one},
        partitioners={"beta": tf1.fixed_size_partitioner(1)},
        regularizers={"gamma": tf.nn.l2_loss},
    )
    assert module.initializers == {"moving_mean": one}
    assert list(module.partitioners) == ["beta"]
    assert module.regularizers == {"gamma": tf.nn.l2_loss}
    for argument in ("initializers", "partitioners", "regularizers"):
        with pytest.raises(KeyError, match=f"Invalid {argument[:-1]} keys 'w'"):
            CLASSES[kind](**{argument: {"w": one}})
        with pytest.raises(TypeError, match="is not a callable function"):
            CLASSES[kind](**{argument: {"beta": 1.0}})
        with pytest.raises(TypeError, match="Expected a dict-like object"):
            CLASSES[kind](**{argument: [one]})
    for argument in ("partitioners", "regularizers"):
        with pytest.raises(KeyError, match=f"Invalid {argument[:-1]} keys 'moving_mean'"):
            CLASSES[kind](**{argument: {"moving_mean": one}})


def test_constants():
    for module_class in (snt.BatchNorm, snt.BatchNormV2):
        learnt = {module_class.GAMMA, module_class.BETA}
        keys = {*learnt, module_class.MOVING_MEAN, module_class.MOVING_VARIANCE}
        assert keys == module_class.POSSIBLE_INITIALIZER_KEYS == set(RANDOM)
        assert learnt == module_class.POSSIBLE_PARTITIONER_KEYS == {"gamma", "beta"}
        assert learnt == module_class.POSSIBLE_REGULARIZER_KEYS
        assert module_class.get_possible_initializer_keys() == keys
    module = snt.BatchNorm(decay_rate=0.5, eps=0.25)
    assert (module._decay_rate, module._eps) == (0.5, 0.25)


def test_regularizers_of_a_scope_leave_the_moving_averages_alone(mode):
    with tf1.variable_scope("scope", regularizer=tf.reduce_sum):
        batch_norm = snt.BatchNorm(scale=True)
    mode.run(lambda x: batch_norm(x, is_training=True), np.ones([3, 2], np.float32))
    losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
    np.testing.assert_allclose(sorted(mode.values(losses)), [0, 2])  # of the offset and the scale


@each_class
def test_regularizers_count_once(kind, mode):
    module = CLASSES[kind](
        scale=True,
        regularizers={"gamma": tf.nn.l2_loss, "beta": lambda beta: 3 * tf.reduce_sum(beta)},
        initializers={"beta": tf1.ones_initializer()},
    )
    for _ in range(2):
        mode.run(lambda x: module(x, is_training=True), array(4, 3, 5, 2))
    losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
    assert mode.values(list(losses)) == [6, 1]  # beta is made before gamma


@each_class
def test_partitioned_parameters(kind):
    axis = 0 if "V2" in kind else 3
    partitioners = {name: tf1.fixed_size_partitioner(2, axis) for name in ("gamma", "beta")}
    with tf.Graph().as_default(), tf1.Session() as session:
        module = CLASSES[kind](scale=True, partitioners=partitioners, initializers=RANDOM)
        inputs = array(4, 3, 5, 4)
        outputs = module(tf.constant(inputs), is_training=True)
        names = [v.name.rpartition("batch_norm/")[2] for v in module.trainable_variables]
        assert names == [f"{name}/part_{i}:0" for name in ("beta", "gamma") for i in range(2)]
        session.run(tf1.global_variables_initializer())
        outputs, gamma, beta = session.run(
            [outputs, tf.convert_to_tensor(module.gamma), tf.convert_to_tensor(module.beta)]
        )
        expected = normalised(inputs, *moments(inputs), gamma, beta)
        np.testing.assert_allclose(outputs, expected, 1e-4, 1e-5)


@each_class
def test_a_partitioner_of_the_scope_around(kind):
    with tf.Graph().as_default(), tf1.Session() as session:
        partitioner = tf1.fixed_size_partitioner(2, 0 if "V2" in kind else 3)
        with tf1.variable_scope("outer", partitioner=partitioner):
            module = CLASSES[kind](decay_rate=0.5, update_ops_collection="updates")
        inputs = array(4, 3, 5, 4)
        module(tf.constant(inputs), is_training=True)
        updates = tf1.get_collection("updates")
        assert [u.name.rpartition("/")[2] for u in updates] == [
            "update_moving_mean",
            "update_moving_variance",
        ]
        session.run(tf1.global_variables_initializer())
        session.run(updates)
        mean = session.run(tf.convert_to_tensor(module._moving_mean))
        np.testing.assert_allclose(np.ravel(mean), 0.5 * moments(inputs)[0], 1e-5)


@each_class
@pytest.mark.parametrize("use_resource", [True, False])
def test_either_kind_of_variable(kind, use_resource):
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("", use_resource=use_resource):
            module = CLASSES[kind](decay_rate=0.5, update_ops_collection=None)
        flag = tf1.placeholder(tf.bool, [])
        inputs = array(4, 3, 5, 2)
        outputs = module(tf.constant(inputs), flag, test_local_stats=False)
        outputs_of_flag = module(tf.constant(inputs), is_training=True)
        session.run(tf1.global_variables_initializer())
        tested = session.run(outputs, {flag: False})
        np.testing.assert_allclose(tested, normalised(inputs, 0, 1), 1e-4, 1e-5)
        for fetched, times in ((outputs, 1), (outputs_of_flag, 2)):
            session.run(fetched, {flag: True})
            mean = np.ravel(session.run(module._moving_mean))
            np.testing.assert_allclose(mean, moments(inputs)[0] * (1 - 0.5**times), 1e-5)


def test_a_getter_that_gives_tensors(mode):
    with tf1.variable_scope("outer", custom_getter=snt.custom_getters.stop_gradient):
        module = snt.BatchNorm()
    inputs = array(4, 3)
    mode.run(lambda x: module(x, is_training=False), inputs)
    with pytest.raises(snt.NotSupportedError, match="cannot be updated"):
        mode.run(lambda x: module(x, is_training=True), inputs)


# Updates.


def test_updates_of_a_connection_are_found_by_its_name_scope():
    with tf.Graph().as_default():
        module = snt.BatchNorm()
        for name in ("net1", "net2"):
            with tf.name_scope(name):
                module(tf.ones([4, 3]), is_training=True)
                module(tf.ones([4, 3]), is_training=False)
        assert len(tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)) == 4
        for name in ("net1", "net2"):
            updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS, name)
            assert [update.name for update in updates] == [
                f"{name}/batch_norm/update_moving_mean",
                f"{name}/batch_norm/update_moving_variance",
            ]


@each_class
@pytest.mark.parametrize("collection", [None, "", "updates"])
def test_where_the_updates_go(kind, collection, mode):
    module = CLASSES[kind](decay_rate=0.5, update_ops_collection=collection)
    inputs = array(4, 3, 5, 2)
    mode.run(lambda x: module(x, is_training=True), inputs)
    updated = not (mode.in_graph and collection)
    mean, _ = moving(module, mode)
    np.testing.assert_allclose(mean, 0.5 * moments(inputs)[0] if updated else [0, 0], 1e-5)
    assert len(tf1.get_collection("updates")) == (0 if updated else 2)
    assert not tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)


@each_class
@pytest.mark.parametrize("collection", [None, "update_ops"])
@pytest.mark.parametrize("taken", [True, False])
def test_in_a_branch(kind, collection, taken, mode):
    """Whatever the collection, from which nothing in a branch could be run."""
    module = CLASSES[kind](decay_rate=0.5, update_ops_collection=collection)
    inputs = array(4, 3, 5, 2)

    def connect(x, predicate):
        return tf.cond(predicate, lambda: module(x, is_training=True), lambda: x)

    outputs = mode.run(connect, inputs, np.array(taken))
    if taken:
        np.testing.assert_allclose(outputs, normalised(inputs, *moments(inputs)), 1e-4, 1e-5)
    if not taken and mode.name == "eager":
        assert not module.is_connected
        return
    mean, _ = moving(module, mode)
    np.testing.assert_allclose(mean, 0.5 * moments(inputs)[0] if taken else [0, 0], 1e-5)
    mode.run(lambda x: module(x, is_training=False), inputs)


@each_class
def test_in_a_loop(kind, mode):
    module = CLASSES[kind](decay_rate=0.5)
    inputs = array(4, 3, 5, 2)

    def connect(x):
        return tf.while_loop(
            lambda i, y: i < 3, lambda i, y: (i + 1, module(y, is_training=True)), [0, x]
        )[1]

    outputs = mode.run(connect, inputs)
    np.testing.assert_allclose(outputs, normalised(inputs, *moments(inputs)), 1e-2, 1e-2)
    mean, _ = moving(module, mode)  # after a batch of another mean, and two of the mean 0
    np.testing.assert_allclose(mean, moments(inputs)[0] * 0.5**3, 1e-4)


def test_in_a_branch_of_the_old_control_flow():
    """As in TensorFlow 1: the updates are collected, and cannot be fetched from outside."""
    tf1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default(), tf1.Session() as session:
            module = snt.BatchNorm()
            inputs = tf.constant(array(4, 3))
            predicate = tf1.placeholder(tf.bool, [])
            outputs = tf.cond(predicate, lambda: module(inputs, True), lambda: inputs)
            updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
            assert len(updates) == 2
            session.run(tf1.global_variables_initializer())
            session.run(outputs, {predicate: True})
            with pytest.raises(ValueError, match="Operation"):
                session.run(updates, {predicate: True})
            np.testing.assert_array_equal(session.run(module.moving_mean), np.zeros([1, 3]))
    finally:
        tf1.enable_control_flow_v2()


@each_class
def test_compiles_with_xla(kind):
    inputs = array(4, 3, 5, 2)
    tf1.reset_default_graph()
    module = CLASSES[kind](decay_rate=0.5)
    train = tf.function(lambda x: module(x, is_training=True), jit_compile=True)
    for _ in range(2):
        outputs = train(tf.constant(inputs))
    np.testing.assert_allclose(outputs, normalised(inputs, *moments(inputs)), 1e-4, 1e-5)
    np.testing.assert_allclose(np.ravel(module._moving_mean), moments(inputs)[0] * 0.75, 1e-5)
    chosen = tf.function(lambda x, flag: module(x, flag), jit_compile=True)
    chosen(tf.constant(inputs), tf.constant(True))
    np.testing.assert_allclose(np.ravel(module._moving_mean), moments(inputs)[0] * 0.875, 1e-5)


def test_on_two_devices(tmp_path):
    """Each replica has moving averages of its own, and a checkpoint gets their mean."""
    program = tmp_path / "program.py"
    program.write_text(TWO_DEVICES)
    for found in run_program(program):
        np.testing.assert_allclose(found["replicas"], [[2, 3], [4, 5]])
        np.testing.assert_allclose(found["mean"], [3, 4])
        np.testing.assert_allclose(found["restored"], [3, 4])


TWO_DEVICES = """
import json, os, tempfile
import tensorflow as tf
import sonnet as snt

(device,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
found = []
for make in (
    lambda: snt.BatchNorm(decay_rate=0.0),
    lambda: snt.BatchNormV2(decay_rate=0.0),
):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        module = make()
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant([[1., 2.], [3., 4.]]) + 2. * context.replica_id_in_sync_group
    )
    tf.function(lambda: strategy.run(module, args=(values, True)))()
    average = module._moving_mean
    prefix = tf.train.Checkpoint(module=module).save(os.path.join(tempfile.mkdtemp(), "model"))
    twin = make()
    tf.train.Checkpoint(module=twin).restore(prefix)
    twin(tf.ones([2, 2]), is_training=False)
    found.append({
        "replicas": [part.numpy().ravel().tolist() for part in average.values],
        "mean": average.numpy().ravel().tolist(),
        "restored": twin._moving_mean.numpy().ravel().tolist(),
    })
print(json.dumps(found))
"""


# Types.


@each_class
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(kind, dtype, mode):
    module = CLASSES[kind](scale=True, decay_rate=0.5)
    inputs = array(4, 3, 5, 2).astype(tf.as_dtype(dtype).as_numpy_dtype)

    def connect(x):
        return [module(x, True), module(x, False, True), module(x, False, False)]

    if dtype == "bfloat16" and kind in FUSED:
        with pytest.raises(snt.NotSupportedError, match="bfloat16"):
            mode.run(connect, inputs)
        return
    outputs = mode.run(connect, inputs)
    assert all(x.dtype == inputs.dtype for x in outputs)
    dtypes = {v.name.partition("/")[2]: v.dtype.base_dtype.name for v in module.variables}
    parameters = "float32" if kind in FUSED else dtype
    assert dtypes == {
        "beta:0": parameters,
        "gamma:0": parameters,
        "moving_mean:0": "float32",
        "moving_variance:0": "float32",
    }
    exact = inputs.astype("float32")
    tolerance = 2e-2 if dtype == "float16" else 1e-1
    for found in outputs[:2]:
        np.testing.assert_allclose(
            found.astype("float32"), normalised(exact, *moments(exact)), tolerance, tolerance
        )


def test_statistics_of_half_precision_are_exact(mode):
    """A variance beyond the range of float16, and a mean of more elements than bfloat16 counts."""
    for dtype in (tf.float16, tf.bfloat16):
        module = snt.BatchNorm(decay_rate=0.0, update_ops_collection=None)
        inputs = np.concatenate([np.full(600, 1000), np.full(600, -200)])[:, None]
        mode.run(lambda x, m=module: m(x, True), inputs.astype(dtype.as_numpy_dtype))
        mean, variance = moving(module, mode)
        np.testing.assert_allclose(mean, [400], 1e-5)
        np.testing.assert_allclose(variance, [360000], 1e-5)


@each_class
@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
def test_inputs_are_floating_point(kind, dtype, mode):
    with pytest.raises(TypeError, match="must be of a floating-point type"):
        mode.run(lambda x: CLASSES[kind]()(x, True), np.ones([2, 3, 4, 5], dtype))


# What is BatchNorm's own.


@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        (None, (1, 1, 1, 5)),
        ([0], (1, 3, 4, 5)),
        ((0, 1, 2), (1, 1, 1, 5)),
        ([0, 2, 3], (1, 3, 1, 1)),
        (range(4), (1, 1, 1, 1)),
        ([2, 0], (1, 3, 1, 5)),
        ([], (2, 3, 4, 5)),
    ],
)
def test_axis_is_what_is_reduced(axis, shape, mode):
    module = snt.BatchNorm(axis=axis, scale=True, update_ops_collection=None, decay_rate=0.0)
    inputs = array(2, 3, 4, 5)
    outputs = mode.run(lambda x: module(x, is_training=True), inputs)
    axes = tuple(i for i in range(4) if i in axis) if axis is not None else (0, 1, 2)
    mean, variance = (
        x.reshape(shape)
        for x in (inputs.mean(axes, dtype="float64"), inputs.astype("float64").var(axes))
    )
    np.testing.assert_allclose(outputs, normalised(inputs, mean, variance), 1e-4, 1e-5)
    assert {tuple(v.shape) for v in module.variables} == {shape}
    np.testing.assert_allclose(mode.values(module.moving_mean), mean, 1e-4, 1e-5)
    np.testing.assert_allclose(mode.values(module.moving_variance), variance, 1e-4, 1e-5)


@pytest.mark.parametrize("axis", [(0, 2, 3), [3, 0, 2]])
def test_the_kernel_takes_channels_in_the_second_place(axis, mode):
    module = snt.BatchNorm(axis=axis, fused=True)
    inputs = array(4, 2, 3, 5)
    outputs = mode.run(lambda x: module(x, is_training=True), inputs)
    mean, variance = (x[:, None, None] for x in moments(inputs, (0, 2, 3)))
    np.testing.assert_allclose(outputs, normalised(inputs, mean, variance), 1e-4, 1e-5)
    assert module.moving_mean.shape == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        ([0, 1, 2], "Too many indices specified in axis"),
        ([-1, 5, 0], "Too many indices specified in axis"),
        ([-1, 2], "One or more index in axis is too large for input shape"),
        ([0, -1], "Indices in axis must be non-negative"),
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_axis_suits_the_rank(axis, text, fused, mode):
    module = snt.BatchNorm(axis=axis, fused=fused)
    with pytest.raises(snt.IncompatibleShapeError, match=text):
        mode.run(lambda x: module(x, is_training=True), array(4, 3))
    assert not module.is_connected


def test_axis_is_a_list():
    with pytest.raises(TypeError, match="axis must be the list of axes to reduce over, got -1"):
        snt.BatchNorm(axis=-1)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2), (4, 3, 2, 2, 2)])
def test_the_kernel_wants_rank_4(shape, mode):
    with pytest.raises(NotImplementedError, match="supports only input with 4 dimensions"):
        mode.run(lambda x: snt.BatchNorm(fused=True)(x, True), array(*shape))


@pytest.mark.parametrize("axis", [[0], [1, 2], [0, 1, 3], [0, 1, 2, 3]])
def test_the_kernel_wants_the_axes_of_a_format(axis, mode):
    with pytest.raises(ValueError, match="Invalid axis option"):
        mode.run(lambda x: snt.BatchNorm(axis=axis, fused=True)(x, True), array(4, 3, 2, 2))


def test_a_size_that_is_not_reduced_is_known():
    with tf.Graph().as_default():
        module = snt.BatchNorm()
        with pytest.raises(ValueError, match="shape"):
            module(tf1.placeholder(tf.float32, [None, None]), is_training=True)
        assert not module.is_connected
        with pytest.raises(ValueError, match="unknown TensorShape"):
            module(tf1.placeholder(tf.float32), is_training=True)


@each_class
def test_the_number_of_channels_stays(kind, mode):
    module = CLASSES[kind]()
    mode.run(lambda x: module(x, is_training=True), array(4, 3, 5, 2))
    mode.run(lambda x: module(x, is_training=True), array(1, 2, 3, 2))
    with pytest.raises(ValueError, match="Trying to share variable"):
        mode.run(lambda x: module(x, is_training=True), array(4, 3, 5, 3))


@each_class
def test_properties_need_a_connection(kind, mode):
    module = CLASSES[kind](offset=False)
    for name in ("moving_mean", "moving_variance", "beta", "gamma"):
        with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
            getattr(module, name)


def test_the_old_paths():
    from sonnet.python.modules import batch_norm, batch_norm_v2

    assert batch_norm.BatchNorm is snt.BatchNorm
    assert batch_norm_v2.BatchNormV2 is snt.BatchNormV2
    for module in (batch_norm, batch_norm_v2):
        made = [
            create()([1]).numpy().item()
            for create in (
                module.create_beta_initializer,
                module.create_gamma_initializer,
                module.create_mean_initializer,
                module.create_variance_initializer,
            )
        ]
        assert made == [0, 1, 0, 1]
