"""`get_lagrange_multiplier` and `OptimizationConstraints`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_nets.optimization_constraints import (
    LAGRANGE_MULTIPLIERS,
    _constrain_to_range,
    _parametrize,
)

RNG = np.random.default_rng(0)


def softplus(x):
    return np.log1p(np.exp(x))


def in_module(build):
    """Each connection of a module finds the same multipliers."""
    return snt.Module(build, name="module")


def value_and_gradients(function, x, mode):
    """Returns the value of a function, and its gradient from an incoming one."""

    def compute(x, incoming):
        if mode.in_graph:
            y = function(x)
            return y, tf1.gradients(y, x, incoming, unconnected_gradients="zero")[0]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x, incoming, unconnected_gradients="zero")

    return lambda incoming: mode.run(compute, x, np.asarray(incoming, x.dtype))


# Multipliers.


@pytest.mark.parametrize(
    ("initializer", "expected"),
    [
        (1.0, 1),
        (3, 3),
        (None, 1),
        (np.float64(0.5), 0.5),
        ([1, 2, 3], [1, 2, 3]),
        ((0.1, 0.2, 0.3), [0.1, 0.2, 0.3]),
        (np.array([[4.0], [5.0]]), [[4] * 3, [5] * 3]),
        (tf1.constant_initializer(4), 4),
        (tf.constant_initializer(5), 5),
        (tf1.ones_initializer, 1),
        (lambda shape, dtype, partition_info: 6 * tf.ones(shape, dtype), 6),
        (lambda shape, dtype: 7 * tf.ones(shape, dtype), 7),
        (lambda *args: 8 * tf.ones(*args[:2]), 8),
    ],
)
def test_starts_at_the_initializer(initializer, expected, mode):
    multiplier = mode.run(
        in_module(lambda: snt.get_lagrange_multiplier((2, 3), initializer=initializer))
    )
    assert multiplier.shape == (2, 3)
    assert multiplier.dtype == np.float32
    np.testing.assert_allclose(multiplier, np.broadcast_to(expected, (2, 3)), 1e-5)


def test_variable(mode):
    module = in_module(lambda: [snt.get_lagrange_multiplier([2]) for _ in range(2)])
    for _ in range(2):
        values = mode.run(module)
    first, second = module.get_variables()
    assert first.name == "module/lagrange_multiplier/w:0"
    assert second.name == "module/lagrange_multiplier_1/w:0"
    assert first.dtype.base_dtype == tf.float32
    mode.assign(first, [0.5, -1.0])
    values = mode.run(module)
    np.testing.assert_allclose(values[0], softplus(np.array([0.5, -1])) ** 2, 1e-5)
    np.testing.assert_allclose(values[1], [1, 1], 1e-5)
    if mode.in_graph:
        assert tf1.get_collection(LAGRANGE_MULTIPLIERS) == [first, second]
        assert tf1.trainable_variables() == [first, second]


def test_each_call_makes_a_variable():
    with tf.Graph().as_default(), tf1.variable_scope("scope"):
        multipliers = [snt.get_lagrange_multiplier(name="m", shape=[2, 1]) for _ in range(2)]
        names = [v.name for v in tf1.get_collection("Lagrange Multipliers")]
        assert names == ["scope/m/w:0", "scope/m_1/w:0"]
        assert [m.shape.as_list() for m in multipliers] == [[2, 1]] * 2


@pytest.mark.parametrize("rate", [1, 2.5, 0.1, np.float32(3)])
@pytest.mark.parametrize("maximize", [True, False])
def test_the_gradient_is_reversed_and_scaled_by_the_rate(rate, maximize, mode):
    """Of c λ(w), for several c: -rate c dλ/dw, where the derivative would be c dλ/dw."""
    constraint = np.array([2.0, -3.0, 0.0], np.float32)
    module = in_module(
        lambda: snt.get_lagrange_multiplier(
            [3], rate=rate, initializer=[0.5, 1, 2], maximize=maximize
        )
    )
    value = mode.run(module)
    sign = 1 if maximize else -1
    np.testing.assert_allclose(sign * value, [0.5, 1, 2], 1e-5)
    (gradient,) = mode.gradients(lambda: tf.reduce_sum(module() * constraint), module.get_variables)
    w = mode.values(module.get_variables()[0]).astype("float64")
    slope = (softplus(w + 1e-6) ** 2 - softplus(w - 1e-6) ** 2) / 2e-6
    np.testing.assert_allclose(gradient, sign * -rate * constraint * slope, 1e-4)


def test_the_rate_may_be_a_tensor(mode):
    module = in_module(lambda rate: snt.get_lagrange_multiplier(rate=rate))

    def gradient(rate):
        if mode.in_graph:
            return tf1.gradients(module(rate), module.get_variables())[0]
        with tf.GradientTape() as tape:
            y = module(rate)
        return tape.gradient(y, module.get_variables()[0])

    once, thrice = (mode.run(gradient, np.float32(rate)) for rate in (1, 3))
    assert once < 0
    np.testing.assert_allclose(thrice, 3 * once, 1e-6)


def test_rate_0_gives_no_gradient(mode):
    module = in_module(lambda: snt.get_lagrange_multiplier(rate=0))
    mode.run(module)
    with tf.GradientTape() as tape:
        y = module()
    w = module.get_variables()[0]
    assert (tf1.gradients(y, w)[0] if mode.in_graph else tape.gradient(y, w)) is None


def test_parametrize(mode):
    x = RNG.normal(size=[5])
    incoming = RNG.normal(size=[5])
    value, gradient = value_and_gradients(lambda x: _parametrize(x, 0.5), x, mode)(incoming)
    np.testing.assert_allclose(value, softplus(x) ** 2, 1e-9)
    slope = (softplus(x + 1e-6) ** 2 - softplus(x - 1e-6) ** 2) / 2e-6
    np.testing.assert_allclose(gradient, -0.5 * incoming * slope, 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("as_tensors", [False, True])
def test_constrain_to_range(dtype, as_tensors, mode):
    x = np.array([-2.0, -1.0, 0.3, 1.0, 2.0], dtype)

    def clip(x):
        limits = (tf.constant(-1), tf.constant(1)) if as_tensors else (-1, 1)
        return _constrain_to_range(x, *limits)

    run = value_and_gradients(clip, x, mode)
    value, gradient = run([1] * 5)
    np.testing.assert_array_equal(value, [-1, -1, x[2], 1, 1])
    np.testing.assert_array_equal(gradient, [1, 1, 1, 1, 0])
    value, gradient = run([-2] * 5)
    np.testing.assert_array_equal(gradient, [0, -2, -2, -2, -2])
    np.testing.assert_array_equal(run([0] * 5)[1], [0] * 5)
    with pytest.raises(ValueError, match="does not support non-float `x`, got int32"):
        mode.run(clip, np.zeros([2], np.int32))


def test_limits_are_not_rounded(mode):
    value = mode.run(lambda x: _constrain_to_range(x, 0.1, 0.7), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(value, [0.1, 0.7])


@pytest.mark.parametrize(
    ("constraint", "moves"),
    # By minimising λ c with the gradient reversed: up where c > 0, down where c < 0.
    [(1.0, [True, True, False]), (-1.0, [False, True, True])],
)
def test_valid_range(constraint, moves, mode):
    module = in_module(
        lambda: snt.get_lagrange_multiplier([3], valid_range=(1, 2), initializer=[0.5, 1.5, 3])
    )
    np.testing.assert_allclose(mode.run(module), [1, 1.5, 2], 1e-6)
    (gradient,) = mode.gradients(lambda: tf.reduce_sum(module() * constraint), module.get_variables)
    np.testing.assert_array_equal(gradient != 0, moves)
    assert (np.sign(gradient[moves]) == -np.sign(constraint)).all()


@pytest.mark.parametrize("initializer", [0, 0.0, -1, [1, 0], float("nan")])
def test_initial_values_are_positive(initializer):
    with pytest.raises(ValueError, match="initializer must be positive"):
        snt.get_lagrange_multiplier([2], initializer=initializer)


@pytest.mark.parametrize(
    ("shape", "initializer"), [((), [1, 2]), ([3], [1, 2]), ([2], np.ones([1, 2]))]
)
def test_initial_values_suit_the_shape(shape, initializer):
    with pytest.raises(ValueError, match="initializer must broadcast to the shape"):
        snt.get_lagrange_multiplier(shape, initializer=initializer)


@pytest.mark.parametrize("valid_range", [(1, 2, 3), [1]])
def test_a_range_is_a_pair(valid_range):
    with pytest.raises(ValueError, match="valid_range must be a pair"):
        snt.get_lagrange_multiplier(valid_range=valid_range)


def test_a_function_has_multipliers_in_a_module_only():
    with pytest.raises(ValueError, match="singleton"):
        tf.function(lambda: snt.get_lagrange_multiplier())()


def test_gradients_in_eager_mode_without_a_module():
    with tf.GradientTape() as tape:
        loss = 3 * snt.get_lagrange_multiplier(initializer=2)
    (w,) = tape.watched_variables()
    slope = 2 * softplus(w.numpy()) / (1 + np.exp(-w.numpy()))
    np.testing.assert_allclose(tape.gradient(loss, w), -3 * slope, 1e-5)


# Constraints.


def test_penalty(mode):
    x, y = RNG.normal(size=[2, 3]).astype("float32"), RNG.normal(size=[3]).astype("float32")

    def build(x, y):
        constraints = snt.OptimizationConstraints()
        assert constraints.add_leq(x, 0.5, initializer=2.0) is constraints
        assert constraints.add_geq(1.5, y).add_leq(y).add_geq(y) is constraints
        penalty = constraints()
        assert constraints() is penalty
        return penalty, constraints.constraints, constraints.lagrange_multipliers

    penalty, constraints, multipliers = mode.run(in_module(build), x, y)
    expected = [x - 0.5, y - 1.5, y, -y]
    for found, constraint in zip(constraints, expected, strict=True):
        np.testing.assert_allclose(found, constraint, 1e-6)
    for found, constraint, value in zip(multipliers, expected, [2, 1, 1, 1], strict=True):
        assert found.shape == constraint.shape
        np.testing.assert_allclose(found, np.full_like(constraint, value), 1e-5)
    sums = [2 * expected[0].sum(), *(c.sum() for c in expected[1:])]
    np.testing.assert_allclose(penalty, sum(sums), 1e-4, 1e-5)
    assert penalty.dtype == np.float32
    assert penalty.shape == ()


def test_no_constraints(mode):
    assert mode.run(lambda: snt.OptimizationConstraints()()) == 0


def test_either_side_may_be_a_number_or_a_variable(mode):
    def build(x):
        w = tf1.get_variable("w", [], initializer=tf1.constant_initializer(5))
        constraints = snt.OptimizationConstraints().add_leq(x, 1).add_leq(1, x).add_geq(x, 1)
        return constraints.add_geq(1, x).add_leq(w).add_geq(1, w).add_leq(2, 3).constraints

    found = mode.run(in_module(build), np.float32(3))
    assert found == [2, -2, -2, 2, 5, 4, -1]


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_constraints_of_other_types(dtype, mode):
    penalty = mode.run(
        in_module(lambda x: snt.OptimizationConstraints().add_leq(x, 1)()),
        np.array([2, 4], dtype),
    )
    assert penalty.dtype == np.float32
    np.testing.assert_allclose(penalty, 4, 1e-5)


@pytest.mark.parametrize(
    ("compare", "sign"),
    [
        (lambda x, y: x < y, 1),
        (lambda x, y: x <= y, 1),
        (lambda x, y: x > y, -1),
        (lambda x, y: x >= y, -1),
        (lambda x, y: tf.less(x, y), 1),
        (lambda x, y: y > x, 1),
    ],
)
def test_parses_expressions(compare, sign, mode):
    def build(x, y):
        constraints = snt.OptimizationConstraints()
        assert constraints.add(compare(x, y), initializer=3.0) is constraints
        return constraints.constraints, constraints.lagrange_multipliers

    x, y = RNG.normal(size=[2, 3]).astype("float32")
    if mode.name == "eager":
        with pytest.raises(snt.NotSupportedError, match=r"use add_leq\(lhs, rhs\) for"):
            mode.run(build, x, y)
        return
    (constraint,), (multiplier,) = mode.run(in_module(build), x, y)
    np.testing.assert_allclose(constraint, sign * (x - y), 1e-6)
    np.testing.assert_allclose(multiplier, [3, 3, 3], 1e-5)


@pytest.mark.parametrize(
    "expression", [lambda x: tf.equal(x, 1), lambda x: x + 1, lambda x: True, lambda x: np.bool_(1)]
)
def test_other_expressions_are_errors(expression):
    with tf.Graph().as_default(), pytest.raises(TypeError, match="only supports parsing of the"):
        snt.OptimizationConstraints().add(expression(tf.zeros([2])))


def test_options_of_the_container_are_inherited(mode):
    def build(multiplied):
        constraints = snt.OptimizationConstraints(rate=2.0, valid_range=(0.5, 2))
        x = tf.ones([])
        constraints.add_leq(x, initializer=5)
        constraints.add_leq(x, initializer=5, valid_range=())
        constraints.add_geq(0, x, initializer=5, rate=3.0, valid_range=(0, 10))
        multiplied.append(constraints.lagrange_multipliers)
        return constraints()

    multiplied = []
    module = in_module(lambda: build(multiplied))
    penalty = mode.run(module)
    np.testing.assert_allclose(penalty, 2 + 2 + 5, 1e-5)
    # λ is above the range of the first two, and would go on rising.
    gradients = mode.gradients(module, module.get_variables)
    w = mode.values(module.get_variables()[2]).astype("float64")
    slope = 2 * softplus(w) / (1 + np.exp(-w))
    np.testing.assert_allclose(gradients, [0, 0, -3 * slope], 1e-5)


def test_nothing_is_added_after_the_penalty(mode):
    def build():
        constraints = snt.OptimizationConstraints().add_leq(tf.ones([]))
        assert not constraints._is_connected
        constraints()
        assert constraints._is_connected
        for add in (constraints.add_leq, constraints.add_geq):
            with pytest.raises(ValueError, match="Cannot add further constraints"):
                add(tf.ones([]))
        if mode.name != "eager":
            with pytest.raises(ValueError, match="Cannot add further constraints"):
                constraints.add(tf.ones([]) < 2)
        return constraints()

    mode.run(in_module(build))


def test_shapes_must_be_known():
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [None, 3])
        constraints = snt.OptimizationConstraints()
        with pytest.raises(snt.UnderspecifiedError, match=r"got \(None, 3\)"):
            constraints.add_leq(x)
        with pytest.raises(snt.UnderspecifiedError, match="fully known"):
            constraints.add(x < 3)
        assert constraints.constraints == constraints.lagrange_multipliers == []


def test_one_minimiser_solves_a_constrained_problem(mode):
    """The least x² with x >= 2 is at 2, where the multiplier is the slope, 4."""

    def build():
        x = tf1.get_variable("x", [], initializer=tf1.zeros_initializer())
        constraints = snt.OptimizationConstraints(rate=1.0).add_geq(x, 2.0)
        return x**2 + constraints(), x, constraints.lagrange_multipliers[0]

    module = in_module(build)
    if mode.in_graph:
        loss, x, multiplier = module()
        train = tf1.train.GradientDescentOptimizer(0.05).minimize(loss)
        mode.values(loss)
        for _ in range(600):
            mode._session.run(train)
        x, multiplier = mode.values([x, multiplier])
    else:

        def step():
            with tf.GradientTape() as tape:
                loss, *found = module()
            variables = module.trainable_variables
            for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
                variable.assign_sub(0.05 * gradient)
            return [tf.identity(value) for value in found]

        step = tf.function(step) if mode.name == "function" else step
        for _ in range(600):
            x, multiplier = step()
    np.testing.assert_allclose([x, multiplier], [2, 4], 1e-2)
