"""`TrainableInitialState`."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.cores import Pair
from tests.support.variables import names

ROWS = np.random.default_rng(0).normal(size=[1, 3])
VECTORS = np.tile(ROWS, [4, 1])
IMAGES = np.ones([4, 2, 1])


def make(state, mask=None, **options):
    with pytest.warns(DeprecationWarning, match="Use the trainable flag"):
        return snt.TrainableInitialState(state, mask, **options)


@pytest.mark.parametrize("mask", [None, Pair(True, [True, True])])
def test_all_parts(mask, mode):
    given = Pair(tf.constant(VECTORS), [tf.constant(IMAGES), tf.ones([4, 1], tf.float32)])
    module = make(given, mask)
    state = mode.run(module)
    assert type(state) is Pair
    assert type(state.second) is list
    for actual, expected in zip(tf.nest.flatten(state), (VECTORS, IMAGES, 1), strict=True):
        np.testing.assert_array_equal(actual, np.broadcast_to(expected, actual.shape))
    variables = module.get_variables()
    assert names(variables) == [f"trainable_initial_state/initial_state_{i}" for i in range(3)]
    assert [v.shape for v in variables] == [(1, 3), (1, 2, 1), (1, 1)]
    assert [v.dtype.base_dtype for v in variables] == [tf.float64, tf.float64, tf.float32]
    assert all(v.trainable for v in variables)


def test_some_parts_and_sharing(mode):
    given = (tf.constant(VECTORS), tf.constant(IMAGES), tf.constant(VECTORS))
    module = make(given, (False, False, np.bool_(True)), name="some")
    mode.run(module)
    [variable] = module.get_variables()
    assert names([variable]) == ["some/initial_state_2"]
    mode.assign(variable, np.full([1, 3], 7.0))
    first, image, last = mode.run(module)
    np.testing.assert_array_equal(first, VECTORS)
    np.testing.assert_array_equal(image, IMAGES)
    np.testing.assert_array_equal(last, np.full([4, 3], 7))
    assert len(module.variables) == 1


def test_in_a_module(mode):
    class Model(snt.AbstractModule):
        def _build(self, x):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                state = snt.TrainableInitialState(tf.ones([4, 3], x.dtype))
            return x + state()

    model = Model()
    for _ in range(2):
        np.testing.assert_array_equal(mode.run(model, VECTORS), VECTORS + 1)
    assert names(model.get_variables()) == ["model/trainable_initial_state/initial_state_0"]
    [gradient] = mode.gradients(
        lambda: tf.reduce_sum(model(tf.constant(VECTORS))), model.get_variables
    )
    np.testing.assert_array_equal(gradient, np.full([1, 3], 4))


@pytest.mark.parametrize("learnt", [True, False])
def test_rows_must_be_equal(learnt, mode):
    values = VECTORS.copy()
    values[2, 1] += 1

    module = make(tf.constant(values), learnt)
    with pytest.raises(tf.errors.InvalidArgumentError, match="rows of part 0 of initial_state"):
        mode.run(module)


@pytest.mark.parametrize("learnt", [True, False])
def test_rows_are_compared_when_a_graph_is_run(learnt):
    with tf.Graph().as_default(), tf1.Session() as session:
        given = tf1.placeholder(tf.float64, [4, 3])
        module = make(given, learnt)
        state = module()
        unequal, equal = {given: np.arange(12).reshape([4, 3])}, {given: VECTORS}
        for variable in tf1.global_variables():
            with pytest.raises(
                tf.errors.InvalidArgumentError, match="rows of part 0 of initial_state"
            ):
                session.run(variable.initializer, unequal)
            session.run(variable.initializer, equal)
        np.testing.assert_array_equal(session.run(state, equal), VECTORS)
        with pytest.raises(tf.errors.InvalidArgumentError, match="rows of part 0 of initial_state"):
            session.run(state, unequal)


@pytest.mark.parametrize(
    ("shape", "learnt", "match"),
    [
        ([None, 3], True, "batch size must be known"),
        ([None, 3], False, "batch size must be known"),
        ([], False, "batch size must be known"),
        (None, True, "batch size must be known"),
        ([4, None], True, "needs a shape that is fully defined"),
    ],
)
def test_shapes_must_be_known(shape, learnt, match):
    with tf.Graph().as_default():
        module = make(tf1.placeholder(tf.float32, shape), learnt)
        with pytest.raises(ValueError, match=match):
            module()


def test_what_is_not_learnt_may_be_of_a_shape_that_is_unknown():
    with tf.Graph().as_default():
        assert make(tf1.placeholder(tf.float32, [4, None]), False)().shape.as_list() == [4, None]


@pytest.mark.parametrize(
    ("mask", "error", "match"),
    [
        ((True, 1), TypeError, "Mask should be None, or"),
        ((True, "no"), TypeError, "Mask should be None, or"),
        (3, TypeError, "Mask should be None, or"),
        ((True, None), TypeError, "Mask should be None, or"),
        ((True,), ValueError, "structure"),
        ((True, (True,)), ValueError, "structure"),
        ([True, True], TypeError, "type"),
    ],
)
@pytest.mark.filterwarnings("ignore:TrainableInitialState is deprecated")
def test_masks_that_do_not_fit(mask, error, match):
    with pytest.raises(error, match=match):
        snt.TrainableInitialState((tf.constant(VECTORS), tf.constant(IMAGES)), mask)


def test_leaves_the_filters_of_warnings_alone():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = list(warnings.filters)
        snt.TrainableInitialState(tf.constant(VECTORS))
        assert warnings.filters == before
