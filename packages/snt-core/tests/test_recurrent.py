"""`RNNCore` and `trainable_initial_state`."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_core.recurrent import RNNCore, trainable_initial_state
from tests.support.variables import names


class State(NamedTuple):
    total: object
    image: object


class Counter(RNNCore):
    """Adds up its inputs."""

    state_size = State(3, tf.TensorShape([2, 1]))
    output_size = tf.TensorShape([3])

    def _build(self, inputs, prev_state):
        total = prev_state.total + inputs
        return total, State(total, prev_state.image + 1)


class Sizeless(RNNCore):
    def _build(self, inputs, prev_state):
        return inputs, prev_state


@pytest.mark.parametrize("batch_size", [4, np.int32(4), tf1.Dimension(4)])
def test_zero_state_of_a_known_batch_size(batch_size, mode):
    state = Counter().zero_state(batch_size, tf.float64)
    assert isinstance(state, State)
    assert [(s.shape, s.dtype) for s in state] == [((4, 3), tf.float64), ((4, 2, 1), tf.float64)]
    assert all((value == 0).all() for value in mode.values(state))


@pytest.mark.parametrize("batch_size", [np.int32(4), np.array([4], np.int64)])
def test_zero_state_of_a_batch_size_in_a_tensor(batch_size, mode):
    core = Counter()
    states = mode.run(lambda n: [core.zero_state(n, tf.float32), core.initial_state(n)], batch_size)
    for state in states:
        assert [s.shape for s in state] == [(4, 3), (4, 2, 1)]
        assert not state.total.any()


def test_static_shapes_are_known():
    with tf.Graph().as_default():
        state = Counter().initial_state(tf1.placeholder(tf.int32, []))
        assert [s.shape.as_list() for s in state] == [[None, 3], [None, 2, 1]]


def test_name_scopes():
    with tf.Graph().as_default(), tf1.variable_scope("outer"):
        core = Counter(name="core")
        assert core.zero_state(4, tf.float32).total.op.name.startswith("outer/CounterZeroState/")
        for options, scope in [({}, "outer/outer/core_initial_state"), ({"name": "a"}, "outer/a")]:
            assert core.initial_state(4, **options).total.op.name.startswith(f"{scope}/")


def test_runs_in_the_loops_of_tensorflow(mode):
    x = np.random.default_rng(0).normal(size=[4, 5, 3])
    core = Counter()
    outputs, state = mode.run(lambda x: tf1.nn.dynamic_rnn(core, x, dtype=tf.float64), x)
    np.testing.assert_allclose(outputs, np.cumsum(x, axis=1))
    np.testing.assert_array_equal(state.image, np.full([4, 2, 1], 5))


def test_sizes_must_be_defined():
    for name in ("state_size", "output_size"):
        with pytest.raises(NotImplementedError, match=f"Sizeless has no {name}"):
            getattr(Sizeless(), name)


# States that are learnt.


class Lone(RNNCore):
    """A core whose state is no structure."""

    state_size = output_size = tf.TensorShape([3])

    def _build(self, inputs, prev_state):
        return inputs + prev_state, prev_state


def variables_of(call, mode):
    """Returns what `call` returns, and the variables that it reads, in order of their creation."""
    if mode.in_graph:
        before = len(tf1.trainable_variables())
        return call(), tf1.trainable_variables()[before:]
    with tf.GradientTape() as tape:
        result = call()
    return result, tape.watched_variables()


def learn(mode, **options):
    """Has a `Counter` called "foo" make two variables for its state."""
    return variables_of(
        lambda: Counter(name="foo").initial_state(4, trainable=True, **options), mode
    )


@pytest.mark.parametrize(
    ("options", "prefix"), [({}, "foo_initial_state"), ({"name": "bar"}, "bar")]
)
def test_names_of_variables(options, prefix, mode):
    state, variables = learn(mode, **options)
    assert names(variables) == [f"{prefix}_total/w", f"{prefix}_image/w"]
    assert [v.shape for v in variables] == [(1, 3), (1, 2, 1)]
    assert type(state) is State
    if mode.in_graph:
        assert [s.name for s in state] == [
            f"{prefix}/state_{part}_tiled:0" for part in ("total", "image")
        ]


def test_names_of_the_parts(mode):
    sizes = {
        "0": 3,
        "0 1": (3, [tf.TensorShape([2])]),
        "0 1 2": State(1, (2, 3)),
        "total": State((), 3),
        "total image": State([2], 3),
    }
    for parts, size in sizes.items():
        name = f"n{len(parts)}"
        _, variables = variables_of(
            lambda size=size, name=name: trainable_initial_state(4, size, tf.float32, name=name),
            mode,
        )
        assert names(variables) == [f"{name}_{part}/w" for part in parts.split()]
    _, variables = variables_of(lambda: trainable_initial_state(4, 3, tf.float32), mode)
    assert names(variables) == ["initial_state_0/w"]


def test_each_call_makes_new_variables(mode):
    core, twin = Lone(name="foo"), Lone(name="foo")

    def call():
        for _ in range(2):
            core.initial_state(4, trainable=True)
        for _ in range(2):
            twin.initial_state(4, trainable=True, name="bar")
        core.initial_state(4, trainable=True, name="bar")

    _, variables = variables_of(call, mode)
    assert names(variables) == [
        "foo_initial_state_0/w",
        "foo_initial_state_0_1/w",
        "bar_0/w",
        "bar_0_1/w",
        "bar_0_2/w",
    ]


def test_the_core_does_not_own_them(mode):
    core = Lone()
    mode.run(lambda x: core(x, x)[0], np.ones([4, 3]))
    core.initial_state(4, trainable=True)
    assert core.get_variables() == core.variables == ()


def test_names_in_variable_scopes():
    with tf.Graph().as_default():
        with tf1.variable_scope("m"):
            core = Counter(name="lstm")
        state = core.initial_state(4, trainable=True)
        assert names(tf1.trainable_variables()) == [
            f"m/lstm_initial_state_{part}/w" for part in ("total", "image")
        ]
        assert state.total.op.name == "m/lstm_initial_state/state_total_tiled"
    with tf.Graph().as_default(), tf1.variable_scope("outer"):
        Lone(name="lstm").initial_state(4, trainable=True)
        assert names(tf1.trainable_variables()) == ["outer/outer/lstm_initial_state_0/w"]


@pytest.mark.parametrize("outside", [True, False])
def test_a_module_shares_them(outside, mode):
    made = Counter(name="foo")

    def build(x):
        core = made if outside else Counter(name="foo")
        state = core.initial_state(tf.shape(x)[0], x.dtype, trainable=True)
        other = core.initial_state(tf.shape(x)[0], x.dtype, trainable=True)
        assert state.image.shape.as_list() == [x.shape[0], 2, 1] or mode.name != "eager"
        return [x + state.total, x + other.total]

    module = snt.Module(build, name="module")
    x = np.ones([4, 3])
    mode.run(module, x, unknown_batch=True)
    variables = module.get_variables()
    scope = "module/foo" if outside else "module/module/foo"
    assert names(variables) == [
        f"{scope}_initial_state_{part}/w" for part in ("total", "image", "total_1", "image_1")
    ]
    mode.assign(variables[0], [[1.0, 2.0, 3.0]])
    for batch_size in (4, 7):
        first, second = mode.run(module, np.ones([batch_size, 3]), unknown_batch=True)
        np.testing.assert_array_equal(first, [[2, 3, 4]] * batch_size)
        np.testing.assert_array_equal(second, np.ones([batch_size, 3]))
    assert len(module.variables) == 4


def test_gradients_reach_them(mode):
    core = Counter()

    def build(x):
        _, state = core(x, core.initial_state(4, tf.float64, trainable=True))
        return tf.reduce_sum(state.total**2) + 3 * tf.reduce_sum(state.image)

    module = snt.Module(build, name="module")
    x = np.arange(12.0).reshape([4, 3])
    total, image = mode.gradients(lambda: module(tf.constant(x)), module.get_variables)
    np.testing.assert_array_equal(total, [2 * x.sum(axis=0)])
    np.testing.assert_array_equal(image, np.full([1, 2, 1], 12))


def test_a_learnt_state_of_an_unknown_batch_size():
    with tf.Graph().as_default():
        for n in (tf1.placeholder(tf.int32, []), tf1.placeholder(tf.int64, [1])):
            state = Counter().initial_state(n, trainable=True)
            assert [s.shape.as_list() for s in state] == [[None, 3], [None, 2, 1]]
        state = Counter().initial_state(tf.constant(4), trainable=True)
        assert state.image.shape.as_list() == [4, 2, 1]


def test_initializers(mode):
    given = State(tf1.constant_initializer(2.0), tf1.ones_initializer())
    state, _ = learn(mode, dtype=tf.float64, trainable_initializers=given)
    assert [s.dtype for s in state] == [tf.float64] * 2
    total, image = mode.values(state)
    np.testing.assert_array_equal(total, np.full([4, 3], 2))
    np.testing.assert_array_equal(image, np.ones([4, 2, 1]))
    for falsy in (None, (), {}):
        state, _ = learn(mode, trainable_initializers=falsy)
        assert not any(v.any() for v in mode.values(state))
    state, _ = learn(mode, trainable_initializers=tf1.ones_initializer())
    assert all((v == 1).all() for v in mode.values(state))
    state = Lone().initial_state(4, trainable=True, trainable_initializers=tf1.ones_initializer())
    np.testing.assert_array_equal(mode.values(state), np.ones([4, 3]))


def test_regularizers(mode):
    collection = tf1.GraphKeys.REGULARIZATION_LOSSES
    given = State(snt.l2_regularizer(0.5, scope="mine"), snt.l1_regularizer(0.25))
    ones = tf1.ones_initializer()
    options = {"trainable_initializers": ones, "trainable_regularizers": given}
    Counter().initial_state(4, trainable=False, **options)
    assert tf1.get_collection(collection) == []
    core = Counter(name="foo")
    module = snt.Module(lambda x: x + core.initial_state(4, trainable=True, **options).total)
    for _ in range(2):
        mode.run(module, np.ones([4, 3], np.float32))
        assert len(tf1.get_collection(collection)) == 2
    losses = [tf.convert_to_tensor(loss) for loss in tf1.get_collection(collection)]
    np.testing.assert_allclose(mode.values(losses), [0.5 * 3 / 2, 0.25 * 2])
    if mode.in_graph:
        assert "mine" in losses[0].name
    for_all = {"trainable_regularizers": snt.l2_regularizer(0.5)}
    learn(mode, **for_all)
    assert len(tf1.get_collection(collection)) == 4


@pytest.mark.parametrize("what", ["initializers", "regularizers"])
@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        (State(len, (len, len)), ValueError, "structure"),
        (State(len, [len]), ValueError, "structure"),
        ((len, len), TypeError, "same nested structure|type"),
        ([len, len], TypeError, "same nested structure|type"),
        (State(len, 3), ValueError, "Not all the passed {what} are callable"),
        (State(len, None), ValueError, "Not all the passed {what} are callable"),
    ],
)
def test_structures_that_do_not_fit(what, given, error, match):
    with pytest.raises(error, match=match.format(what=what)):
        Counter().initial_state(4, trainable=True, **{f"trainable_{what}": given})


@pytest.mark.parametrize("size", [tf.TensorShape([None]), tf.TensorShape(None)])
def test_a_learnt_state_needs_known_shapes(size):
    with pytest.raises(ValueError, match="shapes that are fully defined, got"):
        trainable_initial_state(4, (3, size), tf.float32)


def test_other_keywords_are_swallowed(mode):
    state = Lone().initial_state(4, anything=3)
    np.testing.assert_array_equal(mode.values(state), np.zeros([4, 3]))
