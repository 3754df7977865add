"""`nets.transformer.MultiheadAttention`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support import transformers as reference

transformer = snt.nets.transformer
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=[2, 4, 6])
MEMORY = RANDOM.normal(size=[2, 3, 6])
OLD = RANDOM.normal(size=[2, 2, 6])
RELATIVE = {"use_relative_positions": True}

PLAIN = {
    "query/linear/w": (6, 15),
    "key/linear/w": (6, 15),
    "value/linear/w": (6, 12),
}
OUTPUT = {"linear/w": (12, 12), "linear/b": (12,)}
HEAD_BIAS = (1, 3, 1, 5)


def encodings(*memory_sizes):
    return [
        tuple(
            transformer.get_position_encodings(length, 6, 0, dtype=tf.float64)
            for length in (size + 4, 4)
        )
        for size in memory_sizes
    ]


def compressed(old=OLD, new=MEMORY):
    return transformer.CompressedMemoryState(new, old, np.zeros([2, 1]))


CASES = {
    "no memory": ({}, None, [], PLAIN | OUTPUT),
    "memory": ({}, MEMORY, [MEMORY], PLAIN | OUTPUT),
    "two memories": ({}, compressed(), [OLD, MEMORY], PLAIN | OUTPUT),
    "absolute": (
        {"positional_encodings": lambda: encodings(3)[0]},
        MEMORY,
        [MEMORY],
        PLAIN | OUTPUT,
    ),
    "relative": (
        {"positional_encodings": lambda: encodings(3), "use_relative_positions": True},
        MEMORY,
        [MEMORY],
        {
            **PLAIN,
            "r_w_bias": HEAD_BIAS,
            "relative_keys/linear/w": (6, 15),
            "r_r_bias": HEAD_BIAS,
            **OUTPUT,
        },
    ),
    "relative, two memories": (
        {"positional_encodings": lambda: encodings(2, 3), "use_relative_positions": True},
        compressed(),
        [OLD, MEMORY],
        {
            **PLAIN,
            "r_w_bias": HEAD_BIAS,
            "relative_keys_0/linear/w": (6, 15),
            "r_r_bias_0": HEAD_BIAS,
            "relative_keys/linear/w": (6, 15),
            "r_r_bias": HEAD_BIAS,
            **OUTPUT,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cropped", [False, True])
def test_values_names_and_shapes(case, cropped, mode):
    options, state, memories, shapes = CASES[case]
    attention = []

    def call(x):
        given = {k: v() if callable(v) else v for k, v in options.items()}
        pairs = given.get("positional_encodings")
        mask = transformer.create_mask(x, state, equal_window=False)
        if cropped:  # what is too long loses its oldest steps
            mask = tf.concat([tf.ones_like(mask[..., :2]), mask], axis=-1)
            if pairs is not None:
                longer = [s + 2 for s in ([3] if case != "relative, two memories" else [2, 3])]
                pairs = encodings(*longer) if case.startswith("relative") else encodings(5)[0]
        if not attention:
            given.pop("positional_encodings", None)
            attention.append(transformer.MultiheadAttention(4, 5, 3, **given))
        return attention[0](x, state=state, mask=mask, positional_encodings=pairs)

    mode.run(call, X)
    module = attention[0]
    variables = {
        v.name.removesuffix(":0").removeprefix("multihead_attention/"): tuple(v.shape)
        for v in module.get_variables()
    }
    assert variables == shapes
    assert list(variables) == list(shapes)
    weights = reference.weights_of(module, mode)
    outputs, attention_state = mode.run(call, X)
    positions = {"positional_encodings": None} | options
    expected, expected_weights = (
        reference.attention(X, memories, weights, 3, relative="use_relative_positions" in options)
        if positions["positional_encodings"]
        else without_positions(X, memories, weights)
    )
    np.testing.assert_allclose(outputs, expected, 1e-9, 1e-9)
    np.testing.assert_allclose(attention_state.weights, expected_weights, 1e-9, 1e-9)
    np.testing.assert_array_equal(attention_state.embeddings, X)
    np.testing.assert_array_equal(attention_state.read_words, outputs)


def without_positions(x, memories, weights, causal=True, scale=5**-0.5, queries=None):
    attended = np.concatenate([*memories, x], axis=1)
    q, k, v = (
        reference.heads(content, weights[f"{name}/linear/w"], 3)
        for name, content in (
            ("query", x if queries is None else queries),
            ("key", attended),
            ("value", attended),
        )
    )
    logits = q @ np.swapaxes(k, 2, 3) * scale
    if causal:
        future = np.triu(np.ones(logits.shape[2:]), k=1 + attended.shape[1] - x.shape[1])
        logits = np.where(future, -np.inf, logits)
    attention = reference.softmax(logits)
    read = np.concatenate(list(np.moveaxis(attention @ v, 1, 0)), axis=-1)
    return read @ weights["linear/w"] + weights["linear/b"], attention


def test_what_it_computed_on_its_way(mode):
    attention = transformer.MultiheadAttention(4, 5, 3)
    mode.run(attention, X)
    weights = reference.weights_of(attention, mode)
    _, state = mode.run(lambda x: attention(x, state=tf.constant(MEMORY)), X)
    attended = np.concatenate([MEMORY, X], axis=1)
    queries = reference.heads(X, weights["query/linear/w"], 3) / np.sqrt(5)
    keys = reference.heads(attended, weights["key/linear/w"], 3)
    np.testing.assert_allclose(state.queries, queries, 1e-10, 1e-10)
    np.testing.assert_allclose(state.keys, keys, 1e-10, 1e-10)
    np.testing.assert_allclose(
        state.values, reference.heads(attended, weights["value/linear/w"], 3), 1e-10, 1e-10
    )
    np.testing.assert_allclose(state.logits, queries @ np.swapaxes(keys, 2, 3), 1e-10, 1e-10)


def test_logits_are_those_by_content(mode):
    attention = transformer.MultiheadAttention(
        4, 5, 3, mask=np.full([1, 1, 4, 4], -7.0), use_relative_positions=True
    )

    def call(x):
        return attention(x, positional_encodings=encodings(0))[1]

    mode.run(call, X)
    weights = reference.weights_of(attention, mode)
    state = mode.run(call, X)
    queries = state.queries + weights["r_w_bias"]
    np.testing.assert_allclose(state.logits, queries @ np.swapaxes(state.keys, 2, 3), 1e-9, 1e-9)


@pytest.mark.parametrize("scaling", [True, False])
def test_other_queries_and_scaling(scaling, mode):
    queries = RANDOM.normal(size=[2, 7, 6])
    attention = transformer.MultiheadAttention(4, 5, 3, scaling=scaling)

    def call(x, q):
        return attention(x, q)[0]

    mode.run(call, X, queries)
    weights = reference.weights_of(attention, mode)
    expected, _ = without_positions(
        X, [], weights, causal=False, scale=5**-0.5 if scaling else 1, queries=queries
    )
    np.testing.assert_allclose(mode.run(call, X, queries), expected, 1e-10, 1e-10)


def test_takes_an_unknown_length_without_positions():
    attention = transformer.MultiheadAttention(4, 5, 3)
    expected = attention(X)[0]
    function = tf.function(attention, input_signature=[tf.TensorSpec([None, None, 6], "double")])
    np.testing.assert_allclose(function(X)[0], expected, 1e-10, 1e-10)


def test_starts_with_this_scale():
    attention = transformer.MultiheadAttention(64, 64, 4, init_std=0.5)
    attention(tf.ones([1, 1, 300]))
    for variable in attention.variables:
        if variable.name.split("/")[1] in ("query", "key", "value"):
            assert abs(variable.numpy().std() / np.sqrt(0.5 / 300) - 1) < 0.03


def test_drops_weights_in_training_only(mode):
    tf.random.set_seed(1)
    attention = transformer.MultiheadAttention(4, 5, 3)
    x = RANDOM.normal(size=[20, 30, 6])

    def call(x):
        flags = {
            "default": {},
            "on": {"is_training": True},
            "tensor": {"is_training": tf.constant(True)},
        }
        return {
            name: attention(x, dropout_keep_prob=0.75, **flag)[1].weights
            for name, flag in flags.items()
        }

    results = mode.run(call, x)
    np.testing.assert_allclose(results["default"].sum(-1), 1)
    for name in ("on", "tensor"):
        kept = results[name] != 0
        assert abs(kept.mean() - 0.75) < 0.02
        np.testing.assert_allclose(
            results[name][kept], results["default"][kept] / 0.75, 1e-10, 1e-10
        )


@pytest.mark.parametrize("first", ["build", "method"])
def test_multihead_linear_shares_the_variables(first, mode):
    attention = transformer.MultiheadAttention(4, 5, 3, use_relative_positions=True)
    maps = ["value", "key", "query", "relative_keys", "relative_keys_0"]

    def build(x):
        return attention(x, state=compressed(), positional_encodings=encodings(2, 3))[0]

    def method(x):
        return {name: attention.multihead_linear(x, name) for name in maps}

    for call in [build, method] if first == "build" else [method, build]:
        mode.run(call, X)
    weights = reference.weights_of(attention, mode)
    assert len(weights) == 10
    for name, value in mode.run(method, X).items():
        expected = reference.heads(X, weights[f"{name}/linear/w"], 3)
        np.testing.assert_allclose(value, expected, 1e-10, 1e-10)
    with pytest.raises(ValueError, match="name must be one of .*, got 'keys'"):
        mode.run(lambda x: attention.multihead_linear(x, "keys"), X)


@pytest.mark.parametrize("stop", [True, False])
def test_multihead_linear_can_stop_gradients(stop, mode):
    attention = transformer.MultiheadAttention(4, 5, 3)

    def loss():
        outputs = attention.multihead_linear(tf.constant(X), "key", stop_weight_gradients=stop)
        return tf.reduce_sum(outputs**2)

    mode.run(attention, X)
    w = next(v for v in attention.variables if "/key/" in v.name)

    def gradient_is_none():
        if mode.in_graph:
            return tf1.gradients(loss(), [w])[0] is None
        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, w) is None

    assert gradient_is_none() is stop


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_weights_have_the_dtype_of_the_input(dtype, mode):
    attention = transformer.MultiheadAttention(4, 5, 3, use_relative_positions=True)

    def call(x):
        x = tf.cast(x, dtype)
        pairs = [(transformer.get_position_encodings(4, 6, 0, dtype=x.dtype),) * 2]
        mask = transformer.create_mask(x, None, equal_window=False)
        return tf.cast(attention(x, mask=mask, positional_encodings=pairs)[0], tf.float64)

    assert np.isfinite(mode.run(call, X)).all()
    assert {v.dtype.base_dtype for v in attention.variables} == {tf.as_dtype(dtype)}


@pytest.mark.parametrize(
    ("options", "x", "arguments", "match"),
    [
        ({}, X[0], {}, "inputs must be of rank 3"),
        ({}, X, {"query_inputs": X[0]}, "queries must be of rank 3"),
        ({}, X, {"mask": np.zeros([1, 1, 4, 3])}, "mask cover 3 steps, but 4 are attended"),
        (RELATIVE, X, {}, "one for each of the 1 kinds of memory, got 0"),
        (
            RELATIVE,
            X,
            {"positional_encodings": [(X, X)] * 3, "state": compressed()},
            "2 kinds of memory, got 3",
        ),
        (RELATIVE, X, {"positional_encodings": [(X[:1, :2],) * 2]}, "cover 2 steps, but 4"),
    ],
)
def test_errors(options, x, arguments, match, mode):
    attention = transformer.MultiheadAttention(4, 5, 3, **options)
    with pytest.raises(ValueError, match=match):
        mode.run(lambda x: attention(x, **arguments)[0], x)
