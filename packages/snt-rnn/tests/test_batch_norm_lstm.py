"""`BatchNormLSTM`, `IndexedStatsBatchNorm` and `CoreWithExtraBuildArgs`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.unrolls import (
    by_dynamic_rnn,
    by_static_rnn,
    by_steps,
    check_gradients,
    check_unrolls,
    old_control_flow,
)
from tests.support.variables import names

RNG = np.random.default_rng(0)
EPS, DECAY = 1e-3, 0.999
H, D, B, T = 3, 2, 4, 5


def array(*shape, dtype="float64"):
    return RNG.normal(size=shape).astype(dtype)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def randomised(core, mode):
    """Gives the variables random values, and returns them by name; variances are positive."""
    weights = {}
    for variable, name in zip(core.variables, names(core.variables), strict=True):
        value = 0.5 * RNG.normal(size=variable.shape)
        if name.endswith("moving_variance"):
            value = np.exp(value)
        mode.assign(variable, value)
        weights[name.removeprefix(f"{core.scope_name}/")] = value
    return weights


class Reference:
    """The cell in NumPy; it moves the averages in `weights` while training."""

    def __init__(self, weights, forget_bias=1.0, clip=None, num_stats=1):
        self.weights = dict(weights)
        self.forget_bias = forget_bias
        self.clip = clip
        self.num_stats = num_stats

    def normalise(self, which, x, t, training, local):
        k = min(t, self.num_stats - 1)
        scope = f"batch_norm_{which}/batch_norm" + (f"_{k}" if k else "")
        averages = [f"{scope}/moving_mean", f"{scope}/moving_variance"]
        batch = [x.mean(0, keepdims=True), x.var(0, keepdims=True)]
        mean, variance = batch
        if not (training or local):
            mean, variance = (self.weights[name] for name in averages)
        if training:
            for name, statistic in zip(averages, batch, strict=True):
                self.weights[name] = DECAY * self.weights[name] + (1 - DECAY) * statistic
        return self.weights[f"gamma_{which}"] * (x - mean) / np.sqrt(variance + EPS)

    def step(self, x, h, c, t, training, local=True):
        w = self.weights
        if self.clip is not None:
            h, c = np.clip(h, -self.clip, self.clip), np.clip(c, -self.clip / 2, self.clip / 2)
        if "w_gates" in w:
            gates = np.concatenate([x, h], 1) @ w["w_gates"]
        else:
            by_hidden, by_input = h @ w["w_gates_H"], x @ w["w_gates_X"]
            if "gamma_h" in w:
                by_hidden = self.normalise("h", by_hidden, t, training, local)
            if "gamma_x" in w:
                by_input = self.normalise("x", by_input, t, training, local)
            gates = by_hidden + by_input
        i, j, f, o = np.split(gates + w["b_gates"], 4, axis=1)
        if "w_f_diag" in w:
            f, i = f + w["w_f_diag"] * c, i + w["w_i_diag"] * c
        c = sigmoid(f + self.forget_bias) * c + sigmoid(i) * np.tanh(j)
        m = c
        if "gamma_c" in w:
            m = w["beta_c"] + self.normalise("c", c, t, training, local)
        if "w_o_diag" in w:
            m = m + w["w_o_diag"] * m
        return np.tanh(m) * sigmoid(o), c

    def unroll(self, x, training, local=True, h=None, c=None):
        h = np.zeros([len(x), H]) if h is None else h
        c = np.zeros([len(x), H]) if c is None else c
        outputs = []
        for t in range(x.shape[1]):
            h, c = self.step(x[:, t], h, c, t, training, local)
            outputs.append(h)
        return np.stack(outputs, 1), (h, c)


def averages_of(core, mode):
    names_of = names(core.non_trainable_variables)
    return dict(zip(names_of, mode.values(list(core.non_trainable_variables)), strict=True))


def check_averages(core, mode, reference, rtol=1e-9):
    found = averages_of(core, mode)
    assert found
    for name, value in found.items():
        np.testing.assert_allclose(value, reference.weights[name], rtol, 1e-12, err_msg=name)


KINDS = {
    "h": {},
    "x": {"use_batch_norm_h": False, "use_batch_norm_x": True},
    "c": {"use_batch_norm_h": False, "use_batch_norm_c": True, "use_peepholes": True},
    "all": {"use_batch_norm_x": True, "use_batch_norm_c": True, "use_peepholes": True},
}


# Values.


@pytest.mark.parametrize("kind", KINDS)
def test_computes_the_definition(kind, mode):
    """A step while training, one by the batch, one by moving averages."""
    core = snt.BatchNormLSTM(
        H, forget_bias=0.7, hidden_clip_value=0.8, cell_clip_value=0.4, **KINDS[kind]
    )
    inputs = [array(B, D), array(B, H), array(B, H)]

    def connect(x, h, c):
        return [core(x, (h, c), *flags) for flags in ((True,), (False,), (False, False))]

    mode.run(lambda x, h, c: core(x, (h, c), False), *inputs)
    reference = Reference(randomised(core, mode), 0.7, clip=0.8)
    results = [
        mode.run(lambda x, h, c, f=flags: core(x, (h, c), *f), *inputs, unknown_batch=True)
        for flags in ((False, False), (False,), (True,))
    ]
    assert type(results[0][1]) is tuple
    for (output, state), flags in zip(
        results, ((False, False), (False, True), (True, True)), strict=True
    ):
        h, c = reference.step(*inputs, 0, *flags)
        np.testing.assert_allclose(output, h, 1e-9, 1e-12)
        np.testing.assert_allclose(state, (h, c), 1e-9, 1e-12)


@pytest.mark.parametrize("num_stats", [1, 3])
@pytest.mark.parametrize("kind", ["c", "all"])
def test_moving_averages_in_dynamic_rnn(kind, num_stats, mode):
    """Each step moves them, in the order of time; the first connection is in the loop."""
    core = snt.BatchNormLSTM(H, max_unique_stats=num_stats, **KINDS[kind])
    x = array(B, T, D)

    def unroll(training, local=True):
        wrapped = core.with_batch_norm_control(training, test_local_stats=local)

        def connect(x):
            state = wrapped.initial_state(tf.shape(x)[0], tf.float64)
            return by_dynamic_rnn(wrapped, x, state)

        return mode.run(connect, x, unknown_batch=True)

    unroll(training=False)
    reference = Reference(randomised(core, mode), num_stats=num_stats)
    for training, local in ((True, True), (True, True), (False, True), (False, False)):
        outputs, state = unroll(training, local)
        expected, (h, c) = reference.unroll(x, training, local)
        np.testing.assert_allclose(outputs, expected, 1e-7, 1e-9)
        np.testing.assert_allclose(state[0], h, 1e-7, 1e-9)
        np.testing.assert_allclose(state[1], c, 1e-7, 1e-9)
        assert list(state[2:]) == [T] * (num_stats > 1)
        check_averages(core, mode, reference)
    assert tf1.get_collection(tf1.GraphKeys.UPDATE_OPS) == []


@pytest.mark.parametrize("num_stats", [1, 3])
def test_moving_averages_in_the_loops_of_tensorflow_1(num_stats):
    with old_control_flow() as mode:
        core = snt.BatchNormLSTM(H, max_unique_stats=num_stats, **KINDS["all"])
        x = array(B, T, D)
        training = tf1.placeholder_with_default(True, [])
        wrapped = core.with_batch_norm_control(training, test_local_stats=False)
        outputs, _ = by_dynamic_rnn(wrapped, tf.constant(x), wrapped.initial_state(B, tf.float64))
        gradients = tf.gradients(tf.reduce_sum(outputs**2), core.trainable_variables)
        assert {v.op.type for v in core.trainable_variables} == {"VariableV2"}
        assert tf1.get_collection(tf1.GraphKeys.UPDATE_OPS) == []
        mode.values([])
        reference = Reference(randomised(core, mode), num_stats=num_stats)
        for flag in (True, True, False):
            found, _ = mode._session.run([outputs, gradients], {training: flag})
            expected, _ = reference.unroll(x, flag, local=False)
            np.testing.assert_allclose(found, expected, 1e-7, 1e-9)
            check_averages(core, mode, reference)
        static, _ = by_static_rnn(wrapped, tf.constant(x), wrapped.initial_state(B, tf.float64))
        np.testing.assert_allclose(
            mode._session.run(static, {training: False}), expected, 1e-7, 1e-9
        )


def test_updates_of_plain_steps_are_collected_where_they_can_be_run():
    for context in (tf.Graph().as_default(), None):
        with context or old_control_flow():
            core = snt.BatchNormLSTM(H, use_batch_norm_x=True)
            x = tf.constant(array(B, T, D))
            outputs, _ = by_steps(
                core.with_batch_norm_control(True), x, core.initial_state(B, tf.float64)
            )
            updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
            assert len(updates) == T * 2 * 2  # steps, modules, mean and variance
            with tf1.Session() as session:
                session.run(tf1.global_variables_initializer())
                before = session.run(core.non_trainable_variables)
                session.run(outputs)
                np.testing.assert_array_equal(session.run(core.non_trainable_variables), before)
                session.run(updates)
                after = session.run(core.non_trainable_variables)
            assert all((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("num_stats", [1, 2])
@pytest.mark.parametrize("flags", [(True, True), (False, False)], ids=["train", "averages"])
def test_all_unrolls_are_equal(num_stats, flags, mode):
    core = snt.BatchNormLSTM(H, max_unique_stats=num_stats, use_batch_norm_c=True)
    wrapped = core.with_batch_norm_control(*flags)
    outputs, _ = check_unrolls(wrapped, array(B, T, D, dtype="float32"), mode)
    assert outputs.shape == (B, T, H)


def test_a_flag_may_be_a_tensor(mode):
    core = snt.BatchNormLSTM(H, max_unique_stats=2)
    x = array(B, T, D)

    def connect(x, training):
        wrapped = core.with_batch_norm_control(training, test_local_stats=False)
        return by_dynamic_rnn(wrapped, x, wrapped.initial_state(B, tf.float64))

    mode.run(connect, x, False)
    reference = Reference(randomised(core, mode), num_stats=2)
    for training in (True, False):
        outputs, _ = mode.run(connect, x, training)
        expected, _ = reference.unroll(x, training, local=False)
        np.testing.assert_allclose(outputs, expected, 1e-7, 1e-9)
        check_averages(core, mode, reference)


def test_gradients(mode):
    """Against finite differences in double precision, through the steps of a loop."""
    core = snt.BatchNormLSTM(H, max_unique_stats=2, **KINDS["all"])
    x, weight = array(B, 2, D), array(B, 2, H)

    def loss():
        wrapped = core.with_batch_norm_control(False)
        outputs, _ = by_dynamic_rnn(wrapped, tf.constant(x), wrapped.zero_state(B, tf.float64))
        return tf.reduce_sum(outputs * weight)

    mode.run(loss)
    randomised(core, mode)
    check_gradients(loss, list(core.trainable_variables), mode, 1e-4)


# Variables.


@pytest.mark.parametrize("kind", KINDS)
def test_variables(kind, mode):
    options = KINDS[kind]
    core = snt.BatchNormLSTM(H, **options)
    mode.run(lambda x: core(x, core.zero_state(B, tf.float64), True), array(B, D))
    shapes = {"b_gates": (4 * H,)}
    statistics = {}
    for which in "hxc" if kind == "all" else kind:
        size = H if which == "c" else 4 * H
        shapes[f"gamma_{which}"] = (size,)
        for name in ("moving_mean", "moving_variance"):
            statistics[f"batch_norm_{which}/batch_norm/{name}"] = (1, size)
    if kind == "c":
        shapes["w_gates"] = (D + H, 4 * H)
    else:
        shapes |= {"w_gates_H": (H, 4 * H), "w_gates_X": (D, 4 * H)}
    if kind in ("c", "all"):
        shapes |= dict.fromkeys(["beta_c", "w_f_diag", "w_i_diag", "w_o_diag"], (H,))
    found = {n: tuple(v.shape) for n, v in zip(names(core.variables), core.variables, strict=True)}
    trainable = {f"batch_norm_lstm/{name}": shape for name, shape in shapes.items()}
    assert found == trainable | statistics
    assert set(names(core.get_variables())) == set(trainable)
    assert set(names(core.non_trainable_variables)) == set(statistics)
    moving = tf1.GraphKeys.MOVING_AVERAGE_VARIABLES
    assert set(names(core.get_all_variables(moving))) == set(statistics)


def test_each_step_has_its_statistics_from_the_first_connection_on(mode):
    for suffix in ("", "_1"):
        core = snt.BatchNormLSTM(H, max_unique_stats=3)
        hidden = array(B, H)
        mode.run(lambda x, h, c=core: c(x, (h, h, tf.constant(0)), True), array(B, D), hidden)
        assert set(names(core.non_trainable_variables)) == {
            f"batch_norm_h{suffix}/batch_norm{k}/{name}"
            for k in ("", "_1", "_2")
            for name in ("moving_mean", "moving_variance")
        }
        found = averages_of(core, mode)
        moved = {name for name, value in found.items() if (value != ("var" in name)).any()}
        assert moved == {
            f"batch_norm_h{suffix}/batch_norm/{n}" for n in ("moving_mean", "moving_variance")
        }


def test_initial_values(mode):
    core = snt.BatchNormLSTM(200, **KINDS["all"])
    mode.run(lambda x: core(x, core.zero_state(2, tf.float32), True), array(2, 56, dtype="f"))
    values = mode.values(list(core.variables))
    value = dict(zip(names(core.variables), values, strict=True))
    for name in ("w_gates_H", "w_gates_X", "b_gates"):  # stddev 1/16 before truncation
        assert np.abs(value[f"batch_norm_lstm/{name}"]).max() <= 2 / 16
        assert abs(value[f"batch_norm_lstm/{name}"].std() * 16 - 0.88) < 0.1
    for which in "hxc":
        np.testing.assert_array_equal(value[f"batch_norm_lstm/gamma_{which}"], np.float32(0.1))
    for name in ("beta_c", "w_f_diag", "w_i_diag", "w_o_diag"):  # Glorot's
        limit = np.sqrt(3 / 200)
        assert 0.5 * limit < np.abs(value[f"batch_norm_lstm/{name}"]).max() <= limit


def test_statistics_are_float32_beside_16_bits(mode):
    core = snt.BatchNormLSTM(H, **KINDS["all"])
    x = array(B, D).astype("float16")
    output, _ = mode.run(lambda x: core(x, core.zero_state(B, tf.float16), True), x)
    assert output.dtype == np.float16
    assert {v.dtype.base_dtype.name for v in core.trainable_variables} == {"float16"}
    assert {v.dtype.base_dtype.name for v in core.non_trainable_variables} == {"float32"}


def test_options_of_variables(mode):
    core = snt.BatchNormLSTM(
        H,
        initializers={"w_gates": tf1.ones_initializer(), "gamma_h": tf1.zeros_initializer()},
        regularizers={"w_gates": snt.l2_regularizer(0.1)},
        custom_getter={"b_gates": lambda getter, *a, **k: 0 * getter(*a, **k)},
    )
    mode.run(lambda x: core(x, core.zero_state(B, tf.float64), False), array(B, D))
    np.testing.assert_array_equal(mode.values(core._w_h), np.ones([H, 4 * H]))
    np.testing.assert_array_equal(mode.values(core._w_x), np.ones([D, 4 * H]))
    if mode.in_graph:
        losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
        np.testing.assert_allclose(
            sorted(mode.values(losses)), [0.05 * D * 4 * H, 0.05 * H * 4 * H]
        )


def test_a_checkpoint_has_the_statistics(tmp_path):
    tf1.reset_default_graph()
    x = tf.constant(array(B, D))
    first, second = (snt.BatchNormLSTM(H, max_unique_stats=2) for _ in range(2))
    for core in (first, second):
        core(x, core.zero_state(B, tf.float64), True)
    for variable in first.variables:
        variable.assign(array(*variable.shape))
    path = tf.train.Checkpoint(core=first).save(str(tmp_path / "model"))
    tf.train.Checkpoint(core=second).restore(path).assert_consumed()
    for one, two in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(one, two)


# States.


@pytest.mark.parametrize("num_stats", [1, 2])
def test_states(num_stats, mode):
    core = snt.BatchNormLSTM(H, max_unique_stats=num_stats, name="core")
    wrapped = core.with_batch_norm_control(True)
    size = tf.TensorShape([H])
    step_size = [tf.TensorShape([1])] * (num_stats > 1)
    assert core.state_size == wrapped.state_size == (size, size, *step_size)
    assert core.output_size == wrapped.output_size == size
    assert wrapped.scope_name == "core_extra_args"
    for cell in (core, wrapped):
        for state in (cell.zero_state(B, tf.float64), cell.initial_state(B, tf.float64)):
            assert type(state) is tuple
            assert [s.dtype for s in state] == [tf.float64, tf.float64, tf.int32][: len(state)]
            assert [s.shape for s in state] == [(B, H), (B, H), ()][: 1 + num_stats]
    pair = (tf1.ones_initializer(), tf1.constant_initializer(2))
    regularizers = (snt.l2_regularizer(0.1), snt.l2_regularizer(0.1))
    state = wrapped.initial_state(
        B, trainable=True, trainable_initializers=pair, trainable_regularizers=regularizers
    )
    state = mode.values(state)
    assert [np.unique(s) for s in state] == [1, 2, 0][: 1 + num_stats]


def test_dynamic_rnn_makes_the_state(mode):
    core = snt.BatchNormLSTM(H, max_unique_stats=2)
    wrapped = core.with_batch_norm_control(False)
    x = array(B, T, D)
    outputs, state = mode.run(lambda x: tf1.nn.dynamic_rnn(wrapped, x, dtype=x.dtype), x)
    expected, _ = mode.run(lambda x: by_steps(wrapped, x, core.initial_state(B, x.dtype)), x)
    np.testing.assert_allclose(outputs, expected, 1e-9)
    assert state[2] == T


# Errors.


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"use_batch_norm_h": False}, ValueError, r"At least one use_batch_norm_\* option"),
        ({"max_unique_stats": 0}, ValueError, "must be >= 1"),
        ({"hidden_clip_value": -1.0}, ValueError, "nonnegative"),
        ({"cell_clip_value": -1.0}, ValueError, "nonnegative"),
        ({"initializers": {"gamma_x": tf.ones}}, KeyError, "Invalid initializer"),
        ({"regularizers": {"w_f_diag": tf.ones}}, KeyError, "Invalid regularizer"),
        ({"partitioners": {"b_gates": 3}}, TypeError, "not a callable"),
    ],
)
def test_arguments_are_checked(options, error, match):
    with pytest.raises(error, match=match):
        snt.BatchNormLSTM(H, **options)


def test_keys():
    assert snt.BatchNormLSTM.get_possible_initializer_keys() == {"w_gates", "b_gates", "gamma_h"}
    every = snt.BatchNormLSTM.get_possible_initializer_keys(True, True, True, True)
    assert every == snt.BatchNormLSTM.POSSIBLE_INITIALIZER_KEYS
    assert len(every) == 9


def test_is_training_must_be_given(mode):
    core = snt.BatchNormLSTM(H)
    with pytest.raises(ValueError, match="is_training flag must be explicitly specified"):
        mode.run(lambda x: core(x, core.zero_state(B, x.dtype)), array(B, D))


def test_properties():
    core = snt.BatchNormLSTM(H, use_batch_norm_h=False, use_batch_norm_c=True)
    found = (core.use_batch_norm_h, core.use_batch_norm_x, core.use_batch_norm_c)
    assert found == (False, False, True)
    assert core.use_peepholes is False


# IndexedStatsBatchNorm by itself.


def test_the_last_statistics_are_for_all_later_steps(mode):
    module = snt.BatchNormLSTM.IndexedStatsBatchNorm(2, name="indexed")
    x = array(B, D)
    mode.run(lambda x, index: module(x, index, True, True), x, np.int32(7))
    found = averages_of(module, mode)
    expected = (1 - DECAY) * x.mean(0, keepdims=True)
    np.testing.assert_allclose(found["indexed/batch_norm_1/moving_mean"], expected, 1e-9)
    np.testing.assert_array_equal(found["indexed/batch_norm/moving_mean"], 0)


def test_indexed_static_shape():
    with tf.Graph().as_default():
        module = snt.BatchNormLSTM.IndexedStatsBatchNorm(2)
        assert module.scope_name == "indexed_stats_batch_norm"
        x, index = tf1.placeholder(tf.float32, [None, D]), tf1.placeholder(tf.int32, [])
        assert module(x, index, False, True).shape.as_list() == [None, D]
