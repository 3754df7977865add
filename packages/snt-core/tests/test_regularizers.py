"""Regularisers, against the sums that define them, by NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.regularizers import l1_regularizer, l2_regularizer, sum_regularizer

WEIGHTS = np.array([[0.5, -2.0, 3.0], [0.0, -0.25, 1.5]])


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
@pytest.mark.parametrize("scale", [0.5, 2, np.float32(0.25)])
def test_values_and_dtypes(dtype, scale):
    weights = tf.constant(WEIGHTS, dtype)
    l1, l2 = l1_regularizer(scale)(weights), l2_regularizer(scale)(weights)
    assert l1.dtype == l2.dtype == dtype
    assert l1.shape == l2.shape == ()
    np.testing.assert_allclose(float(l1), scale * np.abs(WEIGHTS).sum(), rtol=1e-2)
    np.testing.assert_allclose(float(l2), scale * 0.5 * np.square(WEIGHTS).sum(), rtol=1e-2)


@pytest.mark.parametrize("make", [l1_regularizer, l2_regularizer])
def test_gradients_are_those_of_the_penalty(make):
    weights = tf.Variable(WEIGHTS)
    with tf.GradientTape() as tape:
        penalty = make(0.5)(weights)
    expected = 0.5 * (np.sign(WEIGHTS) if make is l1_regularizer else WEIGHTS)
    np.testing.assert_allclose(tape.gradient(penalty, weights), expected)


@pytest.mark.parametrize("make", [l1_regularizer, l2_regularizer])
@pytest.mark.parametrize("zero", [0, 0.0, np.float64(0)])
def test_scale_zero_adds_no_loss(make, zero):
    assert make(zero)(tf.constant(WEIGHTS)) is None
    with tf.Graph().as_default() as graph:
        tf1.get_variable("w", [2], regularizer=make(zero))
        assert graph.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES) == []


@pytest.mark.parametrize("make", [l1_regularizer, l2_regularizer])
@pytest.mark.parametrize(
    "scale", [-1, -0.1, True, False, np.bool_(True), "0.1", None, 1j, float("nan"), float("inf")]
)
def test_unfit_scales_are_refused(make, scale):
    with pytest.raises(ValueError, match=f"{make.__name__}: scale must be a finite number"):
        make(scale)


def test_sum_skips_what_gives_nothing():
    weights = tf.constant(WEIGHTS)
    both = sum_regularizer([l1_regularizer(0.5), None, l2_regularizer(0), l2_regularizer(2.0)])
    expected = 0.5 * np.abs(WEIGHTS).sum() + np.square(WEIGHTS).sum()
    np.testing.assert_allclose(both(weights), expected)
    assert sum_regularizer([l1_regularizer(0)])(weights) is None
    assert sum_regularizer([]) is None
    assert sum_regularizer([None]) is None


def test_sum_takes_an_iterator_and_refuses_other_things():
    assert sum_regularizer(iter([l1_regularizer(1)]))(tf.constant(WEIGHTS)).numpy() == 7.25
    with pytest.raises(TypeError, match="is not callable"):
        sum_regularizer([0.5])


def test_ops_stand_in_their_scopes():
    with tf.Graph().as_default():
        weights = tf.constant(WEIGHTS)
        assert l1_regularizer(0.1)(weights).op.name.startswith("l1_regularizer/")
        assert l2_regularizer(0.1, scope="decay")(weights).op.name.startswith("decay/")
        total = sum_regularizer([l1_regularizer(0.1), l2_regularizer(0.1)])(weights)
        assert total.op.name.startswith("sum_regularizer/")


def test_loss_of_a_variable_reaches_the_collection_once():
    with tf.Graph().as_default(), tf1.Session() as session:
        for reuse in (False, True):
            with tf1.variable_scope("net", reuse=reuse):
                tf1.get_variable(
                    "w",
                    [2, 3],
                    tf.float64,
                    tf1.constant_initializer(WEIGHTS),
                    regularizer=l2_regularizer(0.5),
                )
        session.run(tf1.global_variables_initializer())
        (loss,) = tf1.losses.get_regularization_losses()
        np.testing.assert_allclose(session.run(loss), 0.25 * np.square(WEIGHTS).sum())


def test_partitioned_variable():
    with tf.Graph().as_default(), tf1.Session() as session:
        weights = tf1.get_variable(
            "w",
            [2, 3],
            tf.float64,
            tf1.ones_initializer(),
            partitioner=tf1.fixed_size_partitioner(2),
        )
        session.run(tf1.global_variables_initializer())
        penalty = session.run(l1_regularizer(1)(weights))
        np.testing.assert_allclose(penalty, 6.0)
