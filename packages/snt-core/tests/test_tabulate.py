"""`tabulate`: modules and variables in a table."""

import numpy as np
import pytest
import rich.console
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt


class Layer(snt.AbstractModule):
    def __init__(self, size, trainable=True, name="layer"):
        super().__init__(name=name)
        self._size = size
        self._trainable = trainable

    def _build(self, inputs):
        shape = [inputs.shape[-1], self._size]
        return inputs @ tf1.get_variable("w", shape, inputs.dtype, trainable=self._trainable)


class Net(snt.AbstractModule):
    """Holds a layer made elsewhere, one that is not called, and makes one anew at each call."""

    def __init__(self, shared, name="net"):
        super().__init__(name=name)
        self._shared = shared
        with self._enter_variable_scope():
            self._idle = Layer(9, name="idle")

    def _build(self, inputs, state=None):
        outputs = self._shared(Layer(2, trainable=False)(inputs)) + tf1.get_variable("b", [])
        return outputs, (outputs, state)

    @snt.reuse_variables
    def head(self, inputs):
        return Layer(1, name="head")(inputs)


def rows_of(net):
    return [tuple(row) for row in snt.tabulate(net).rows]


def test_before_the_first_call():
    net = Net(Layer(3, name="shared"))
    assert rows_of(net) == [
        (0, "net", "Net", "", None, 0, 0),
        (1, "idle", "Layer", "", None, 0, 0),
        (1, "shared", "Layer", "", None, 0, 0),
    ]


def test_modules_and_variables(mode):
    net = Net(Layer(3, name="shared"))

    def connect(x):
        outputs, _ = net(x)
        return net.head(outputs)

    mode.run(connect, np.ones([1, 4], np.float32))
    parameters = 1 + 8 + 6 + 3
    shape = "[1, 4] -> ([1, 3], [1, 3])"
    assert rows_of(net)[0] == (0, "net", "Net", shape, None, parameters, 4 * parameters)
    assert [row[:3] + row[4:] for row in rows_of(net)[1:]] == [
        (1, "b", "float32", True, 1, 4),
        (1, "layer", "Layer", None, 8, 32),
        (2, "w", "float32", False, 8, 32),
        (1, "shared", "Layer", None, 6, 24),
        (2, "w", "float32", True, 6, 24),
        (1, "head", "Layer", None, 3, 12),
        (2, "w", "float32", True, 3, 12),
        (1, "idle", "Layer", None, 0, 0),
    ]


def test_shapes_of_the_last_call():
    net = Net(Layer(3, name="shared"))
    net(tf.ones([8, 4]))
    net(tf.ones([5, 4]), state={"a": tf.ones([2]), "b": None})
    assert rows_of(net)[0][3] == "([5, 4], [2]) -> ([5, 3], ([5, 3], [2]))"
    linear = snt.Module(lambda x, scale: x * scale, name="scaled")
    linear(np.ones([7, 4]), 2.0)
    assert rows_of(linear)[0][3] == "[7, 4] -> [7, 4]"
    with tf.Graph().as_default():
        layer = Layer(2)
        layer(tf1.placeholder(tf.float64, [None, 4]))
        assert rows_of(layer)[0][3] == "[?, 4] -> [?, 2]"


def test_text_html_and_rich():
    layer = Layer(2)
    layer(tf.ones([8, 1000], tf.float64))
    table = snt.tabulate(layer)
    assert str(table).splitlines() == [
        "Name   Class or type  Shape                Trained  Parameters   Bytes",
        "layer  Layer          [8, 1000] -> [8, 2]                2,000  16,000",
        "  w    float64        [1000, 2]            yes           2,000  16,000",
    ]
    page = table._repr_html_()
    assert page.count("<tr>") == 3
    assert "[8, 1000] -&gt; [8, 2]" in page
    console = rich.console.Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(table)
    assert "[8, 1000] -> [8, 2]" in capture.get()


def test_refuses_what_is_no_module():
    with pytest.raises(TypeError, match="tabulate takes a module, got 3 of type int"):
        snt.tabulate(3)
    with pytest.raises(snt.NotInitializedError):
        snt.tabulate(Layer.__new__(Layer))
