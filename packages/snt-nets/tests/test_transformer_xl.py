"""`nets.TransformerXL`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support import transformers as reference

CONFIG = {"value_size": 4, "num_heads": 2, "num_layers": 2, "mlp_hidden_sizes": (6,)}
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=[2, 9, 3])


def small(memory_size=4, chunk_size=3, **config):
    return snt.nets.TransformerXL(CONFIG | config, memory_size, chunk_size)


def zeros(memory_size, num_layers=2, batch_size=2):
    return [np.zeros([batch_size, memory_size, 8])] * num_layers


def step(core, is_training=False):
    """Returns a function of the inputs and the flat state."""
    return lambda x, *state: core(x, list(state), is_training=is_training)


def expected_step(x, state, weights, **options):
    memory_size = state[0].shape[1]
    hidden = reference.mlp(x, weights, "mlp", activate_final=True)
    memories = [[memory] if memory_size else [] for memory in state]
    outputs, embeddings = reference.tower(
        hidden, memories, reference.below(weights, "transformer_tower"), 2, **options
    )
    both = [np.concatenate(pair, axis=1) for pair in zip(state, embeddings, strict=True)]
    return outputs, [steps[:, steps.shape[1] - memory_size :] for steps in both]


def unroll(core, lengths):
    """Returns a function that reads chunks of these lengths one after the other."""

    def call(x, *state):
        outputs, states, start = [], [list(state)], 0
        for length in lengths:
            output, next_state = core(x[:, start : start + length], states[-1], is_training=False)
            assert type(next_state) is list
            outputs.append(output)
            states.append(next_state)
            start += length
        return outputs, states[1:]

    return call


def assert_close(actual, expected):
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-7, 1e-7), actual, expected
    )


@pytest.mark.parametrize(
    ("memory_size", "lengths"), [(4, (3, 3, 3)), (2, (1, 4, 2)), (0, (3, 1, 2))]
)
def test_values_over_chunks(memory_size, lengths, mode):
    core = small(memory_size)
    mode.run(step(core), X[:, :3], *zeros(memory_size))
    weights = reference.weights_of(core, mode)
    outputs, states = mode.run(unroll(core, lengths), X, *zeros(memory_size))
    state, start = zeros(memory_size), 0
    for i, length in enumerate(lengths):
        chunk = X[:, start : start + length]
        start += length
        expected, state = expected_step(chunk, state, weights, relative=True)
        assert_close(outputs[i], expected)
        assert_close(states[i], state)


def test_names_and_shapes(mode):
    core = small(num_layers=1)
    mode.run(step(core), X[:, :3], *zeros(4, 1))
    layer = "transformer_tower/layer_0"
    assert [(v.name, tuple(v.shape)) for v in core.get_variables()] == [
        (f"transformer_xl/{name}:0", shape)
        for name, shape in [
            ("mlp/linear_0/w", (3, 8)),
            ("mlp/linear_0/b", (8,)),
            (f"{layer}/residual_dropout_wrapper/layer_norm/gamma", (8,)),
            (f"{layer}/residual_dropout_wrapper/layer_norm/beta", (8,)),
            (f"{layer}/multihead_attention/query/linear/w", (8, 8)),
            (f"{layer}/multihead_attention/key/linear/w", (8, 8)),
            (f"{layer}/multihead_attention/value/linear/w", (8, 8)),
            (f"{layer}/multihead_attention/r_w_bias", (1, 2, 1, 4)),
            (f"{layer}/multihead_attention/relative_keys/linear/w", (8, 8)),
            (f"{layer}/multihead_attention/r_r_bias", (1, 2, 1, 4)),
            (f"{layer}/multihead_attention/linear/w", (8, 8)),
            (f"{layer}/multihead_attention/linear/b", (8,)),
            (f"{layer}/residual_dropout_wrapper_1/layer_norm/gamma", (8,)),
            (f"{layer}/residual_dropout_wrapper_1/layer_norm/beta", (8,)),
            (f"{layer}/mlp/linear_0/w", (8, 6)),
            (f"{layer}/mlp/linear_0/b", (6,)),
            (f"{layer}/mlp/linear_1/w", (6, 8)),
            (f"{layer}/mlp/linear_1/b", (8,)),
        ]
    ]


@pytest.mark.parametrize("lengths", [(3, 3, 3), (4, 1, 2, 2)])
def test_windows_of_one_length_make_chunks_equal_the_whole(lengths, mode):
    core = small(memory_size=9, same_attention_length=True)
    mode.run(step(core), X, *zeros(9))
    reference.weights_of(core, mode)
    whole, whole_state = mode.run(step(core), X, *zeros(9))
    parts, states = mode.run(unroll(core, lengths), X, *zeros(9))
    assert_close(np.concatenate(parts, axis=1), whole)
    assert_close(states[-1], whole_state)


@pytest.mark.parametrize(
    ("memory_size", "time_major", "given_state"),
    [(3, False, False), (3, True, True), (0, True, False)],
)
def test_dynamic_rnn(memory_size, time_major, given_state, mode):
    core = small(memory_size, chunk_size=0, dropout_rate=0.0)

    def loop(x):
        options = {"dtype": tf.float64}
        if given_state:
            options["initial_state"] = core.initial_state(2, tf.float64)
        return tf1.nn.dynamic_rnn(core, x, time_major=time_major, **options)

    x = np.swapaxes(X, 0, 1) if time_major else X
    mode.run(loop, x)
    weights = reference.weights_of(core, mode)
    outputs, state = mode.run(loop, x)
    expected, expected_state = [], zeros(memory_size)
    for t in range(9):
        output, expected_state = expected_step(
            X[:, t : t + 1], expected_state, weights, relative=True
        )
        expected.append(output[:, 0])
    np.testing.assert_allclose(outputs, np.stack(expected, 0 if time_major else 1), 1e-7, 1e-7)
    assert type(state) is list
    assert_close(state, expected_state)


def test_unrolls_a_batch_of_unknown_size(mode):
    core = small(chunk_size=0)
    outputs, _ = mode.run(
        lambda x: tf1.nn.dynamic_rnn(core, x, dtype=tf.float64), X, unknown_batch=True
    )
    assert outputs.shape == (2, 9, 8)


def test_gradients_flow_through_the_memory(mode):
    core = small(dropout_rate=0.0)

    def loss(x, *state):
        _, state = core(x[:, :3], list(state), is_training=False)
        outputs, _ = core(x[:, 3:6], state, is_training=False)
        return tf.reduce_sum(tf.sin(outputs[:, 0]))  # of the second chunk only

    def gradient(x, *state):
        if mode.in_graph:
            return tf1.gradients(loss(x, *state), [x])[0]
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x, *state)
        return tape.gradient(value, x)

    mode.run(loss, X, *zeros(4))
    reference.weights_of(core, mode)
    actual = mode.run(gradient, X, *zeros(4))
    assert (actual[:, 3] != 0).any()
    assert (actual[:, :3] != 0).any()
    direction = RANDOM.normal(size=X.shape)
    values = [mode.run(loss, X + s * 1e-6 * direction, *zeros(4)) for s in (1, -1)]
    slope = (values[0] - values[1]) / 2e-6
    np.testing.assert_allclose(np.sum(actual * direction), slope, 1e-5, 1e-6)


@pytest.mark.parametrize(
    ("chunk_size", "config", "expected"),
    [
        (0, {}, [8]),
        (5, {}, [5, 8]),
        (0, {"output_size": 3}, [3]),
        (5, {"output_size": 3}, [5, 3]),
    ],
)
def test_sizes(chunk_size, config, expected, mode):
    core = small(chunk_size=chunk_size, **config)
    assert core.output_size == tf.TensorShape(expected)
    assert core.state_size == [tf.TensorShape([4, 8])] * 2
    x = X[:, 0] if chunk_size == 0 else X[:, :5]
    outputs, _ = mode.run(step(core), x, *zeros(4))
    assert outputs.shape == (2, *expected)


def test_one_step_without_an_axis_of_time(mode):
    core = small(chunk_size=3)
    outputs, _ = mode.run(step(core), X[:, 0], *zeros(4))
    assert outputs.shape == (2, 1, 8)


def test_initial_state(mode):
    core = small()
    for batch_size in (2, np.int64(2), tf1.Dimension(2)):
        state = core.initial_state(batch_size)
        assert [s.dtype for s in state] == [tf.float32] * 2
        assert [s.shape for s in state] == [(2, 4, 8)] * 2
        np.testing.assert_array_equal(mode.values(state), zeros(4))
    states = mode.run(
        lambda n, m: [core.zero_state(n, tf.float64), core.initial_state(m, tf.float64)],
        np.int32(2),
        np.array([2], np.int64),
    )
    np.testing.assert_array_equal(states, [zeros(4)] * 2)


def test_a_state_that_is_learnt(mode):
    core = small(dropout_rate=0.0)

    def build(x):
        state = core.initial_state(tf.shape(x)[0], x.dtype, trainable=True)
        outputs, next_state = core(x, state, is_training=False)
        tf.nest.assert_same_structure(state, next_state)
        return outputs, state

    model = snt.Module(build, name="model")
    for x in (X[:, :3], np.concatenate([X, X])[:, :3]):
        outputs, state = mode.run(model, x, unknown_batch=True)
        assert outputs.shape == (len(x), 3, 8)
        assert [s.shape for s in state] == [(len(x), 4, 8)] * 2
    learnt = model.get_variables()
    assert [(v.name, v.shape) for v in learnt] == [
        (f"model/transformer_xl_initial_state_{i}/w:0", (1, 4, 8)) for i in range(2)
    ]
    gradients = mode.gradients(
        lambda: tf.reduce_sum(tf.sin(model(tf.constant(X[:, :3]))[0])), lambda: learnt
    )
    assert all((g != 0).any() for g in gradients)


def test_a_state_of_an_unknown_batch_size_has_a_known_shape():
    core = small()

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)])
    def function(batch_size):
        state = core.zero_state(batch_size, tf.float32)
        assert state[0].shape.as_list() == [None, 4, 8]
        return state

    assert function(3)[0].shape == (3, 4, 8)


@pytest.mark.parametrize(("config", "rate"), [({}, 0.1), ({"dropout_rate": 0.4}, 0.4)])
def test_one_dropout_rate_for_all(config, rate, monkeypatch):
    rates = []
    dropout = tf.nn.dropout
    monkeypatch.setattr(
        tf.nn, "dropout", lambda x, rate, **kw: rates.append(rate) or dropout(x, rate, **kw)
    )
    core = small(**config)
    core(tf.constant(X[:, :3]), core.initial_state(2, tf.float64))
    np.testing.assert_allclose(rates, rate)
    assert len(rates) == 1 + 1 + 2 * 4


def test_the_flag_may_be_a_tensor(mode):
    core = small(dropout_rate=0.5)

    def call(x, flag, *state):
        results = core(x, list(state), is_training=flag), core(x, list(state), is_training=False)
        return [outputs for outputs, _ in results]

    dropped, kept = mode.run(call, X[:, :3], np.array(True), *zeros(4))
    assert (dropped != kept).any()
    same, kept = mode.run(call, X[:, :3], np.array(False), *zeros(4))
    np.testing.assert_array_equal(same, kept)


@pytest.mark.parametrize("key", ["value_size", "num_heads", "num_layers"])
def test_needs_the_sizes_of_the_tower(key):
    config = {k: v for k, v in CONFIG.items() if k != key}
    with pytest.raises(KeyError, match=f"core_config lacks '{key}'"):
        snt.nets.TransformerXL(config, 4, 3)


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ({"memory_size": -1}, "memory_size must be at least 0, got -1"),
        ({"chunk_size": -1}, "chunk_size must be at least 0, got -1"),
    ],
)
def test_refuses_negative_sizes(sizes, match):
    with pytest.raises(ValueError, match=match):
        small(**sizes)


@pytest.mark.parametrize(
    ("chunk_size", "x", "state", "error", "match"),
    [
        (0, X, zeros(4), ValueError, r"\[batch, features\] with chunk_size=0"),
        (3, X[:, 0, 0], zeros(4), ValueError, r"\[batch, time, features\] with chunk_size=3"),
        (3, X, zeros(4, num_layers=3), ValueError, "each of the 2 layers, got 3"),
        (3, X.astype(np.float32), zeros(4), TypeError, r"See the argument dtype of initial_state"),
    ],
)
def test_errors(chunk_size, x, state, error, match, mode):
    core = small(chunk_size=chunk_size)
    with pytest.raises(error, match=match):
        mode.run(step(core), x, *state)


def test_does_not_keep_the_configuration_of_the_caller():
    config = dict(CONFIG)
    core = snt.nets.TransformerXL(config, 4, 3)
    assert config == CONFIG
    config["num_layers"] = 7
    assert len(core.state_size) == 2


@pytest.mark.parametrize("state", [None, np.zeros([2, 4, 8])])
@pytest.mark.parametrize("memory_size", [0, 4])
def test_refuses_what_is_no_state(memory_size, state, mode):
    core = small(memory_size)
    with pytest.raises(TypeError, match=r"must be as initial_state\(batch_size\) returns it"):
        mode.run(lambda x: core(x, state)[0], X[:, :3])
