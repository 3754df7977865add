"""`DeepRNN`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.cores import Nested, Pair, Plain, Short, plain
from tests.support.variables import names, randomise

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=[4, 5, 3]).astype(np.float32)  # [batch, time, features]


@pytest.fixture
def warnings(monkeypatch):
    """What is logged as a warning: the format, and its arguments."""
    logged = []
    monkeypatch.setattr(tf1.logging, "warning", lambda *args: logged.append(args))
    return logged


def unroll(deep, kind, state=None):
    """Returns a function of inputs `[batch, time, ...]`."""

    def loop(x):
        initial = deep.zero_state(4, x.dtype) if state is None else state
        if kind == "dynamic_rnn":
            return tf1.nn.dynamic_rnn(deep, x, initial_state=initial, dtype=x.dtype)
        if kind == "static_rnn":
            outputs, last = tf1.nn.static_rnn(deep, tf.unstack(x, axis=1), initial)
        else:
            outputs, last = [], initial
            for t in range(5):
                output, last = deep(x[:, t], last)
                outputs.append(output)
        return tf.stack(outputs, axis=1), last

    return loop


KINDS = pytest.mark.parametrize("kind", ["calls", "dynamic_rnn", "static_rnn"])


# Values.


@KINDS
def test_one_after_the_other(kind, mode):
    deep = snt.DeepRNN(
        [Plain(4, name="a"), tf.nn.relu, Plain(2, name="b"), snt.Linear(3)], skip_connections=False
    )
    loop = unroll(deep, kind)
    mode.run(loop, X)
    assert names(deep.variables) == ["a/w", "b/w", "linear/b", "linear/w"]
    w_a, w_b, b, w = randomise(deep.variables, mode)
    outputs, state = mode.run(loop, X)
    h_a, h_b = np.zeros([4, 4]), np.zeros([4, 2])
    for t in range(5):
        _, h_a = plain(X[:, t], h_a, w_a)
        _, h_b = plain(np.maximum(h_a, 0), h_b, w_b)
        np.testing.assert_allclose(outputs[:, t], h_b @ w + b, 1e-4, 1e-4)
    assert type(state) is tuple
    np.testing.assert_allclose(state[0], h_a, 1e-4, 1e-4)
    np.testing.assert_allclose(state[1], h_b, 1e-4, 1e-4)
    assert len(deep.variables) == 4


@KINDS
@pytest.mark.parametrize("joined", [True, False])
def test_skip_connections(joined, kind, mode):
    cores = [Plain(size, name=name) for size, name in [(4, "a"), (2, "b"), (5, "c")]]
    deep = snt.DeepRNN(cores, concat_final_output_if_skip=joined)
    loop = unroll(deep, kind)
    mode.run(loop, X)
    weights = randomise(deep.variables, mode)
    assert [w.shape for w in weights] == [(3, 4), (3 + 4, 2), (3 + 2, 5)]
    assert deep.output_size == tf.TensorShape([11 if joined else 5])
    outputs, state = mode.run(loop, X)
    h = [np.zeros([4, size]) for size in (4, 2, 5)]
    for t in range(5):
        for i, w in enumerate(weights):
            inputs = X[:, t] if i == 0 else np.concatenate([X[:, t], h[i - 1]], axis=-1)
            _, h[i] = plain(inputs, h[i], w)
        expected = np.concatenate(h, axis=-1) if joined else h[-1]
        np.testing.assert_allclose(outputs[:, t], expected, 1e-4, 1e-4)
    for actual, expected in zip(state, h, strict=True):
        np.testing.assert_allclose(actual, expected, 1e-4, 1e-4)


class Images(snt.RNNCore):
    """Adds up images `[batch, height, width, features]`, of which it makes some more features."""

    def __init__(self, shape):
        super().__init__(name="images")
        self._shape = tf.TensorShape(shape)

    def _build(self, inputs, prev_state):
        mean = tf.reduce_mean(inputs, axis=-1, keepdims=True)
        state = prev_state + tf.tile(mean, [1, 1, 1, self._shape.as_list()[-1]])
        return state, state

    @property
    def state_size(self):
        return self._shape

    output_size = state_size


def test_images_are_joined_along_the_last_axis(mode):
    deep = snt.DeepRNN([Images([8, 6, 5]), Images([8, 6, 4])])
    assert deep.output_size == tf.TensorShape([8, 6, 9])
    x = RANDOM.normal(size=[4, 3, 8, 6, 2])
    outputs, _ = mode.run(
        lambda x: tf1.nn.dynamic_rnn(deep, x, dtype=tf.float64), x, unknown_batch=True
    )
    first = np.cumsum(x.mean(axis=-1, keepdims=True), axis=1)
    both = np.concatenate([x, *[first] * 5], axis=-1).mean(axis=-1, keepdims=True)
    second = np.cumsum(both, axis=1)
    np.testing.assert_allclose(outputs, np.concatenate([first] * 5 + [second] * 4, axis=-1))


@pytest.mark.parametrize("skip", [False, True])
def test_structures_and_keyword_arguments(skip, mode):
    calls = []

    def halve(inputs, factor):
        calls.append(factor)
        return tf.nest.map_structure(lambda x: x / 2, inputs)

    cores = [Nested(3), Nested(6)] if skip else [Nested(3), halve, Nested(3)]
    deep = snt.DeepRNN(cores, skip_connections=skip)
    last = 6 if skip else 3

    def step(v, image):
        state = (
            (Pair(tf.ones([4, 3], v.dtype), tf.ones([4, 2, 3], v.dtype)), [tf.zeros([4, 1])]),
            (Pair(tf.ones([4, last], v.dtype), tf.ones([4, 2, last], v.dtype)), [tf.ones([4, 1])]),
        )
        return deep(Pair(v, [image]), state, factor=3)

    v, image = RANDOM.normal(size=[4, 3]), RANDOM.normal(size=[4, 2, 3])
    outputs, states = mode.run(step, v, image)
    first = [1 + 3 * v, image]
    if skip:
        inputs = [np.concatenate(p, axis=-1) for p in [(v, first[0]), (image, first[1])]]
    else:
        inputs = [value / 2 for value in first]
        assert set(calls) == {3}
    second = [1 + 3 * inputs[0], inputs[1]]
    expected = second
    if skip:
        expected = [np.concatenate(p, axis=-1) for p in zip(first, second, strict=True)]
        assert deep.output_size == Pair(tf.TensorShape([9]), [tf.TensorShape([2, 9])])
    assert type(outputs) is Pair
    assert type(outputs.second) is list
    np.testing.assert_allclose(outputs.first, expected[0])
    np.testing.assert_allclose(outputs.second[0], expected[1])
    assert [type(s) for s in states] == [tuple, tuple]
    np.testing.assert_allclose(states[0][0].first, first[0])
    np.testing.assert_allclose(states[1][0].second, second[1])
    assert [s[1][0][0, 0] for s in states] == [1, 2]


def test_nested_states_in_loops(mode):
    deep = snt.DeepRNN([snt.DeepRNN([Nested()]), Nested()], skip_connections=False)
    v, image = RANDOM.normal(size=[4, 5, 3]), RANDOM.normal(size=[4, 5, 2, 3])
    outputs, state = mode.run(
        lambda v, image: tf1.nn.dynamic_rnn(deep, Pair(v, [image]), dtype=tf.float64), v, image
    )
    np.testing.assert_allclose(outputs.first, np.cumsum(np.cumsum(v, axis=1), axis=1))
    np.testing.assert_array_equal(outputs.second[0], np.zeros_like(image))
    np.testing.assert_array_equal(state[1][1][0], np.full([4, 1], 5))
    tf.nest.assert_same_structure(state, deep.state_size)


@KINDS
def test_without_any_state(kind, mode):
    deep = snt.DeepRNN([snt.Linear(2), tf.tanh], skip_connections=False)
    assert deep.state_size == deep.initial_state(4) == ()
    outputs, state = mode.run(unroll(deep, kind), X)
    assert outputs.shape == (4, 5, 2)
    assert state == ()


def test_sequence_lengths(mode):
    deep = snt.DeepRNN([Plain(4), Plain(2)])
    lengths = np.array([5, 0, 2, 3])
    outputs, state = mode.run(
        lambda x, n: tf1.nn.dynamic_rnn(deep, x, n, dtype=tf.float32), X, lengths
    )
    for i, length in enumerate(lengths):
        assert (outputs[i, :length] != 0).all()
        assert (outputs[i, length:] == 0).all()
        last = outputs[i, length - 1] if length else np.zeros(6)
        np.testing.assert_array_equal(np.concatenate([s[i] for s in state]), last)


def test_gradients_in_loops_are_those_of_calls(mode):
    deep = snt.DeepRNN([snt.SkipConnectionCore(Plain(4), [3]), tf.tanh, Plain(2)], False)

    def gradients(kind):
        loop = unroll(deep, kind)
        return mode.gradients(
            lambda: tf.reduce_sum(tf.sin(loop(tf.constant(X))[0])), lambda: deep.trainable_variables
        )

    by_calls = gradients("calls")
    assert all((g != 0).any() for g in by_calls)
    for actual, expected in zip(gradients("dynamic_rnn"), by_calls, strict=True):
        np.testing.assert_allclose(actual, expected, 1e-4, 1e-5)


# Sizes.


class Unsized:
    """A function with a name, and nothing else."""

    def __call__(self, x):
        return tf.concat([x, x], axis=-1)


def test_output_size_of_the_last():
    assert snt.DeepRNN([Plain(4), snt.Linear(2)], False).output_size == 2
    mlp = snt.nets.MLP([3, 5])
    assert snt.DeepRNN([Plain(4), mlp], skip_connections=False).output_size == 5
    size = snt.DeepRNN([snt.Linear(2), Plain(4)], skip_connections=False).output_size
    assert size == tf.TensorShape([4])
    nested = snt.DeepRNN([Plain(4), Nested()], skip_connections=False)
    assert nested.output_size == Nested().output_size


def test_output_size_is_guessed_before_connection(warnings, mode):
    final = Unsized()
    deep = snt.DeepRNN([Plain(4), snt.Linear(2), final], skip_connections=False)
    assert deep.output_size == 2
    [(text, *arguments)] = warnings
    assert "final core %s does not have the .output_size field" in text
    assert arguments[:2] == [final, 2]
    assert text % tuple(arguments)
    warnings.clear()
    mode.run(lambda x: deep(x, deep.zero_state(4, tf.float32))[0], X[:, 0], unknown_batch=True)
    assert deep.output_size == tf.TensorShape([4])
    [(text, *arguments)] = warnings
    assert "DeepRNN has been connected into the graph, so inferred output size" in text
    assert "4" in text % tuple(arguments)


def test_a_structure_of_outputs_keeps_its_types(warnings, mode):
    final = snt.Module(lambda x: Pair(x, [x[:, :1]]), name="final")
    deep = snt.DeepRNN([Plain(4), final], skip_connections=False)
    mode.run(lambda x: deep(x, deep.zero_state(4, tf.float32)), X[:, 0])
    size = deep.output_size
    assert size == Pair(tf.TensorShape([4]), [tf.TensorShape([1])])
    assert (type(size), type(size.second)) == (Pair, list)


def test_the_guess_serves_the_loops(mode):
    deep = snt.DeepRNN([Plain(4), snt.Linear(2), tf.nn.relu], skip_connections=False)
    outputs, _ = mode.run(unroll(deep, "dynamic_rnn"), X)
    assert outputs.shape == (4, 5, 2)
    assert (outputs >= 0).all()


def test_no_output_size_at_all():
    deep = snt.DeepRNN([tf.tanh, Unsized()], skip_connections=False)
    with pytest.raises(ValueError, match="none of the cores have output_size inform"):
        _ = deep.output_size


def test_errors_of_an_output_size_are_let_through():
    deep = snt.DeepRNN([Plain(4), snt.SkipConnectionCore(Plain(2))], skip_connections=False)
    with pytest.raises(ValueError, match="Output size unknown"):
        _ = deep.output_size


# Construction.


def test_cores_are_read_once():
    deep = snt.DeepRNN((Plain(size) for size in (4, 2)), skip_connections=False)
    assert deep.state_size == (tf.TensorShape([4]), tf.TensorShape([2]))
    assert deep.state_size == (tf.TensorShape([4]), tf.TensorShape([2]))


def test_one_core_may_stand_twice(mode):
    core = Plain(3)
    deep = snt.DeepRNN([core, core], skip_connections=False)
    _, state = mode.run(lambda x: deep(x, deep.zero_state(4, tf.float32)), X[:, 0])
    assert len(deep.variables) == 1
    assert (state[0] != state[1]).any()


@pytest.mark.parametrize(
    ("cores", "match"),
    [
        (3, "Cores should be an iterable"),
        ([], "at least one core"),
        ([Plain(3), snt.Linear(2)], "skip_connections are enabled but not all cores are `snt.RNN"),
        ([Plain(3), tf.tanh], "but not all cores are `snt.RNNCore`s"),
        ([Images([8, 8, 5]), Images([4, 8, 5])], "concatenated along the first feature dimension"),
        ([Images([8, 8, 5]), Plain(5)], "concatenated along the first feature dimension"),
        ([Nested(), Plain(5)], "concatenated along the first feature dimension"),
    ],
)
def test_errors_of_the_constructor(cores, match):
    with pytest.raises(ValueError, match=f"deep_rnn.*: .*{match}"):
        snt.DeepRNN(cores)


def test_warns_once_of_skip_connections(warnings, monkeypatch):
    monkeypatch.setattr("snt_core.deprecation._seen", set())
    snt.DeepRNN([Plain(3)], skip_connections=False)
    assert warnings == []
    for _ in range(2):
        snt.DeepRNN([Plain(3)])
    [(text,)] = warnings
    assert "skip_connections" in text
    assert "will be deprecated" in text


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_states(count, mode):
    deep = snt.DeepRNN([Plain(3), tf.tanh, Plain(3)], skip_connections=False)
    with pytest.raises(ValueError, match=f"one entry for each of the 2 cores.* got {count} entr"):
        mode.run(lambda x: deep(x, (x,) * count), X[:, 0])


# Initial states.


def test_names_of_a_learnt_state(mode):
    cores = [snt.LSTM(2, name="a"), tf.tanh, snt.LSTM(3, name="b")]
    deep = snt.DeepRNN(cores, skip_connections=False)
    if mode.in_graph:
        tensors = tf.nest.flatten(deep.initial_state(4, trainable=True))
        assert [t.name for t in tensors] == [
            f"deep_rnn_initial_state/{core}_initial_state/state_{part}_tiled:0"
            for core in "ab"
            for part in ("hidden", "cell")
        ]
        assert names(tf1.trainable_variables()) == [
            f"{core}_initial_state_{part}/w" for core in "ab" for part in ("hidden", "cell")
        ]
        state = deep.initial_state(4, trainable=True, name="blah")
        assert state[0].hidden.name == "blah/a_initial_state/state_hidden_tiled:0"
        assert names(tf1.trainable_variables())[4] == "a_initial_state_hidden_1/w"
        assert deep.initial_state(4, name="x")[0].cell.name.startswith("x/a_initial_state/")
    else:
        with tf.GradientTape() as tape:
            deep.initial_state(4, trainable=True)
        assert names(tape.watched_variables())[3] == "b_initial_state_cell/w"


def test_initializers_and_regularizers_of_each_core(mode):
    deep = snt.DeepRNN([Plain(2), tf.tanh, Nested()], skip_connections=False)
    ones, twos = tf1.ones_initializer(), tf1.constant_initializer(2.0)
    nested = (Pair(ones, twos), [ones])
    state = deep.initial_state(
        4,
        tf.float64,
        trainable=True,
        trainable_initializers=[None, nested],
        trainable_regularizers=[snt.l2_regularizer(0.5), None],
    )
    assert all(s.dtype == tf.float64 for s in tf.nest.flatten(state))
    values = mode.values(state)
    assert [v.flat[0] for v in tf.nest.flatten(values)] == [0, 1, 2, 1]
    assert values[1][0].second.shape == (4, 2, 3)
    if mode.in_graph:
        assert len(tf1.losses.get_regularization_losses()) == 1
    for_all = deep.initial_state(4, trainable=True, trainable_initializers=ones)
    assert all((v == 1).all() for v in tf.nest.flatten(mode.values(for_all)))


@pytest.mark.parametrize("what", ["initializers", "regularizers"])
@pytest.mark.parametrize("count", [1, 3])
def test_one_for_each_core(what, count):
    deep = snt.DeepRNN([Plain(2), tf.tanh, Plain(2)], skip_connections=False)
    match = f"the number of {what} and recurrent cores should be the same, got {count}"
    with pytest.raises(ValueError, match=match):
        deep.initial_state(
            4, trainable=True, **{f"trainable_{what}": [tf1.ones_initializer()] * count}
        )


def test_cores_that_know_few_ways_to_begin(mode):
    deep = snt.DeepRNN([Plain(2), Short()], skip_connections=False)
    plain_state, (total, step) = deep.initial_state(4, tf.float64)
    assert [s.dtype for s in (plain_state, total, step)] == [tf.float64, tf.float32, tf.int32]
    np.testing.assert_array_equal(mode.values(total), np.ones([4, 2]))
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        deep.initial_state(4, trainable=True)
    total, _ = deep.zero_state(4, tf.float64)[1]
    assert total.dtype == tf.float64
    np.testing.assert_array_equal(mode.values(total), np.zeros([4, 2]))


def test_the_cores_are_asked_with_all_five():
    asked = []

    class Asked(Plain):
        def initial_state(self, batch_size, **options):
            asked.append((batch_size, options))

    deep = snt.DeepRNN([Asked(2), Asked(3)], skip_connections=False)
    deep.initial_state(7, tf.float64, True, ["i", None], ["r", "s"])
    assert asked == [
        (
            7,
            {
                "dtype": tf.float64,
                "trainable": True,
                "trainable_initializers": i,
                "trainable_regularizers": r,
            },
        )
        for i, r in [("i", "r"), (None, "s")]
    ]


def test_a_learnt_state_in_a_loop(mode):
    deep = snt.DeepRNN([Plain(4), Plain(2)])

    def build(x):
        state = deep.initial_state(tf.shape(x)[0], trainable=True)
        return tf1.nn.dynamic_rnn(deep, x, initial_state=state)[0]

    model = snt.Module(build, name="model")
    first = mode.run(model, X, unknown_batch=True)
    own = names(model.get_variables())
    assert own == [f"model/{n}_initial_state_0/w" for n in ("plain", "plain_1")]
    np.testing.assert_array_equal(mode.run(model, X, unknown_batch=True), first)
    assert len(model.variables) == 4
    gradients = mode.gradients(
        lambda: tf.reduce_sum(tf.sin(model(tf.constant(X)))), lambda: model.get_variables()
    )
    assert [g.shape for g in gradients] == [(1, 4), (1, 2)]
    assert all((g != 0).all() for g in gradients)


# Variables.


def test_owns_no_variables(mode):
    deep = snt.DeepRNN([Plain(4), tf.tanh, Plain(2)], skip_connections=False)
    for read in (deep.get_variables, lambda: deep.variables):
        with pytest.raises(snt.NotConnectedError, match="deep_rnn not instantiated yet"):
            read()
    mode.run(unroll(deep, "dynamic_rnn"), X)
    assert deep.get_variables() == ()
    assert names(deep.variables) == ["plain/w", "plain_1/w"]


def test_cores_are_tracked(tmp_path):
    def make():
        cores = [Plain(4), tf.tanh, snt.DeepRNN([Plain(2)], False)]
        deep = snt.DeepRNN(cores, skip_connections=False)
        deep(tf.constant(X[:, 0]), deep.zero_state(4, tf.float32))
        return deep, cores

    deep, cores = make()
    assert {id(m) for m in deep.submodules} >= {id(cores[0]), id(cores[2])}
    path = tf.train.Checkpoint(deep=deep).save(str(tmp_path / "checkpoint"))
    other, _ = make()
    assert (other.variables[0].numpy() != deep.variables[0].numpy()).all()
    tf.train.Checkpoint(deep=other).restore(path).assert_consumed()
    for ours, theirs in zip(deep.variables, other.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_static_shapes():
    deep = snt.DeepRNN([Plain(4), Plain(2)])
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [None, None, 3])
        outputs, state = tf1.nn.dynamic_rnn(deep, x, dtype=tf.float32)
        assert outputs.shape.as_list() == [None, None, 6]
        assert [s.shape.as_list() for s in state] == [[None, 4], [None, 2]]
