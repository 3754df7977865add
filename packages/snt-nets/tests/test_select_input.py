"""`SelectInput`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

ARRAYS = [np.array([i, 10 * i]) for i in range(3)]


@pytest.mark.parametrize(
    "idx", [0, 2, np.int64(1), [0], [2, 0, 2], (1, [0, (2,)]), [[1]], [], (), [[], 1]]
)
def test_selects(idx, mode):
    def expected(idx):
        return tuple(map(expected, idx)) if isinstance(idx, (list, tuple)) else ARRAYS[idx]

    outputs = mode.run(snt.SelectInput(idx), *ARRAYS)
    tf.nest.assert_same_structure(outputs, expected(idx))
    tf.nest.map_structure(np.testing.assert_array_equal, outputs, expected(idx))


def test_the_list_is_copied(mode):
    idx = [0, [1]]
    module = snt.SelectInput(idx)
    idx[1].append(2)
    assert len(mode.run(module, *ARRAYS)[1]) == 1


def test_outputs_can_be_fetched_while_inputs_are_fed():
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = tf.constant(1), tf.constant(2)
        outputs = snt.SelectInput([1, 0, 1])(*inputs)
        assert all(x.op.type == "Identity" for x in outputs)
        assert session.run(outputs, {inputs[0]: 5, inputs[1]: 7}) == (7, 5, 7)


@pytest.mark.parametrize("idx", [None, 1.0, "0", [0, 1.5], [[None]], {0: 1}, np.array([0]), {0}])
def test_indices_are_integers(idx):
    with pytest.raises(TypeError, match=r"should be a \(nested\) array/tuple, or an integer"):
        snt.SelectInput(idx)


@pytest.mark.parametrize("idx", [3, -1, [0, 3], [0, [[-2]]]])
def test_indices_are_those_of_inputs(idx, mode):
    with pytest.raises(ValueError, match=r"`idx` contains out of bound entries.*range \[0, 3\)"):
        mode.run(snt.SelectInput(idx), *ARRAYS)
