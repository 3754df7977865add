"""`ConcatLinear`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

RNG = np.random.default_rng(0)
ONES = tf1.ones_initializer()
NORMAL = tf1.random_normal_initializer()


def array(*shape):
    return RNG.normal(size=shape)


def connect(module, mode, *arrays, **kwargs):
    return mode.run(lambda *tensors: module(list(tensors)), *arrays, **kwargs)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("sizes", [[4], [4, 2], [4, 2, 7]])
def test_is_a_sum_of_linear_maps(sizes, use_bias, mode):
    module = snt.ConcatLinear(3, use_bias=use_bias, initializers={"w": NORMAL})
    arrays = [array(5, size) for size in sizes]
    for _ in range(2):
        outputs = connect(module, mode, *arrays, unknown_batch=True)
        prefix = "concat_linear/"
        values = dict(
            zip(
                [v.name for v in module.variables], mode.values(list(module.variables)), strict=True
            )
        )
        weights = [
            values[f"{prefix}linear{'' if i == 0 else f'_{i}'}/w:0"] for i in range(len(sizes))
        ]
        assert len(values) == len(sizes) + use_bias
        expected = sum(x @ w for x, w in zip(arrays, weights, strict=True))
        if use_bias:
            expected = expected + values[f"{prefix}linear/b:0"]
        np.testing.assert_allclose(outputs, expected, 1e-12)


def test_each_matrix_is_initialised_by_its_own_size(mode):
    module = snt.ConcatLinear(2000)
    connect(module, mode, array(1, 4).astype("float32"), array(1, 100).astype("float32"))
    matrices = [v for v in module.variables if v.name.endswith("/w:0")]
    for matrix in mode.values(matrices):
        size = matrix.shape[0]
        # Of a normal distribution cut off at two standard deviations.
        np.testing.assert_allclose(matrix.std(), 0.8796 / np.sqrt(size), 0.03)


def test_takes_any_iterable(mode):
    module = snt.ConcatLinear(3, initializers={"w": ONES})
    inputs = array(5, 4)
    for given in (lambda x: [x, x], lambda x: (x, x), lambda x: iter([x, x])):
        outputs = mode.run(lambda x, g=given: module(inputs_list=g(x)), inputs)
        np.testing.assert_allclose(outputs, np.repeat(2 * inputs.sum(1, keepdims=True), 3, 1))


def test_a_callable_output_size(mode):
    assert connect(snt.ConcatLinear(lambda: 3), mode, array(5, 4), array(5, 2)).shape == (5, 3)


def test_the_bias_has_the_options_of_b(mode):
    """Only the first linear map has a bias, and gets what is given for it."""
    module = snt.ConcatLinear(
        3,
        initializers={"w": tf1.zeros_initializer(), "b": ONES},
        partitioners={"b": tf1.fixed_size_partitioner(1)},
        regularizers={"w": tf.nn.l2_loss, "b": tf.nn.l2_loss},
    )
    for _ in range(2):
        outputs = connect(module, mode, array(5, 4), array(5, 2), array(5, 1))
        np.testing.assert_array_equal(outputs, np.ones([5, 3]))
    losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
    assert sorted(mode.values(list(losses))) == [0, 0, 0, 1.5]


def test_custom_getters_see_the_names_inside(mode):
    seen = []

    def getter(next_getter, name, *args, **kwargs):
        seen.append(name)
        return next_getter(name, *args, **kwargs)

    module = snt.ConcatLinear(3, custom_getter={"linear/w": getter, "linear_1/w": getter})
    connect(module, mode, array(5, 4), array(5, 2))
    # In the function mode the function is traced twice, since it makes variables.
    assert set(seen) == {"concat_linear/linear/w", "concat_linear/linear_1/w"}


# Errors.


def test_needs_an_input(mode):
    module = snt.ConcatLinear(3)
    with pytest.raises(ValueError, match="needs at least one input"):
        mode.run(lambda: module([]))
    assert not module.is_connected


@pytest.mark.parametrize("sizes", [[4], [4, 2, 1]])
def test_the_number_of_inputs_stays(sizes, mode):
    module = snt.ConcatLinear(3)
    connect(module, mode, array(5, 4), array(5, 2))
    with pytest.raises(ValueError, match=f"got {len(sizes)} inputs, but there were 2"):
        connect(module, mode, *(array(5, size) for size in sizes))


def test_the_sizes_of_inputs_stay(mode):
    module = snt.ConcatLinear(3)
    connect(module, mode, array(5, 4), array(5, 2))
    with pytest.raises(ValueError, match="Trying to share variable"):
        connect(module, mode, array(5, 2), array(5, 4))


def test_inputs_are_matrices(mode):
    with pytest.raises(snt.IncompatibleShapeError, match="rank of shape must be 2"):
        connect(snt.ConcatLinear(3), mode, array(5, 4), array(5, 2, 1))


def test_options_are_checked_at_the_connection(mode):
    for options, error in (
        ({"initializers": {"v": ONES}}, KeyError),
        ({"initializers": {"b": ONES}, "use_bias": False}, KeyError),
        ({"regularizers": {"w": 1.0}}, TypeError),
        ({"partitioners": 1}, TypeError),
    ):
        module = snt.ConcatLinear(3, **options)
        with pytest.raises(error):
            connect(module, mode, array(5, 4), array(5, 2))
