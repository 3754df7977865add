"""`nets.CompressiveTransformer`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support import transformers as reference

transformer = snt.nets.transformer
CONFIG = {"value_size": 4, "num_heads": 2, "num_layers": 2, "mlp_hidden_sizes": (6,)}
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=[2, 12, 3])


def small(em=5, cm=4, chunk_size=3, config=None, **options):
    return snt.nets.CompressiveTransformer(
        {**CONFIG, **(config or {})}, chunk_size, em, cm, **options
    )


def zeros(em=5, cm=4, num_layers=2, batch_size=2):
    return tuple(
        transformer.CompressedMemoryState(
            *(np.zeros([batch_size, *shape]) for shape in ([em, 8], [cm, 8], [1]))
        )
        for _ in range(num_layers)
    )


def step(core, is_training=False):
    """Returns a function of the inputs and the flat state."""

    def call(x, *flat):
        state = tf.nest.pack_sequence_as(core.state_size, list(flat))
        outputs, next_state = core(x, state, is_training=is_training)
        return outputs, next_state, core.auxiliary_loss

    return call


def run(mode, core, x, state, **options):
    return mode.run(step(core, **options), x, *tf.nest.flatten(state))


def unroll(mode, core, x, lengths, state):
    """Reads chunks of these lengths one after the other; returns what each call returned."""

    def call(x, *flat):
        state, results, start = tf.nest.pack_sequence_as(core.state_size, list(flat)), [], 0
        for length in lengths:
            outputs, state = core(x[:, start : start + length], state, is_training=False)
            results.append((outputs, state, core.auxiliary_loss))
            start += length
        return results

    return mode.run(call, x, *tf.nest.flatten(state))


def expected_step(x, state, weights, rate, compressor, kernel_size=0):
    """Returns outputs, next state and loss; `compressor(memory, layer, attention)` compresses."""
    num_steps = x.shape[1]
    hidden = reference.mlp(x, weights, "mlp", activate_final=True)
    memories = [[s.compressed_memory, s.episodic_memory] for s in state]
    tower = reference.below(weights, "transformer_tower")
    outputs, embeddings = reference.tower(hidden, memories, tower, 2, relative=True)
    next_state, losses = [], []
    for i, (memory, embedding) in enumerate(zip(state, embeddings, strict=True)):
        em, cm = memory.episodic_memory.shape[1], memory.compressed_memory.shape[1]
        steps = np.concatenate([memory.episodic_memory, embedding], axis=1)
        compressed, loss = memory.compressed_memory, 0.0
        if num_steps > 1 or memory.index[0, 0] % rate == rate - 1:
            oldest = steps[:, : min(max(rate + kernel_size, num_steps), num_steps + em - 1)]
            made, loss = compressor(oldest, i, embedding)
            compressed = np.concatenate([compressed, made], axis=1)
            compressed = compressed[:, compressed.shape[1] - cm :]
        losses.append(loss)
        next_state.append(
            transformer.CompressedMemoryState(
                steps[:, steps.shape[1] - em :], compressed, memory.index + 1
            )
        )
    return outputs, tuple(next_state), np.mean(losses)


def conv_compressor(weights, rate, kernel_size=0):
    def compress(memory, layer, embedding):
        suffix = f"_{layer}" if layer else ""
        w = weights[f"conv_compressor{suffix}/conv_1d/w"]
        window = rate + kernel_size
        starts = range(0, memory.shape[1] - window + 1, rate)
        made = np.stack([sum(memory[:, s + k] @ w[k] for k in range(window)) for s in starts], 1)
        attention = reference.below(weights, f"transformer_tower/layer_{layer}/multihead_attention")
        queries = reference.heads(embedding, attention["query/linear/w"], 2) / 2
        reads = []
        for content in (memory, made):
            keys = reference.heads(content, attention["key/linear/w"], 2)
            values = reference.heads(content, attention["value/linear/w"], 2)
            reads.append(reference.softmax(queries @ np.swapaxes(keys, 2, 3)) @ values)
        return made, np.mean((reads[0] - reads[1]) ** 2)

    return compress


def assert_close(actual, expected):
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-7, 1e-7), actual, expected
    )


@pytest.mark.parametrize(
    ("rate", "kernel_size", "lengths"),
    [(2, 0, (3, 4, 2)), (3, 1, (6, 2, 1, 1)), (2, 0, (1,) * 4)],
)
def test_values_over_chunks(rate, kernel_size, lengths, mode):
    core = small(compression_rate=rate, compression_config={"kernel_size": kernel_size})
    run(mode, core, X[:, : lengths[0]], zeros())
    weights = reference.weights_of(core, mode)
    assert sum("conv_compressor" in name for name in weights) == 2
    results = unroll(mode, core, X, lengths, zeros())
    expected_state, start = zeros(), 0
    for length, (outputs, state, loss) in zip(lengths, results, strict=True):
        chunk = X[:, start : start + length]
        start += length
        expected, expected_state, expected_loss = expected_step(
            chunk,
            expected_state,
            weights,
            rate,
            conv_compressor(weights, rate, kernel_size),
            kernel_size,
        )
        assert_close(outputs, expected)
        assert_close(loss, expected_loss)
        tf.nest.assert_same_structure(state, expected_state)
        assert_close(state, expected_state)
    assert (state[0].index == len(lengths)).all()


@pytest.mark.parametrize(("pooling", "reduce"), [("AVG", np.mean), ("MAX", np.max)])
def test_values_with_pooling(pooling, reduce, mode):
    core = small(
        compression_rate=3,
        compression_ctor=transformer.PoolCompressor,
        compression_config={"pooling": pooling},
    )
    run(mode, core, X[:, :4], zeros())
    weights = reference.weights_of(core, mode)
    assert not any("compressor" in name for name in weights)

    def compress(memory, layer, embedding):
        starts = range(0, memory.shape[1] - 2, 3)
        return np.stack([reduce(memory[:, s : s + 3], axis=1) for s in starts], axis=1), 0.0

    expected_state = zeros()
    for i, (outputs, state, loss) in enumerate(unroll(mode, core, X, (4, 4, 4), zeros())):
        chunk = X[:, 4 * i : 4 * i + 4]
        expected, expected_state, _ = expected_step(chunk, expected_state, weights, 3, compress)
        assert_close(outputs, expected)
        assert_close(state, expected_state)
        assert loss == 0


def test_names_and_shapes(mode):
    core = small(config={"num_layers": 3}, compression_config={"dilation_rates": [1, 2]})
    run(mode, core, X[:, :3], zeros(num_layers=3))
    names = [v.name.removeprefix("compressive_transformer/") for v in core.get_variables()]
    assert names[:3] == [
        "mlp/linear_0/w:0",
        "mlp/linear_0/b:0",
        "transformer_tower/layer_0/residual_dropout_wrapper/layer_norm/gamma:0",
    ]
    attention = "transformer_tower/layer_1/multihead_attention/"
    assert [n.removeprefix(attention) for n in names if n.startswith(attention)] == [
        f"{name}:0"
        for name in (
            "query/linear/w",
            "key/linear/w",
            "value/linear/w",
            "r_w_bias",
            "relative_keys_0/linear/w",
            "r_r_bias_0",
            "relative_keys/linear/w",
            "r_r_bias",
            "linear/w",
            "linear/b",
        )
    ]
    compressors = {
        v.name.removeprefix("compressive_transformer/"): tuple(v.shape)
        for v in core.get_variables()[-9:]
    }
    assert compressors == {
        f"conv_compressor{i}/{conv}/w:0": (2, 8, 8)
        for i in ("", "_1", "_2")
        for conv in ("conv_rate_1", "conv_rate_2", "conv_1d")
    }


def test_makes_the_variables_of_compressors_in_the_first_step(mode):
    core = small(chunk_size=0, compression_rate=3)
    state = zeros()
    _, state, _ = run(mode, core, X[:, 0], state)
    names = [v.name for v in core.variables]
    assert sum("conv_compressor" in name for name in names) == 2
    for t in range(1, 4):
        _, state, _ = run(mode, core, X[:, t], state)
    assert [v.name for v in core.variables] == names


@pytest.mark.parametrize("unknown_batch", [False, True])
@pytest.mark.parametrize("time_major", [False, True])
def test_dynamic_rnn(time_major, unknown_batch, mode):
    core = small(chunk_size=0, config={"dropout_rate": 0.0})

    def unroll(x):
        return tf1.nn.dynamic_rnn(core, x, dtype=tf.float64, time_major=time_major)

    x = np.swapaxes(X[:, :6], 0, 1) if time_major else X[:, :6]
    mode.run(unroll, x)
    weights = reference.weights_of(core, mode)
    outputs, state = mode.run(unroll, x, unknown_batch=unknown_batch and not time_major)
    expected, expected_state = [], zeros()
    for t in range(6):
        output, expected_state, _ = expected_step(
            X[:, t : t + 1], expected_state, weights, 2, conv_compressor(weights, 2)
        )
        expected.append(output[:, 0])
    assert_close(outputs, np.stack(expected, 0 if time_major else 1))
    assert_close(state, expected_state)
    assert np.abs(state[0].compressed_memory[:, -3:]).sum() > 0


# The loss.


def test_collects_one_loss_for_each_connection_in_training():
    with tf.Graph().as_default(), tf1.Session() as session:
        core = small(config={"dropout_rate": 0.0})
        inputs = tf.constant(X[:, :3])
        for is_training, expected in [(False, 0), (True, 1), (True, 2)]:
            core(inputs, core.initial_state(2, tf.float64), is_training=is_training)
            assert len(tf1.get_collection("auxiliary_losses")) == expected
        flag = tf1.placeholder_with_default(True, [])
        state = tf.nest.map_structure(tf.ones_like, core.initial_state(2, tf.float64))
        core(inputs, state, is_training=flag)
        session.run(tf1.global_variables_initializer())
        *nothing, last = tf1.get_collection("auxiliary_losses")
        assert session.run(nothing) == [0, 0]  # of a state of zeros
        loss = session.run(last)
        assert loss > 0
        assert loss == session.run(core.auxiliary_loss)
        assert session.run(last, {flag: False}) == 0


def test_collects_nothing_eagerly():
    tf1.reset_default_graph()
    core = small()
    with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
        _ = core.auxiliary_loss
    core(tf.constant(X[:, :3]), core.initial_state(2, tf.float64))
    assert tf1.get_default_graph().get_collection("auxiliary_losses") == []
    assert core.auxiliary_loss.numpy() == 0
    assert core.stats is None


@pytest.mark.parametrize("loss", ["mha", "ae"])
def test_the_loss_trains_the_compressors_only(loss, mode):
    core = small(compression_config={"loss": loss})
    state = tf.nest.map_structure(lambda s: RANDOM.normal(size=s.shape), zeros())
    flat = [tf.constant(s) for s in tf.nest.flatten(state)]
    run(mode, core, X[:, :3], state)

    def loss_value():
        return step(core)(tf.constant(X[:, :3]), *flat)[2]

    trained = [v for v in core.variables if "conv_compressor" in v.name]
    others = [v for v in core.variables if "conv_compressor" not in v.name]
    assert all((g != 0).any() for g in mode.gradients(loss_value, lambda: trained))

    def gradients():
        if mode.in_graph:
            return tf1.gradients(loss_value(), others)
        with tf.GradientTape() as tape:
            value = loss_value()
        return tape.gradient(value, others)

    if mode.name == "function":
        gradients = tf.function(gradients, autograph=False)
    assert gradients() == [None] * len(others)


def test_the_loss_is_there_in_a_function():
    tf1.reset_default_graph()
    core = small()

    @tf.function(autograph=False)
    def train(x):
        _, state = core(x, core.initial_state(2, tf.float64))
        _, state = core(x, state)
        return core.auxiliary_loss

    assert train(X[:, :6]).numpy() > 0


# Statistics.


def test_statistics_add_up(mode):
    core = small(export_stats=True)
    state = tf.nest.map_structure(lambda s: RANDOM.normal(size=s.shape), zeros())

    def call(x, *flat):
        step(core)(x, *flat)
        return dict(core.stats)

    stats = mode.run(call, X[:, :3], *tf.nest.flatten(state))
    parts = [f"{kind}_p{i}" for kind in ("cm", "em", "seq") for i in range(6)]
    layers = [f"{name}_l{i:02}" for name in (*parts, "compression_loss") for i in range(2)]
    assert set(stats) == {*parts, *layers}
    for suffix in ("", "_l00", "_l01"):
        np.testing.assert_allclose(sum(stats[part + suffix] for part in parts), 1, 1e-10)
    for part in parts:
        mean = (stats[f"{part}_l00"] + stats[f"{part}_l01"]) / 2
        np.testing.assert_allclose(stats[part], mean, 1e-10)
    # 4 steps of compressed memory leave the last 2 of the 6 parts empty.
    assert [stats[f"cm_p{i}"] > 0 for i in range(6)] == [True] * 4 + [False] * 2


def test_statistics_are_collected_and_made_on_demand_only():
    counts = []
    for export_stats in (False, True):
        with tf.Graph().as_default() as graph:
            core = small(export_stats=export_stats)
            core(tf.constant(X[:, :3]), core.initial_state(2, tf.float64), is_training=False)
            counts.append(len(graph.get_operations()))
            assert tf1.get_collection("stats_export") == ([core.stats] if export_stats else [])
    assert counts[0] < counts[1]


# Sizes and errors.


def test_sizes():
    core = small(config={"output_size": 7})
    assert core.output_size == tf.TensorShape([3, 7])
    assert (
        core.state_size
        == (
            transformer.CompressedMemoryState(
                tf.TensorShape([5, 8]), tf.TensorShape([4, 8]), tf.TensorShape([1])
            ),
        )
        * 2
    )
    assert small(chunk_size=0).output_size == tf.TensorShape([8])


@pytest.mark.parametrize("length", [1, 3])
def test_without_compressed_memory_it_is_a_transformer_xl(length, mode):
    core = small(cm=0)
    for _, state, _ in unroll(mode, core, X, (length,) * 3, zeros(cm=0)):
        assert state[0].compressed_memory.shape == (2, 0, 8)
    xl = snt.nets.TransformerXL(CONFIG, memory_size=5, chunk_size=3)
    mode.run(lambda x, *s: xl(x, list(s), is_training=False), X[:, :3], *[np.zeros([2, 5, 8])] * 2)
    values = {v.name.partition("/")[2]: mode.values(v) for v in core.variables}
    for variable in xl.variables:
        mode.assign(variable, values[variable.name.partition("/")[2]])
    memory = RANDOM.normal(size=[2, 5, 8])
    expected, _ = mode.run(
        lambda x, *s: xl(x, list(s), is_training=False), X[:, :3], memory, memory
    )
    state = tuple(s._replace(episodic_memory=memory) for s in zeros(cm=0))
    assert_close(run(mode, core, X[:, :3], state)[0], expected)


def test_a_state_that_is_learnt(mode):
    core = small(config={"dropout_rate": 0.0})

    def build(x):
        state = core.initial_state(tf.shape(x)[0], x.dtype, trainable=True)
        outputs, next_state = core(x, state, is_training=False)
        tf.nest.assert_same_structure(state, next_state)
        return outputs, state

    model = snt.Module(build, name="model")
    for x in (X[:, :3], np.concatenate([X, X])[:, :3]):
        outputs, state = mode.run(model, x, unknown_batch=True)
        assert outputs.shape == (len(x), 3, 8)
        assert [tuple(part.shape for part in layer) for layer in state] == [
            ((len(x), 5, 8), (len(x), 4, 8), (len(x), 1))
        ] * 2
    learnt = model.get_variables()
    assert [v.name for v in learnt] == [
        f"model/compressive_transformer_initial_state_{i}/w:0" for i in range(6)
    ]
    memories = [v for v in learnt if len(v.shape) == 3]
    gradients = mode.gradients(
        lambda: tf.reduce_sum(tf.sin(model(tf.constant(X[:, :3]))[0])), lambda: memories
    )
    assert [g.shape for g in gradients] == [(1, 5, 8), (1, 4, 8)] * 2
    assert all((g != 0).any() for g in gradients)


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ({"em": 0}, "episodic_memory_size must be at least 1, got 0"),
        ({"cm": -1}, "compressed_memory_size must be at least 0, got -1"),
        ({"chunk_size": -1}, "chunk_size must be at least 0, got -1"),
        ({"compression_rate": 0}, "compression_rate must be at least 1, got 0"),
    ],
)
def test_refuses_bad_sizes(sizes, match):
    with pytest.raises(ValueError, match=match):
        small(**sizes)


def test_too_little_to_compress(mode):
    core = small(em=2, compression_rate=4)
    with pytest.raises(ValueError, match=r"cannot compress 3 steps of memory"):
        run(mode, core, X[:, :2], zeros(em=2))


def test_gives_the_compressors_their_configuration():
    given = []

    class Compressor(transformer.PoolCompressor):
        def __init__(self, **options):
            given.append(options)
            super().__init__(**options)

    config = {"pooling": "MAX"}
    small(compression_ctor=Compressor, compression_config=config, compression_rate=3)
    assert config == {"pooling": "MAX"}
    assert (
        given
        == [
            {
                "pooling": "MAX",
                "compression_rate": 3,
                "episodic_memory_size": 5,
                "compressed_memory_size": 4,
            }
        ]
        * 2
    )


@pytest.mark.parametrize("state", [None, [np.zeros([2, 5, 8])] * 2, np.zeros([2, 5, 8])])
def test_refuses_what_is_no_state(state, mode):
    core = small()
    with pytest.raises(TypeError, match=r"must be as initial_state\(batch_size\) returns it"):
        mode.run(lambda x: core(x, state)[0], X[:, :3])
