"""`RelationalMemory`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import given, settings
from hypothesis import strategies as st

import sonnet as snt
from tests.support.transformers import layer_norm, mlp, softmax, weights_of
from tests.support.unrolls import (
    by_dynamic_rnn,
    check_gradients,
    check_unrolls,
    old_control_flow,
)
from tests.support.variables import names

RNG = np.random.default_rng(0)


def array(*shape, dtype="float64"):
    return RNG.normal(size=shape).astype(dtype)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def linear(x, weights, scope):
    return x @ weights[f"{scope}/w"] + weights[f"{scope}/b"]


def numbered(name, number):
    return f"{name}_{number}" if number else name


def reference(rows, memory, weights, num_heads, sizes, num_blocks=1, biases=(0, 1)):
    """A step on `rows` `[batch, rows, features]`, head by head, from the definition."""
    key_size, value_size = sizes
    slots = memory.shape[1]
    rows = linear(rows, weights, "linear")
    x = np.concatenate([memory, rows], axis=1)
    for k in range(num_blocks):
        norms = [numbered("layer_norm", 3 * k + i) for i in range(3)]
        qkv = layer_norm(linear(x, weights, f"linear_{k + 1}"), weights, norms[0])
        read = []
        for head in np.split(qkv, num_heads, axis=-1):
            q, key, v = np.split(head, [key_size, 2 * key_size], axis=-1)
            assert v.shape[-1] == value_size
            scores = np.einsum("bik,bjk->bij", q, key) / np.sqrt(key_size)
            read.append(np.einsum("bij,bjv->biv", softmax(scores), v))
        x = layer_norm(x + np.concatenate(read, axis=-1), weights, norms[1])
        x = layer_norm(x + mlp(x, weights, "mlp"), weights, norms[2])
    new = x[:, :slots]
    if f"linear_{num_blocks + 1}/w" in weights:
        flat = np.concatenate(np.moveaxis(rows, 1, 0), axis=-1)
        gates = linear(flat, weights, f"linear_{num_blocks + 1}")[:, None]
        gates = gates + linear(np.tanh(memory), weights, f"linear_{num_blocks + 2}")
        input_gate, forget_gate = np.split(gates, 2, axis=-1)
        new = sigmoid(input_gate + biases[0]) * np.tanh(new)
        new = new + sigmoid(forget_gate + biases[1]) * memory
    return np.concatenate(np.moveaxis(new, 1, 0), axis=-1), new


@pytest.mark.parametrize("gate_style", ["unit", "memory", None])
@pytest.mark.parametrize("as_matrix", [False, True], ids=["row", "matrix"])
def test_computes_the_definition(gate_style, as_matrix, mode):
    core = snt.RelationalMemory(
        3,
        head_size=4,
        num_heads=2,
        num_blocks=2,
        forget_bias=0.5,
        input_bias=-0.3,
        gate_style=gate_style,
        attention_mlp_layers=3,
        key_size=5,
    )
    x, memory = array(2, 3, 2, 2), array(2, 3, 8)

    def connect(x, memory):
        return core(x, memory, treat_input_as_matrix=as_matrix)

    mode.run(connect, x, memory, unknown_batch=True)
    weights = weights_of(core, mode)
    output, next_memory = mode.run(connect, x, memory, unknown_batch=True)
    rows = x.reshape([2, 3, 4] if as_matrix else [2, 1, 12])
    expected = reference(rows, memory, weights, 2, (5, 4), 2, (-0.3, 0.5))
    np.testing.assert_allclose(output, expected[0], 1e-9, 1e-9)
    np.testing.assert_allclose(next_memory, expected[1], 1e-9, 1e-9)


@settings(max_examples=8, deadline=None)
@given(
    batch=st.integers(0, 3),
    slots=st.integers(1, 3),
    head_size=st.integers(1, 4),
    num_heads=st.integers(1, 3),
    num_blocks=st.integers(1, 3),
    key_size=st.none() | st.integers(1, 4),
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
)
def test_sizes(batch, slots, head_size, num_heads, num_blocks, key_size, shape):
    tf1.reset_default_graph()
    core = snt.RelationalMemory(slots, head_size, num_heads, num_blocks, key_size=key_size)
    x, memory = array(batch, *shape), array(batch, slots, head_size * num_heads)
    output, next_memory = core(tf.constant(x), tf.constant(memory))
    weights = {v.name.removeprefix(f"{core.scope_name}/")[:-2]: v.numpy() for v in core.variables}
    sizes = (key_size or head_size, head_size)
    rows = x.reshape([batch, 1, int(np.prod(shape))])
    expected = reference(rows, memory, weights, num_heads, sizes, num_blocks)
    np.testing.assert_allclose(output, expected[0], 1e-6, 1e-6)
    np.testing.assert_allclose(next_memory, expected[1], 1e-6, 1e-6)
    assert core.output_size == output.shape[1:]
    assert core.state_size == next_memory.shape[1:]


@pytest.mark.parametrize(("gate_style", "units"), [("unit", 6), ("memory", 1)])
def test_variables(gate_style, units, mode):
    core = snt.RelationalMemory(4, 3, 2, num_blocks=2, gate_style=gate_style, key_size=5)
    mode.run(core, array(2, 7), array(2, 4, 6))
    shapes = {
        name: tuple(v.shape) for name, v in zip(names(core.variables), core.variables, strict=True)
    }
    norms = {"": 26, "_1": 6, "_2": 6, "_3": 26, "_4": 6, "_5": 6}
    linears = {
        "linear": (7, 6),
        "linear_1": (6, 26),
        "linear_2": (6, 26),
        "linear_3": (6, 2 * units),
        "linear_4": (6, 2 * units),
        "mlp/linear_0": (6, 6),
        "mlp/linear_1": (6, 6),
    }
    expected = {}
    for number, size in norms.items():
        expected[f"layer_norm{number}/gamma"] = expected[f"layer_norm{number}/beta"] = (size,)
    for name, shape in linears.items():
        expected[f"{name}/w"], expected[f"{name}/b"] = shape, shape[1:]
    assert shapes == {f"relational_memory/{name}": shape for name, shape in expected.items()}
    assert len(core.get_variables()) == len(shapes)
    mode.run(core, array(3, 7), array(3, 4, 6))
    assert len(core.variables) == len(shapes)


def test_the_gates_of_a_matrix_see_all_rows(mode):
    core = snt.RelationalMemory(2, 3)
    mode.run(lambda x, m: core(x, m, treat_input_as_matrix=True), array(2, 4, 5), array(2, 2, 3))
    shapes = {v.name: v.shape.as_list() for v in core.variables}
    assert shapes["relational_memory/linear_2/w:0"] == [4 * 3, 6]


@pytest.mark.parametrize("slots", [2, 3, 5])
def test_initial_state_is_the_identity(slots, mode):
    core = snt.RelationalMemory(slots, 3)
    expected = np.zeros([4, slots, 3])
    for i in range(min(slots, 3)):
        expected[:, i, i] = 1
    state = core.initial_state(4)
    assert state.dtype == tf.float32
    np.testing.assert_array_equal(mode.values(state), expected)
    state = mode.run(
        lambda n: core.initial_state(n, dtype=tf.float64, trainable=False), np.int32(4)
    )
    assert state.dtype == np.float64
    np.testing.assert_array_equal(state, expected)
    np.testing.assert_array_equal(mode.values(core.zero_state(4, tf.float32)), 0 * expected)


def test_initial_state_can_be_learnt(mode):
    core = snt.RelationalMemory(2, 3, name="core")
    with mode_variables() as made:
        state = core.initial_state(4, True)
        ones = core.initial_state(
            4,
            dtype=tf.float64,
            trainable=True,
            trainable_initializers=tf1.ones_initializer(),
            name="ones",
        )
    np.testing.assert_array_equal(mode.values(state), np.tile(np.eye(2, 3), [4, 1, 1]))
    np.testing.assert_array_equal(mode.values(ones), np.ones([4, 2, 3]))
    assert [v.name for v in made] == ["core_initial_state_0/w:0", "ones_0/w:0"]


def mode_variables():
    """Sees the variables that are made inside."""
    made = []

    def create(next_creator, **kwargs):
        made.append(next_creator(**kwargs))
        return made[-1]

    class Context:
        def __enter__(self):
            self.scope = tf1.variable_creator_scope(create)
            self.scope.__enter__()
            return made

        def __exit__(self, *error):
            self.scope.__exit__(*error)

    return Context()


def test_initial_state_wants_its_second_argument_to_be_a_boolean():
    with pytest.raises(TypeError, match="Give the type as dtype="):
        snt.RelationalMemory(2, 3).initial_state(4, tf.float32)


def test_in_loops(mode):
    core = snt.RelationalMemory(3, 4, 2)
    x = array(2, 3, 5)
    check_unrolls(core, x, mode, 1e-9)
    weights = weights_of(core, mode, scale=0.2)
    outputs, state = mode.run(
        lambda x: by_dynamic_rnn(core, x, core.initial_state(2, dtype=x.dtype)), x
    )
    memory = np.tile(np.eye(3, 8), [2, 1, 1])
    for t in range(3):
        expected, memory = reference(x[:, t : t + 1], memory, weights, 2, (4, 4))
        np.testing.assert_allclose(outputs[:, t], expected, 1e-9, 1e-9)
    np.testing.assert_allclose(state, memory, 1e-9, 1e-9)


def test_in_the_loops_of_tensorflow_1():
    with old_control_flow() as mode:
        check_unrolls(snt.RelationalMemory(2, 3, gate_style="memory"), array(2, 3, 4), mode, 1e-9)


def test_in_a_deep_rnn(mode):
    deep = snt.DeepRNN([snt.RelationalMemory(2, 3), snt.GRU(4)], skip_connections=False)

    def unroll(x):
        return by_dynamic_rnn(deep, x, deep.initial_state(2, dtype=x.dtype, trainable=False))

    outputs, (memory, _) = mode.run(unroll, array(2, 3, 5))
    assert outputs.shape == (2, 3, 4)
    assert memory.shape == (2, 2, 3)


def test_extreme_biases_keep_the_memory(mode):
    core = snt.RelationalMemory(2, 3, forget_bias=float("inf"), input_bias=float("-inf"))
    memory = array(4, 2, 3)
    output, next_memory = mode.run(core, array(4, 5), memory)
    np.testing.assert_array_equal(next_memory, memory)
    np.testing.assert_array_equal(output, memory.reshape([4, 6]))


def test_from_zeros_all_slots_stay_the_same(mode):
    core = snt.RelationalMemory(3, 2)
    x = array(2, 4, 5)
    _, state = mode.run(lambda x: tf1.nn.dynamic_rnn(core, x, dtype=x.dtype), x)
    np.testing.assert_allclose(state, np.repeat(state[:, :1], 3, axis=1), 1e-9)


def test_gates(mode):
    core = snt.RelationalMemory(2, 3, gate_style="memory", input_bias=-0.5)
    for name in ("input_gate", "forget_gate"):
        with pytest.raises(snt.NotConnectedError):
            getattr(core, name)

    def connect(x, memory):
        core(x, memory)
        return core.input_gate, core.forget_gate

    x, memory = array(4, 5), array(4, 2, 3)
    mode.run(connect, x, memory)
    weights = weights_of(core, mode)
    input_gate, forget_gate = mode.run(connect, x, memory)
    row = linear(x, weights, "linear")
    gates = linear(row, weights, "linear_2")[:, None]
    gates = gates + linear(np.tanh(memory), weights, "linear_3")
    np.testing.assert_allclose(input_gate, sigmoid(gates[..., :1] - 0.5), 1e-9)
    np.testing.assert_allclose(forget_gate, sigmoid(gates[..., 1:] + 1), 1e-9)


def test_without_gates_there_is_no_gate(mode):
    core = snt.RelationalMemory(2, 3, gate_style=None)
    mode.run(core, array(4, 5), array(4, 2, 3))
    assert not [v for v in core.variables if "linear_2" in v.name]
    for name in ("input_gate", "forget_gate"):
        with pytest.raises(AttributeError, match="gate_style=None"):
            getattr(core, name)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_blocks": 0}, "num_blocks must be >= 1"),
        ({"gate_style": "row"}, "gate_style must be one of"),
        ({"attention_mlp_layers": 0}, "attention_mlp_layers must be >= 1"),
    ],
)
def test_arguments_are_checked(options, match):
    with pytest.raises(ValueError, match=match):
        snt.RelationalMemory(2, 3, **options)


def test_gradients(mode):
    """Against finite differences in double precision, through two steps in a loop."""
    core = snt.RelationalMemory(2, 3, num_heads=2)
    x, weight = array(2, 2, 3), array(2, 2, 12)

    def loss():
        memory = core.initial_state(2, dtype=tf.float64)
        outputs, _ = tf1.nn.dynamic_rnn(core, tf.constant(x), initial_state=memory)
        return tf.reduce_sum(outputs * weight)

    mode.run(loss)
    weights_of(core, mode)
    check_gradients(loss, list(core.variables), mode)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_of_16_bits(dtype, mode):
    core = snt.RelationalMemory(2, 3)
    x = tf.cast(array(2, 5), dtype)
    output, memory = mode.run(lambda: core(tf.cast(x, dtype), core.initial_state(2, dtype=dtype)))
    assert output.dtype == memory.dtype == tf.as_dtype(dtype).as_numpy_dtype
    assert np.isfinite(memory.astype("float32")).all()
