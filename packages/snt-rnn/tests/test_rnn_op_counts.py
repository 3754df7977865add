"""A core makes the ops that a careful person would write by hand, and no more."""

import collections

import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.op_counts import new_ops


def variable(name, shape, stddev=None, initializer=None):
    if stddev is not None:
        initializer = tf1.truncated_normal_initializer(stddev=stddev)
    # A scope of its own, as a module has: that of dynamic_rnn would read variables before the loop.
    with tf1.variable_scope(tf1.VariableScope(tf1.AUTO_REUSE, "bare", use_resource=True)):
        return tf1.get_variable(name, shape, initializer=initializer)


def bare_lstm(x, state, peepholes=False):
    h, c = state
    w, b = variable("w", [7, 12], 7**-0.5), variable("b", [12], 7**-0.5)
    if peepholes:
        w_f, w_i, w_o = (variable(name, [3]) for name in "fio")
    product = tf.matmul(tf.concat([x, h], 1), w)
    i, j, f, o = tf.split(tf.nn.bias_add(product, b), 4, 1)
    if peepholes:
        f, i = f + w_f * c, i + w_i * c
    c = tf.sigmoid(f + 1.0) * c + tf.sigmoid(i) * tf.tanh(j)
    h = tf.tanh(c + w_o * c if peepholes else c) * tf.sigmoid(o)
    return h, snt.LSTMState(h, c)


def bare_gru(x, h):
    names = ("wz", "uz", "bz", "wr", "ur", "br", "wh", "uh", "bh")
    shapes = {"w": [4, 3], "u": [3, 3], "b": [3]}
    wz, uz, bz, wr, ur, br, wh, uh, bh = (variable(n, shapes[n[0]]) for n in names)
    z = tf.sigmoid(tf.nn.bias_add(x @ wz + h @ uz, bz))
    r = tf.sigmoid(tf.nn.bias_add(x @ wr + h @ ur, br))
    new = tf.tanh(tf.nn.bias_add(x @ wh + (r * h) @ uh, bh))
    h += z * (new - h)
    return h, h


def bare_vanilla_rnn(x, h):
    def linear(x, name):
        w = variable(f"{name}/w", [x.shape[-1], 3], x.shape[-1] ** -0.5)
        return x @ w + variable(f"{name}/b", [3], initializer=tf1.zeros_initializer())

    h = tf.tanh(linear(x, "in") + linear(h, "hidden"))
    return h, h


def bare_highway_core(x, h):
    wt, wh = variable("wt", [4, 3]), variable("wh", [4, 3])
    layers = [[variable(f"{n}{k}", [3, 3] if n[0] == "w" else [3]) for n in NAMES] for k in (0, 1)]
    for k, (w_gate, b_gate, w_new, b_new) in enumerate(layers):
        if k == 0:
            gate, new = h @ w_gate + x @ wt, h @ w_new + x @ wh
        else:
            gate, new = h @ w_gate, h @ w_new
        gate, new = tf.sigmoid(tf.nn.bias_add(gate, b_gate)), tf.tanh(tf.nn.bias_add(new, b_new))
        h += gate * (new - h)
    return h, h


NAMES = ("wt", "bt", "wh", "bh")
PAIRS = {
    "LSTM": (lambda: snt.LSTM(3), bare_lstm),
    "LSTM with peepholes": (
        lambda: snt.LSTM(3, use_peepholes=True),
        lambda x, state: bare_lstm(x, state, peepholes=True),
    ),
    "GRU": (lambda: snt.GRU(3), bare_gru),
    "VanillaRNN": (lambda: snt.VanillaRNN(3), bare_vanilla_rnn),
    "HighwayCore": (lambda: snt.HighwayCore(3, 2), bare_highway_core),
}
pairs = pytest.mark.parametrize(("make", "bare"), PAIRS.values(), ids=PAIRS.keys())


def state_like(core, size):
    return tf.nest.map_structure(lambda _: tf.ones([size, 3]), core.state_size)


@pairs
def test_first_and_later_connections(make, bare):
    with tf.Graph().as_default():
        core = make()
    ours = new_ops(lambda x: core(x, state_like(core, 5)), [5, 4])
    theirs = new_ops(lambda x: bare(x, state_like(core, 5)), [5, 4])
    assert ours[1] == theirs[1]
    assert ours[0] == theirs[0]


@pairs
def test_in_a_loop(make, bare):
    class Bare:
        def __init__(self, core):
            self.state_size, self.output_size = core.state_size, core.output_size
            self.zero_state = core.zero_state

        def __call__(self, x, state):
            return bare(x, state)

    def count(wrap):
        with tf.Graph().as_default() as graph:
            x = tf1.placeholder(tf.float32, [None, None, 4])
            cell = wrap(make())
            tf1.nn.dynamic_rnn(cell, x, dtype=tf.float32)
            before = len(graph.get_operations())
            tf1.nn.dynamic_rnn(cell, x, dtype=tf.float32)
            return collections.Counter(op.type for op in graph.get_operations()[before:])

    tf1.disable_control_flow_v2()
    try:
        ours, theirs = count(lambda core: core), count(Bare)
    finally:
        tf1.enable_control_flow_v2()
    assert "Enter" in ours
    assert ours == theirs
