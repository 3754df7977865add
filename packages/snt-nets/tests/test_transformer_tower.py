"""`nets.TransformerTower`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support import transformers as reference
from tests.support.modes import Mode

transformer = snt.nets.transformer
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=[2, 5, 8])


def small(**options):
    return snt.nets.TransformerTower(
        **{"value_size": 4, "num_heads": 2, "num_layers": 2, "mlp_hidden_sizes": (6,)} | options
    )


def memory(size, seed=1):
    return np.random.default_rng(seed).normal(size=[2, size, 8])


def compressed(old, new):
    return transformer.CompressedMemoryState(memory(new, 2), memory(old, 3), np.zeros([2, 1]))


def layer_shapes(relative=True, kinds=1, layer_norms=("", ""), attention=True):
    """The variables of a layer, in order of creation."""
    first, second = (
        ({"gamma": (8,), "beta": (8,)} if norm is not None else {}) for norm in layer_norms
    )
    shapes = {f"residual_dropout_wrapper/layer_norm/{k}": v for k, v in first.items()}
    projections = ["query", "key", "value"]
    if attention:
        shapes |= {f"multihead_attention/{name}/linear/w": (8, 8) for name in projections}
        if relative:
            shapes["multihead_attention/r_w_bias"] = (1, 2, 1, 4)
            for suffix in ["_0", ""] if kinds == 2 else [""]:
                shapes[f"multihead_attention/relative_keys{suffix}/linear/w"] = (8, 8)
                shapes[f"multihead_attention/r_r_bias{suffix}"] = (1, 2, 1, 4)
        shapes |= {"multihead_attention/linear/w": (8, 8), "multihead_attention/linear/b": (8,)}
    shapes |= {f"residual_dropout_wrapper_1/layer_norm/{k}": v for k, v in second.items()}
    shapes |= {"mlp/linear_0/w": (8, 6), "mlp/linear_0/b": (6,)}
    shapes |= {"mlp/linear_1/w": (6, 8), "mlp/linear_1/b": (8,)}
    return shapes


def shapes_of(module):
    prefix = f"{module.scope_name}/"
    return {
        v.name.removesuffix(":0").removeprefix(prefix): tuple(v.shape)
        for v in module.get_variables()
    }


STATES = {
    "none": (None, [[], []]),
    "memory": ([memory(3), memory(3, 4)], [[memory(3)], [memory(3, 4)]]),
    "memories of other sizes": ((memory(3), memory(6)), [[memory(3)], [memory(6)]]),
    "two memories": (
        [compressed(2, 3), compressed(2, 3)],
        [[memory(2, 3), memory(3, 2)]] * 2,
    ),
    "two memories of other sizes": (
        [compressed(2, 4), compressed(5, 1)],
        [[memory(2, 3), memory(4, 2)], [memory(5, 3), memory(1, 2)]],
    ),
}


@pytest.mark.parametrize(
    ("state", "relative", "clamp"),
    [
        *((state, relative, 0) for state in STATES for relative in (True, False)),
        ("two memories", True, 3),
        ("memory", False, 3),
    ],
)
def test_values_names_and_shapes(state, relative, clamp, mode):
    given, memories = STATES[state]
    tower = small(use_relative_positions=relative, clamp_time_range=clamp)

    def call(x):
        return tower(x, state=given, is_training=False)

    mode.run(call, X)
    kinds = len(memories[0]) or 1
    expected_shapes = {
        f"layer_{i}/{name}": shape
        for i in range(2)
        for name, shape in layer_shapes(relative, kinds).items()
    }
    assert list(shapes_of(tower).items()) == list(expected_shapes.items())
    weights = reference.weights_of(tower, mode)
    outputs, states = mode.run(call, X)
    expected, embeddings = reference.tower(X, memories, weights, 2, relative=relative, clamp=clamp)
    np.testing.assert_allclose(outputs, expected, 1e-8, 1e-8)
    assert [type(s) for s in states] == [transformer.AttentionState] * 2
    for state_i, embedding in zip(states, embeddings, strict=True):
        np.testing.assert_allclose(state_i.embeddings, embedding, 1e-8, 1e-8)


def test_has_16_variables_a_layer(mode):
    tower = small(num_layers=3)
    mode.run(tower, X)
    assert len(tower.get_variables()) == 48
    assert len(tower.variables) == 48


def test_output_size_and_condition(mode):
    tower = small(output_size=3)
    condition = RANDOM.normal(size=[2, 2])

    def call(x, condition):
        return tower(x, condition=condition, is_training=False)[0]

    mode.run(call, X[..., :6], condition)
    assert list(shapes_of(tower).items())[-1] == ("linear/w", (8, 3))
    assert tower.output_size == 3
    assert small().output_size == 8
    weights = reference.weights_of(tower, mode)
    x = np.concatenate([X[..., :6], np.repeat(condition[:, np.newaxis], 5, axis=1)], axis=-1)
    expected, _ = reference.tower(x, [[], []], weights, 2, relative=True)
    outputs = mode.run(call, X[..., :6], condition)
    np.testing.assert_allclose(outputs, expected, 1e-8, 1e-8)


def test_not_causal(mode):
    tower = small(causal=False, use_relative_positions=False)
    mode.run(lambda x: tower(x, is_training=False)[0], X)
    weights = reference.weights_of(tower, mode)
    expected, _ = reference.tower(X, [[], []], weights, 2, relative=False, causal=False)
    outputs = mode.run(lambda x: tower(x, is_training=False)[0], X)
    np.testing.assert_allclose(outputs, expected, 1e-8, 1e-8)


def test_same_attention_length(mode):
    tower = small(same_attention_length=True)
    state, memories = [memory(6), memory(6, 4)], [[memory(6)], [memory(6, 4)]]

    def call(x):
        return tower(x, state=state, is_training=False)

    mode.run(call, X)
    weights = reference.weights_of(tower, mode)
    outputs, states = mode.run(call, X)
    expected, _ = reference.tower(X, memories, weights, 2, relative=True, equal_window=True)
    np.testing.assert_allclose(outputs, expected, 1e-8, 1e-8)
    assert ((states[0].weights > 0).sum(-1) == 7).all()


@pytest.mark.parametrize(
    ("where", "norms"), [("input", (1, 1)), ("output", (1, 1)), ("none", (None, None))]
)
def test_layer_norm(where, norms, mode):
    tower = small(num_layers=1, layer_norm=where)
    mode.run(tower, X)
    expected = layer_shapes(layer_norms=norms)
    assert shapes_of(tower) == {f"layer_0/{name}": shape for name, shape in expected.items()}


def test_layer_norm_of_both(mode):
    tower = small(num_layers=1, layer_norm="both")
    mode.run(tower, X)
    norms = [name for name in shapes_of(tower) if name.endswith("gamma")]
    assert norms == [
        f"layer_0/residual_dropout_wrapper{i}/layer_norm{j}/gamma"
        for i in ("", "_1")
        for j in ("", "_1")
    ]


@pytest.mark.parametrize("num_layers", [1, 3])
def test_shared_attention(num_layers, mode):
    tower = small(num_layers=num_layers, shared_attention=True)

    def call(x):
        return tower(x, is_training=False)[0]

    mode.run(call, X)
    mode.run(call, X[:, :3])  # another mask, and other encodings
    assert shapes_of(tower) == {
        f"layer_{i}/{name}": shape
        for i in range(num_layers)
        for name, shape in layer_shapes(attention=i == 0).items()
    }
    weights = reference.weights_of(tower, mode)
    for i in range(1, num_layers):
        for name, value in reference.below(weights, "layer_0/multihead_attention").items():
            weights[f"layer_{i}/multihead_attention/{name}"] = value
    for x in (X, X[:, :3]):
        expected, _ = reference.tower(x, [[]] * num_layers, weights, 2, relative=True)
        np.testing.assert_allclose(mode.run(call, x), expected, 1e-8, 1e-8)
    assert tower.attention_module(num_layers - 1) is tower.attention_module(0)


@pytest.mark.parametrize("num_layers", [1, 4])
def test_starts_with_a_scale_by_depth(num_layers):
    tower = snt.nets.TransformerTower(64, 4, num_layers, mlp_hidden_sizes=(300,))
    tower(tf.ones([1, 2, 256]))
    stddev = np.sqrt(2 / np.sqrt(num_layers) / 256)
    for name in ("query/linear/w", "value/linear/w", "mlp/linear_0/w"):
        w = next(v for v in tower.variables if v.name.endswith(f"{name}:0"))
        assert abs(w.numpy().std() / stddev - 1) < 0.03, name


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("state", ["none", "two memories"])
def test_the_future_does_not_leak(relative, state, mode):
    tower = small(use_relative_positions=relative)
    given, _ = STATES[state]

    def call(x):
        return tower(x, state=given, is_training=False)[0]

    mode.run(call, X)
    reference.weights_of(tower, mode)
    outputs = mode.run(call, X)
    for step in (1, 4):
        changed = X.copy()
        changed[:, step:] += 10 * RANDOM.normal(size=changed[:, step:].shape)
        others = mode.run(call, changed)
        np.testing.assert_array_equal(others[:, :step], outputs[:, :step])
        assert (others[:, step] != outputs[:, step]).all()


def test_dropout_is_on_unless_told(mode):
    tower = small(dropout_rate=0.5)
    flags = [{}, {"is_training": True}, {"is_training": False}, {"is_training": False}]
    default, on, off, again = mode.run(lambda x: [tower(x, **f)[0] for f in flags], X)
    np.testing.assert_array_equal(off, again)
    assert (default != off).any()
    assert (on != off).any()


def test_the_flag_may_be_a_tensor(mode):
    tower = small(dropout_rate=0.5)

    def call(x, flag):
        return tower(x, is_training=flag)[0], tower(x, is_training=False)[0]

    dropped, kept = mode.run(call, X, np.array(True))
    assert (dropped != kept).any()
    same, kept = mode.run(call, X, np.array(False))
    np.testing.assert_array_equal(same, kept)


def test_gradients_reach_all_variables(mode):
    tower = small(output_size=3)
    inputs = tf.constant(X)
    state = [compressed(2, 3)] * 2
    mode.run(lambda: tower(inputs, state=state)[0])
    gradients = mode.gradients(
        lambda: tf.reduce_sum(tf.sin(tower(inputs, state=state)[0])), lambda: tower.variables
    )
    assert len(gradients) == 2 * 18 + 1
    assert all((g != 0).any() for g in gradients)


def test_one_tower_takes_chunks_of_any_length(mode):
    tower = small()
    mode.run(lambda x: tower(x, is_training=False)[0], X)
    weights = reference.weights_of(tower, mode)
    for x in (X[:1], X[:, :2], np.concatenate([X, X], axis=1)):
        expected, _ = reference.tower(x, [[], []], weights, 2, relative=True)
        outputs = mode.run(lambda x: tower(x, is_training=False)[0], x)
        np.testing.assert_allclose(outputs, expected, 1e-8, 1e-8)


def test_a_chunk_with_memory_equals_the_whole_in_one_layer(mode):
    tower = small(num_layers=1)
    mode.run(lambda x: tower(x, is_training=False)[0], X)
    reference.weights_of(tower, mode)
    whole, [state] = mode.run(lambda x: tower(x, is_training=False), X)
    part, _ = mode.run(
        lambda x: tower(x, state=[tf.constant(state.embeddings[:, :3])], is_training=False),
        X[:, 3:],
    )
    np.testing.assert_allclose(part, whole[:, 3:], 1e-8, 1e-8)


def test_sublayers_and_attention_modules(mode):
    tower = small(num_layers=3)
    mode.run(tower, X)
    names = [tower.attention_module(i).scope_name for i in range(3)]
    assert names == [f"transformer_tower/layer_{i}/multihead_attention" for i in range(3)]
    sublayers = tower.get_sublayers(is_training=False)
    assert [[s.scope_name.rpartition("/")[2] for s in pair] for pair in sublayers] == [
        ["residual_dropout_wrapper", "residual_dropout_wrapper_1"]
    ] * 3


@pytest.mark.parametrize(
    ("options", "x", "arguments", "error", "match"),
    [
        ({}, X[0], {}, ValueError, "inputs must be of rank 3"),
        ({}, X[..., :7], {}, ValueError, "value_size . num_heads = 8 features"),
        (
            {"value_size": 3, "num_heads": 3},
            np.ones([2, 4, 9]),
            {},
            ValueError,
            "position embedding dimension 10 .* 9, which must be even",
        ),
        ({}, X, {"state": memory(3)}, TypeError, "one entry for each of the 2 layers"),
        ({}, X, {"state": compressed(2, 3)}, TypeError, "one entry for each of the 2 layers"),
        ({}, X, {"state": [memory(3)]}, ValueError, "each of the 2 layers, got 1"),
        ({}, X, {"state": [memory(3), compressed(2, 3)]}, ValueError, "must be of one kind"),
        (
            {},
            X,
            {"state": [memory(3).astype(np.float32)] * 2},
            TypeError,
            r"dtype of the input, float64, got \['float32'\]",
        ),
        ({}, X, {"is_training": "yes"}, TypeError, "is_training must be a boolean"),
    ],
)
def test_errors(options, x, arguments, error, match, mode):
    tower = small(**options)
    with pytest.raises(error, match=match):
        mode.run(lambda x: tower(x, **arguments)[0], x)


def test_needs_layers_and_known_lengths():
    with pytest.raises(ValueError, match="num_layers must be positive, got 0"):
        small(num_layers=0)
    function = tf.function(small(), input_signature=[tf.TensorSpec([2, None, 8])])
    with pytest.raises(ValueError, match=r"number of time steps of the input must be known"):
        function.get_concrete_function()


def test_float16_keeps_statistics_in_float32(mode):
    tower = small()
    outputs = mode.run(lambda x: tower(x, is_training=False)[0], X.astype(np.float16))
    assert outputs.dtype == np.float16
    assert np.isfinite(outputs).all()
    for variable in tower.variables:
        expected = tf.float32 if "layer_norm" in variable.name else tf.float16
        assert variable.dtype.base_dtype == expected, variable.name


def test_serves_a_second_trace_and_eager_calls_after_the_first():
    tf1.reset_default_graph()
    tower = small(shared_attention=True)
    traced = tf.function(lambda x: tower(x, is_training=False)[0])
    for x in (X, X[:, :3], X):
        np.testing.assert_allclose(traced(x), tower(x, is_training=False)[0], 1e-8, 1e-8)
    mode = Mode("eager")
    assert mode.values(tower.attention_module(0).multihead_linear(X, "query")).shape == (2, 2, 5, 4)
