"""`MultiHeadAttention`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support import transformers as reference
from tests.support.op_counts import new_ops

RANDOM = np.random.default_rng(0)
QUERY = RANDOM.normal(size=[2, 4, 6])
KEY = RANDOM.normal(size=[2, 5, 7])
VALUE = RANDOM.normal(size=[2, 5, 3])


def attend(query, key, value, weights, num_heads, allowed=True):
    """Attention in NumPy; returns outputs and weights."""

    def projected(x, name):
        heads = reference.heads(x, weights[f"{name}/w"], num_heads)
        if f"{name}/b" in weights:
            heads = heads + weights[f"{name}/b"].reshape(1, num_heads, 1, -1)
        return heads

    q, k, v = projected(query, "query"), projected(key, "key"), projected(value, "value")
    logits = q @ np.swapaxes(k, 2, 3) / np.sqrt(q.shape[-1])
    attention = reference.softmax(np.where(allowed, logits, -np.inf))
    read = np.concatenate(list(np.moveaxis(attention @ v, 1, 0)), axis=-1)
    return read @ weights["output/w"] + weights.get("output/b", 0), attention


@pytest.mark.parametrize("inputs", [(QUERY,), (QUERY, KEY), (QUERY, KEY, VALUE)])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("sizes", [{}, {"value_size": 2, "output_size": 9}])
def test_values_names_and_shapes(inputs, use_bias, sizes, mode):
    attention = snt.MultiHeadAttention(3, 4, use_bias=use_bias, **sizes)

    def call(*inputs):
        return attention(*inputs, return_weights=True)

    mode.run(call, *inputs)
    query, key, value = (*inputs, *inputs[-1:] * 2)[:3]
    value_size, output_size = sizes.get("value_size", 4), sizes.get("output_size", 6)
    shapes = {
        "query": (query.shape[-1], 12),
        "key": (key.shape[-1], 12),
        "value": (value.shape[-1], 3 * value_size),
        "output": (3 * value_size, output_size),
    }
    expected_shapes = {}
    for name, shape in shapes.items():
        expected_shapes[f"multi_head_attention/{name}/w:0"] = shape
        if use_bias:
            expected_shapes[f"multi_head_attention/{name}/b:0"] = shape[1:]
    variables = {v.name: tuple(v.shape) for v in attention.get_variables()}
    assert list(variables.items()) == list(expected_shapes.items())
    assert attention.output_size == output_size
    weights = reference.weights_of(attention, mode)
    outputs, attention_weights = mode.run(call, *inputs)
    expected, expected_weights = attend(query, key, value, weights, 3)
    np.testing.assert_allclose(outputs, expected, 1e-10, 1e-10)
    np.testing.assert_allclose(attention_weights, expected_weights, 1e-10, 1e-10)


MASKS = {
    "of examples": RANDOM.random([2, 1, 5]) < 0.7,
    "of queries": RANDOM.random([2, 4, 5]) < 0.7,
    "of heads": RANDOM.random([1, 3, 4, 5]) < 0.7,
}


@pytest.mark.parametrize("which", [None, *MASKS])
@pytest.mark.parametrize("causal", [True, False])
def test_masks(which, causal, mode):
    mask = None if which is None else MASKS[which] | np.eye(5, dtype=bool)[:1]
    attention = snt.MultiHeadAttention(3, 4, causal=causal)

    def call(query, key):
        return attention(query, key, mask=mask, return_weights=True)

    mode.run(call, QUERY, KEY)
    weights = reference.weights_of(attention, mode)
    allowed = np.array(True) if mask is None else mask.reshape(mask.shape[0], -1, *mask.shape[-2:])
    if causal:  # the last query stands where the last key does
        allowed = allowed & np.tri(4, 5, k=1, dtype=bool)
    expected, expected_weights = attend(QUERY, KEY, KEY, weights, 3, allowed)
    outputs, attention_weights = mode.run(call, QUERY, KEY)
    np.testing.assert_allclose(outputs, expected, 1e-10, 1e-10)
    np.testing.assert_allclose(attention_weights, expected_weights, 1e-10, 1e-10)
    assert (attention_weights[np.broadcast_to(~allowed, [2, 3, 4, 5])] == 0).all()


def test_what_may_attend_to_nothing_attends_to_all(mode):
    attention = snt.MultiHeadAttention(3, 4)
    mask = np.zeros([1, 4, 5], bool)
    _, weights = mode.run(lambda q, k: attention(q, k, mask=mask, return_weights=True), QUERY, KEY)
    np.testing.assert_allclose(weights, np.full([2, 3, 4, 5], 0.2))


def test_the_future_does_not_leak(mode):
    attention = snt.MultiHeadAttention(3, 4, causal=True)
    outputs = mode.run(attention, QUERY)
    changed = QUERY.copy()
    changed[:, 2:] += RANDOM.normal(size=[2, 2, 6])
    others = mode.run(attention, changed)
    np.testing.assert_array_equal(others[:, :2], outputs[:, :2])
    assert (others[:, 2:] != outputs[:, 2:]).all()


@pytest.mark.parametrize("causal", [True, False])
def test_takes_unknown_sizes(causal):
    tf1.reset_default_graph()
    attention = snt.MultiHeadAttention(3, 4, causal=causal)
    expected = attention(QUERY, KEY)
    call = tf.function(
        lambda q, k: attention(q, k),
        input_signature=[tf.TensorSpec([None, None, n], "double") for n in (6, 7)],
        autograph=False,
    )
    assert call.get_concrete_function().output_shapes.as_list() == [None, None, 6]
    np.testing.assert_allclose(call(QUERY, KEY), expected, 1e-10, 1e-10)
    assert call(QUERY[:0], KEY[:0]).shape == (0, 4, 6)


def test_dropout(mode):
    tf.random.set_seed(1)
    attention = snt.MultiHeadAttention(3, 4, dropout_rate=0.25)
    x = RANDOM.normal(size=[20, 30, 6])

    def call(x):
        flags = (False, True, tf.constant(True))
        return [attention(x, is_training=flag, return_weights=True)[1] for flag in flags]

    kept, *dropped = mode.run(call, x)
    np.testing.assert_allclose(kept.sum(-1), 1)
    for weights in dropped:
        assert abs((weights == 0).mean() - 0.25) < 0.02
        np.testing.assert_allclose(weights[weights != 0], kept[weights != 0] / 0.75, 1e-10)


def test_dropout_needs_the_flag(mode):
    attention = snt.MultiHeadAttention(3, 4, dropout_rate=0.25)
    with pytest.raises(ValueError, match="is_training must be given where there is dropout"):
        mode.run(attention, QUERY)


def test_options_of_the_maps():
    with tf.Graph().as_default():
        options = {name: {"w": tf1.ones_initializer()} for name in ("query", "output")}
        regularizers = {"value": {"b": snt.l2_regularizer(0.1)}}
        partitioners = {"key": {"w": tf1.fixed_size_partitioner(2)}}
        attention = snt.MultiHeadAttention(
            3, 4, initializers=options, regularizers=regularizers, partitioners=partitioners
        )
        attention(tf.constant(QUERY))
        assert (attention.initializers, attention.regularizers) == (options, regularizers)
        assert attention.partitioners == partitioners
        sizes = (attention.num_heads, attention.key_size, attention.value_size)
        assert sizes == (3, 4, 4)
        assert [v.name for v in attention.get_variables() if "key" in v.name] == [
            f"multi_head_attention/key/{name}:0" for name in ("w/part_0", "w/part_1", "b")
        ]
        assert len(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)) == 1
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for variable in attention.get_variables():
                is_one = variable.name.split("/")[1] in options and "/w" in variable.name
                assert (session.run(variable) == 1).all() == is_one


def test_custom_getter(mode):
    def zero(getter, name, *args, **kwargs):
        return tf.zeros_like(getter(name, *args, **kwargs))

    attention = snt.MultiHeadAttention(3, 4, custom_getter={"output": zero})
    np.testing.assert_array_equal(mode.run(attention, QUERY), np.zeros([2, 4, 6]))


def test_weights_of_16_bits_are_computed_in_float32(mode):
    attention = snt.MultiHeadAttention(
        1, 1, initializers={k: {"w": tf1.ones_initializer()} for k in ("query", "key")}
    )
    x = np.zeros([1, 3000, 1], np.float16)
    _, weights = mode.run(lambda x: attention(x[:, :1], x, return_weights=True), x)
    assert weights.dtype == np.float16
    np.testing.assert_allclose(weights, np.full([1, 1, 1, 3000], 1 / 3000), 1e-3)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"num_heads": 0}, ValueError, "num_heads must be positive, got 0"),
        ({"key_size": 0}, ValueError, "key_size must be positive, got 0"),
        ({"value_size": -1}, ValueError, "value_size must be positive, got -1"),
        ({"dropout_rate": 1.0}, ValueError, r"dropout_rate must be in \[0, 1\), got 1.0"),
        ({"initializers": {"w": tf.zeros_initializer()}}, KeyError, "Invalid initializer keys 'w'"),
        (
            {"use_bias": False, "initializers": {"key": {"b": tf.zeros_initializer()}}},
            KeyError,
            "Invalid initializer keys 'b'",
        ),
        ({"regularizers": {"key": {"w": 3}}}, TypeError, "Regularizer for 'w' is not a callable"),
    ],
)
def test_refuses_bad_options(options, error, match):
    with pytest.raises(error, match=match):
        snt.MultiHeadAttention(**{"num_heads": 3, "key_size": 4, **options})


@pytest.mark.parametrize(
    ("inputs", "options", "error", "match"),
    [
        ((QUERY[0],), {}, snt.IncompatibleShapeError, "query must be of rank 3"),
        ((QUERY, KEY[0]), {}, snt.IncompatibleShapeError, "key must be of rank 3"),
        ((QUERY, KEY, QUERY), {}, snt.IncompatibleShapeError, "as many keys as values"),
        ((QUERY,), {"mask": np.ones([4, 4], bool)}, ValueError, "mask must be of rank 3"),
        ((QUERY,), {"mask": np.ones([2, 4, 4])}, TypeError, "must be boolean, .* got float64"),
    ],
)
def test_refuses_bad_inputs(inputs, options, error, match, mode):
    attention = snt.MultiHeadAttention(3, 4)
    with pytest.raises(error, match=match):
        mode.run(lambda *inputs: attention(*inputs, **options), *inputs)


def test_the_output_size_is_unknown_before_the_connection():
    with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
        _ = snt.MultiHeadAttention(3, 4).output_size


def bare_attention(x, options, allowed=None):
    """Self-attention of a person who writes as few ops as can be; 3 heads of size 4."""
    batch, time, features = x.shape.as_list()
    flat_size = None if batch is None or time is None else batch * time

    def variable(name, shape, stddev=None):
        if stddev is None:
            return tf1.get_variable(name, shape, initializer=tf1.zeros_initializer())
        initializer = tf1.truncated_normal_initializer(stddev=stddev)
        return tf1.get_variable(name, shape, initializer=initializer)

    def linear(x, name, size):
        with tf1.variable_scope(name, reuse=tf1.AUTO_REUSE):
            outputs = tf.matmul(x, variable("w", [x.shape[-1], size], 0.5))
            return outputs + variable("b", [size]) if options.get("use_bias", True) else outputs

    def heads(name):
        flat = tf.reshape(x, [-1, features])
        outputs = tf.reshape(linear(flat, name, 12), [-1, time, 3, 4])
        return tf.transpose(outputs, [0, 2, 1, 3])

    query, key, value = heads("query"), heads("key"), heads("value")
    logits = tf.matmul(query * 0.5, key, transpose_b=True)
    if allowed is not None:
        logits = tf.where(allowed(), logits, logits.dtype.min)
    weights = tf.nn.softmax(logits)
    if options.get("dropout_rate"):
        weights = tf.nn.dropout(weights, rate=options["dropout_rate"])
    read = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
    flat = tf.reshape(read, [-1 if flat_size is None else flat_size, 12])
    return tf.reshape(linear(flat, "output", features), [-1, time, features])


def causal():
    places = tf.range(5)
    return tf.expand_dims(places, axis=1) >= places


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize(
    ("options", "arguments", "allowed"),
    [
        ({}, {}, None),
        ({"use_bias": False}, {}, None),
        ({"causal": True}, {}, causal),
        ({"dropout_rate": 0.25}, {"is_training": True}, None),
        ({"dropout_rate": 0.25}, {"is_training": False}, None),
    ],
)
def test_makes_no_more_ops_than_by_hand(batch, options, arguments, allowed):
    module = None

    def connect(inputs):
        nonlocal module
        module = module or snt.MultiHeadAttention(3, 4, **options)
        return module(inputs, **arguments)

    by_hand = options if arguments.get("is_training", True) else {}
    ours = new_ops(connect, [batch, 5, 6])
    bare = new_ops(lambda x: bare_attention(x, by_hand, allowed), [batch, 5, 6])
    assert ours == bare
