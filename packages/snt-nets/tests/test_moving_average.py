"""`MovingAverage`."""

import threading

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_nets.moving_average import _pass_through_gradients

RNG = np.random.default_rng(0)


def evaluations(module, values, mode):
    """Connects once in a graph and at each value elsewhere, and evaluates for each value."""
    values = np.asarray(values)
    if mode.in_graph:
        inputs = tf1.placeholder(values.dtype, values.shape[1:])
        outputs = module(inputs)
        return [mode.values(outputs, [(inputs, value)]) for value in values]
    call = tf.function(module) if mode.name == "function" else module
    return [call(tf.constant(value)).numpy() for value in values]


def averages(values, decay):
    result = [values[0]]
    for value in values[1:]:
        result.append(decay * result[-1] + (1 - decay) * value)
    return result


@pytest.mark.parametrize("decay", [0, 0.25, 0.99, 1])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 3)])
def test_averages(decay, shape, mode):
    module = snt.MovingAverage(decay)
    values = RNG.normal(size=[5, *shape])
    outputs = evaluations(module, values, mode)
    np.testing.assert_allclose(outputs, averages(values, decay), 1e-12, 1e-12)
    np.testing.assert_array_equal(outputs[0], values[0])
    np.testing.assert_allclose(mode.values(module._moving_average), outputs[-1], 1e-12)


def test_default_decay(mode):
    outputs = evaluations(snt.MovingAverage(), np.array([1.0, 2.0]), mode)
    np.testing.assert_allclose(outputs, [1, 1.01])


@pytest.mark.parametrize("local", [False, True])
def test_variables(local, mode):
    module = snt.MovingAverage(local=local)
    evaluations(module, np.ones([1, 2, 3], np.float32), mode)
    keys = tf1.GraphKeys
    collection, other = keys.GLOBAL_VARIABLES, keys.LOCAL_VARIABLES
    if local:
        collection, other = other, collection
    initialized, average = module.get_variables(collection)
    assert initialized.name == "moving_average/initialized:0"
    assert average.name == "moving_average/moving_average:0"
    assert (initialized.shape, average.shape) == ((), (2, 3))
    assert (initialized.dtype, average.dtype) == (tf.bool, tf.float32)
    assert module.get_variables(other) == ()
    assert module.get_variables() == module.trainable_variables == ()
    assert len(module.variables) == 2
    if mode.in_graph:
        assert tf1.get_collection(collection) == [initialized, average]
        assert tf1.get_collection(other) == tf1.get_collection(keys.TRAINABLE_VARIABLES) == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_has_the_dtype_of_the_input(dtype, mode):
    module = snt.MovingAverage(0.5)
    dtype = tf.as_dtype(dtype)
    outputs = evaluations(module, np.array([2, 4], dtype.as_numpy_dtype), mode)
    assert [float(x) for x in outputs] == [2, 3]
    assert module._moving_average.dtype.base_dtype == dtype


def test_each_connection_updates_the_same_average(mode):
    module = snt.MovingAverage(0.5)
    first, second = np.float32(8), np.float32(16)
    if mode.in_graph:
        x, y = module(tf.constant(first)), module(tf.constant(second))
        assert [mode.values(x) for x in (x, y, x, y)] == [8, 12, 10, 13]
    else:
        outputs = mode.run(lambda x, y: [module(t) for t in (x, y, x, y)], first, second)
        assert outputs == [8, 12, 10, 13]
    assert len(module.variables) == 2


def test_first_connections_that_run_at_once_do_not_add_up():
    with tf.Graph().as_default(), tf1.Session() as session:
        module = snt.MovingAverage(0.5)
        outputs = [module(tf.constant(2.0)) for _ in range(3)]
        session.run(tf1.global_variables_initializer())
        assert session.run(outputs) == [2, 2, 2]
        assert session.run(module._moving_average) == 2


def test_reset(mode):
    module = snt.MovingAverage(0.5)
    with pytest.raises(snt.NotConnectedError, match="moving_average not instantiated yet"):
        module.reset()
    if mode.in_graph:
        inputs = tf1.placeholder(tf.float32, [])
        outputs, reset = module(inputs), module.reset()
        values = []
        for value in (8, 16, None, 4, 8):
            if value is None:
                mode._session.run(reset)
                assert mode.values([module._initialized, module._moving_average]) == [False, 0]
            else:
                values.append(mode.values(outputs, [(inputs, value)]))
    else:

        def reset():
            module.reset()

        call = module
        if mode.name == "function":
            call, reset = tf.function(module), tf.function(reset)
        values = [call(tf.constant(x)).numpy() for x in (8.0, 16.0)]
        reset()
        assert mode.values([module._initialized, module._moving_average]) == [False, 0]
        values += [call(tf.constant(x)).numpy() for x in (4.0, 8.0)]
    assert values == [8, 12, 4, 6]


def test_gradients_pass_unchanged_to_the_input(mode):
    """And not by 1 - decay, which would be the derivative."""
    module = snt.MovingAverage(0.9)
    weights = RNG.normal(size=[3])

    def gradient(x):
        module(tf.zeros_like(x))  # not the first value
        if mode.in_graph:
            return tf1.gradients(tf.reduce_sum(tf.sin(module(x)) * weights), x)[0]
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = tf.reduce_sum(tf.sin(module(x)) * weights)
        return tape.gradient(outputs, x)

    x = RNG.normal(size=[3])
    found = mode.run(gradient, x)
    # In a graph nothing evaluates the connection with zeros.
    average = x if mode.in_graph else 0.1 * x
    np.testing.assert_allclose(found, weights * np.cos(average), 1e-6)


def test_no_gradient_reaches_earlier_values(mode):
    module = snt.MovingAverage(0.5)

    def gradients(x, y):
        if mode.in_graph:
            first = module(x)
            with tf.control_dependencies([first]):
                return first, tf1.gradients(module(y), [y, x], unconnected_gradients="zero")
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            module(x)
            second = module(y)
        return second, tape.gradient(second, [y, x], unconnected_gradients="zero")

    _, found = mode.run(gradients, np.float32(1), np.float32(2))
    assert found == [1, 0]


def test_pass_through_gradients(mode):
    def compute(x, average):
        if mode.in_graph:
            outputs = _pass_through_gradients(x, average)
            return outputs, tf1.gradients(3 * outputs, x)[0]
        with tf.GradientTape() as tape:
            tape.watch([x, average])
            outputs = _pass_through_gradients(x, average)
            loss = 3 * outputs
        gradients = tape.gradient(loss, [x, average])
        assert gradients[1] is None
        return outputs, gradients[0]

    assert mode.run(compute, np.float32(2), np.float32(5)) == (5, 3)
    with pytest.raises(TypeError, match="same dtype, got float32 and float64"):
        mode.run(compute, np.float32(2), np.float64(5))


def test_a_reference_variable_is_read_before_it_changes():
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.Variable(8.0, trainable=False, use_resource=False)
        average = snt.MovingAverage(0.5)(variable)
        with tf.control_dependencies([average]):
            change = tf1.assign_add(variable, 8.0)
        session.run(tf1.global_variables_initializer())
        assert session.run([average, change]) == [8, 16]
        assert session.run([average, change]) == [12, 24]


def test_scopes_do_not_regularize_averages():
    with tf.Graph().as_default():
        with tf1.variable_scope("scope", regularizer=tf.reduce_sum):
            snt.MovingAverage()(tf.ones([3]))
        assert tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES) == []


@pytest.mark.parametrize("decay", [-0.1, 1.1, float("nan")])
def test_decay_is_a_share(decay):
    with pytest.raises(ValueError, match="moving_average.*: Decay must be from 0 to 1"):
        snt.MovingAverage(decay)


def test_inputs_are_checked(mode):
    module = snt.MovingAverage()
    with pytest.raises(TypeError, match="floating-point type, got int32"):
        mode.run(module, np.zeros([2], np.int32))
    if mode.name != "eager":
        with pytest.raises(snt.UnderspecifiedError, match=r"not fully known: \(None, 2\)"):
            mode.run(module, np.zeros([3, 2]), unknown_batch=True)
    mode.run(module, np.zeros([2]))
    with pytest.raises(ValueError, match="share variable moving_average/moving_average"):
        mode.run(module, np.zeros([3]))
    with pytest.raises(ValueError, match="share variable moving_average/moving_average"):
        mode.run(module, np.zeros([2], np.float32))


def test_checkpoints_go_on_with_the_average(tmp_path):
    module = snt.MovingAverage(0.5)
    for value in (8.0, 16.0):
        module(tf.constant(value))
    path = tf.train.Checkpoint(module=module).save(str(tmp_path / "checkpoint"))
    twin = snt.MovingAverage(0.5)
    status = tf.train.Checkpoint(module=twin).restore(path)
    assert twin(tf.constant(4.0)).numpy() == 8
    status.assert_consumed()


def test_runs_in_a_saved_model_and_with_xla(tmp_path):
    module = snt.MovingAverage(0.5)
    call = tf.function(module, jit_compile=True)
    assert [call(tf.constant(x)).numpy() for x in (8.0, 16.0)] == [8, 12]
    exported = tf.Module()
    exported.module = module
    exported.call = tf.function(module, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(exported, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert [loaded.call(tf.constant(x)).numpy() for x in (4.0, 10.0)] == [8, 9]
    assert module._moving_average.numpy() == 12


def test_threads_share_the_average():
    module = snt.MovingAverage(0.5)
    threads = [threading.Thread(target=module, args=(tf.constant(2.0),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(module.variables) == 2
    assert module(tf.constant(2.0)).numpy() == 2
