"""Flags that are known or not."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_nets.flags import conditional, either, known_flag

KNOWN = {
    "python": bool,
    "number": int,
    "numpy": np.bool_,
    "array": np.array,
    "tensor": tf.constant,
    "number tensor": lambda flag: tf.constant(int(flag)),
}


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("flag", [True, False])
def test_known_flags(kind, flag, mode):
    def check():
        assert known_flag(KNOWN[kind](flag), "flag") is flag
        return tf.constant(0)

    mode.run(check)


@pytest.mark.parametrize("dtype", ["bool", "int32", "uint8"])
@pytest.mark.parametrize("flag", [True, False])
def test_flags_that_are_fed(flag, dtype, mode):
    def check(flag):
        found = known_flag(flag, "flag")
        assert isinstance(found, bool) == (mode.name == "eager")
        return tf.convert_to_tensor(found)

    found = mode.run(check, np.array(flag, dtype))
    assert found.dtype == bool
    assert found == flag


def test_a_default_is_not_a_value():
    with tf.Graph().as_default():
        assert tf.is_tensor(known_flag(tf1.placeholder_with_default(True, []), "flag"))
        assert tf.is_tensor(known_flag(tf1.placeholder(tf.bool), "flag"))


@pytest.mark.parametrize("flag", [True, False])
def test_variables(flag, mode):
    variable = tf1.get_variable("flag", initializer=flag, trainable=False)
    assert mode.run(lambda: tf.convert_to_tensor(known_flag(variable, "flag"))) == flag
    mode.assign(variable, not flag)
    assert mode.run(lambda: tf.convert_to_tensor(known_flag(variable, "flag"))) != flag


@pytest.mark.parametrize(
    "flag", [None, "yes", b"", 2, -1, 0.5, 1.0, [True], np.ones(2, bool), {}, object()]
)
def test_what_is_no_flag(flag):
    with pytest.raises(TypeError, match="module: is_training must be a boolean"):
        known_flag(flag, "module: is_training")


@pytest.mark.parametrize("flag", [np.float32(1), np.array([True]), np.array("yes")])
def test_tensors_that_are_no_flag(flag, mode):
    with pytest.raises(TypeError, match="flag must be a boolean"):
        mode.run(lambda x: tf.convert_to_tensor(known_flag(x, "flag")), np.asarray(flag))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_either_and_conditional(first, second, mode):
    def check(*fed):
        pairs = itertools.product((first, fed[0]), (second, fed[1]))
        flags = [either(known_flag(a, "a"), known_flag(b, "b")) for a, b in pairs]
        assert flags[0] is (first or second)
        return [conditional(f, lambda: tf.constant(1), lambda: tf.constant(0)) for f in flags]

    assert mode.run(check, np.array(first), np.array(second)) == [first or second] * 4


def test_a_known_flag_makes_no_branch():
    with tf.Graph().as_default() as graph:
        assert conditional(True, lambda: 1, lambda: 1 / 0) == 1
        assert conditional(False, lambda: 1 / 0, lambda: 2) == 2
        assert either(True, tf1.placeholder(tf.bool)) is True
        assert not any(op.type != "Placeholder" for op in graph.get_operations())
