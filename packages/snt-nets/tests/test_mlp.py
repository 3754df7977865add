"""`nets.MLP`."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

INPUTS = np.random.default_rng(0).normal(size=[5, 4]).astype("float32")
ONES = {"w": tf1.ones_initializer()}


def relu(x):
    return np.maximum(x, 0)


def forward(mlp, inputs, activation, activate_final, mode):
    outputs = inputs
    for index, layer in enumerate(mlp.layers):
        outputs = outputs @ mode.values(layer.w)
        if mlp.use_bias:
            outputs = outputs + mode.values(layer.b)
        if index < len(mlp.layers) - 1 or activate_final:
            outputs = activation(outputs)
    return outputs


@pytest.mark.parametrize("sizes", [[3], [3, 2], (6, 5, 3), iter([3, lambda: 2])])
@pytest.mark.parametrize("activate_final", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_applies_linear_layers_and_activations(sizes, activate_final, use_bias, mode):
    given = {"b": tf1.random_normal_initializer()} if use_bias else None
    if not isinstance(sizes, (list, tuple)):
        sizes = iter([3, lambda: 2])  # which can be read but once
    mlp = snt.nets.MLP(sizes, activate_final=activate_final, use_bias=use_bias, initializers=given)
    outputs = mode.run(mlp, INPUTS)
    expected = forward(mlp, INPUTS, relu, activate_final, mode)
    np.testing.assert_allclose(outputs, expected, 1e-5, 1e-5)
    assert mlp.output_sizes == tuple(layer.output_size for layer in mlp.layers)
    assert mlp.output_size == mlp.output_sizes[-1] == outputs.shape[1]
    assert mlp.input_shape == INPUTS.shape
    names = [
        f"mlp/linear_{i}/{key}:0"
        for i in range(len(mlp.layers))
        for key in ("wb" if use_bias else "w")
    ]
    assert [v.name for v in mlp.get_variables()] == names


def test_takes_another_activation(mode):
    mlp = snt.nets.MLP([3, 2], activation=tf.tanh, activate_final=True)
    outputs = mode.run(mlp, INPUTS)
    np.testing.assert_allclose(outputs, forward(mlp, INPUTS, np.tanh, True, mode), 1e-5, 1e-5)


def test_properties_before_the_connection():
    regularizers, partitioners = {"w": tf.reduce_sum}, {"w": tf1.fixed_size_partitioner(1)}
    mlp = snt.nets.MLP(
        output_sizes=[3, 2],
        activation=tf.tanh,
        activate_final=True,
        initializers=ONES,
        partitioners=partitioners,
        regularizers=regularizers,
        use_bias=False,
        use_dropout=True,
        custom_getter=None,
        name="net",
    )
    assert mlp.output_sizes == (3, 2)
    assert mlp.output_size == 2
    assert isinstance(mlp.layers, list)
    assert [layer.scope_name for layer in mlp.layers] == ["net/linear_0", "net/linear_1"]
    assert (mlp.activation, mlp.activate_final) == (tf.tanh, True)
    assert (mlp.use_bias, mlp.use_dropout) == (False, True)
    assert mlp.initializers == ONES
    assert mlp.partitioners is partitioners
    assert mlp.regularizers == regularizers
    for layer in mlp.layers:
        assert layer.initializers == ONES
        assert layer.partitioners == partitioners
        assert layer.regularizers == regularizers
    for name in ("input_shape", "variables"):
        with pytest.raises(snt.NotConnectedError, match="Variables in net not instantiated yet"):
            getattr(mlp, name)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"output_sizes": 3}, TypeError, "output_sizes must be iterable"),
        ({"output_sizes": None}, TypeError, "output_sizes must be iterable"),
        ({"output_sizes": []}, ValueError, "output_sizes must not be empty"),
        ({"output_sizes": iter([])}, ValueError, "output_sizes must not be empty"),
        ({"output_sizes": [3]}, KeyError, "Invalid initializer keys"),
        ({"output_sizes": [3], "initializers": None}, TypeError, "'activation' must be callable"),
    ],
)
def test_errors_of_the_constructor_in_order(arguments, error, message):
    with pytest.raises(error, match=message):
        snt.nets.MLP(**{"initializers": {"no": tf.zeros}, "activation": 3, **arguments})


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4)])
def test_inputs_have_rank_2(shape, mode):
    with pytest.raises(snt.IncompatibleShapeError, match="mlp/linear_0: rank of shape must be 2"):
        mode.run(snt.nets.MLP([3]), np.ones(shape, np.float32))


def test_regularizes_each_layer(mode):
    key = tf1.GraphKeys.REGULARIZATION_LOSSES
    tf1.get_default_graph().clear_collection(key)
    regularizers = {"w": tf.reduce_sum, "b": lambda b: tf.reduce_sum(b + 0.5)}
    mlp = snt.nets.MLP([3, 2], initializers=ONES, regularizers=regularizers)
    for _ in range(2):
        mode.run(mlp, INPUTS)
    losses = [tf.convert_to_tensor(loss) for loss in tf1.get_collection(key)]
    np.testing.assert_allclose(mode.values(losses), [4 * 3, 1.5, 3 * 2, 1])


# Dropout.

WIDE = np.ones([50, 10], np.float32)


def wide_mlp(**options):
    """Gives 10 (in training, 10 / keep_prob or 0) for each of 50 x 200 features."""
    options = {"initializers": ONES, "activate_final": True, "use_dropout": True, **options}
    return snt.nets.MLP([200], **options)


def assert_dropped(outputs, keep_prob):
    kept = outputs != 0
    np.testing.assert_allclose(outputs[kept], 10 / keep_prob, 1e-6)
    four_deviations = 4 * np.sqrt(keep_prob * (1 - keep_prob) / outputs.size)
    assert abs(kept.mean() - keep_prob) <= four_deviations
    assert 0 < kept.mean() < 1


@pytest.mark.parametrize("keep_prob", [0.2, 0.5, 0.9, np.float32(0.5)])
@pytest.mark.parametrize("flag", [True, 1, np.bool_(True)])
def test_drops_features_in_training(keep_prob, flag, mode):
    tf.random.set_seed(1)
    mlp = wide_mlp()
    outputs = mode.run(lambda x: mlp(x, flag, keep_prob), WIDE)
    assert_dropped(outputs, keep_prob)


def test_trains_with_half_the_features_by_default(mode):
    tf.random.set_seed(1)
    assert_dropped(mode.run(wide_mlp(), WIDE), 0.5)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, {"is_training": False}),
        ({}, {"is_training": 0}),
        ({}, {"is_training": np.bool_(False)}),
        ({}, {"dropout_keep_prob": 1.0}),
        ({"activate_final": False}, {}),
        ({"use_dropout": False}, {}),
        ({"use_dropout": False}, {"is_training": "ignored", "dropout_keep_prob": "ignored"}),
    ],
)
def test_keeps_all_features_otherwise(options, arguments, mode):
    mlp = wide_mlp(**options)
    outputs = mode.run(lambda x: mlp(x, **arguments), WIDE)
    np.testing.assert_allclose(outputs, np.full([50, 200], 10.0))


@pytest.mark.parametrize("keep_prob", [0.2, 0.5])
def test_the_flag_and_the_probability_may_be_tensors(keep_prob, mode):
    tf.random.set_seed(1)
    mlp = wide_mlp()
    arguments = WIDE, np.array(True), np.float32(keep_prob)
    assert_dropped(mode.run(mlp, *arguments), keep_prob)
    outputs = mode.run(mlp, WIDE, np.array(False), np.float32(keep_prob))
    np.testing.assert_allclose(outputs, np.full([50, 200], 10.0))


def test_the_flag_may_be_a_variable(mode):
    tf.random.set_seed(1)
    flag = tf1.get_variable("flag", initializer=True) if mode.in_graph else tf.Variable(True)
    mlp = wide_mlp()
    call = mlp if mode.name != "function" else tf.function(mlp)
    if mode.in_graph:
        outputs = mlp(tf.constant(WIDE), flag)
    for value in (True, False, True):
        mode.assign(flag, value)
        result = mode.values(outputs if mode.in_graph else call(tf.constant(WIDE), flag))
        if value:
            assert_dropped(result, 0.5)
        else:
            np.testing.assert_allclose(result, np.full([50, 200], 10.0))


def test_one_graph_serves_training_and_evaluation():
    with tf.Graph().as_default(), tf1.Session() as session:
        flag = tf1.placeholder_with_default(False, [])
        outputs = wide_mlp()(tf.constant(WIDE), is_training=flag)
        session.run(tf1.global_variables_initializer())
        np.testing.assert_allclose(session.run(outputs), np.full([50, 200], 10.0))
        assert_dropped(session.run(outputs, {flag: True}), 0.5)


def test_drops_before_the_activation(mode):
    mlp = wide_mlp(activation=lambda x: x + 7)
    outputs = mode.run(mlp, WIDE)
    assert set(np.unique(outputs)) == {7.0, 27.0}


def test_drops_anew_each_time(mode):
    mlp = wide_mlp()
    first, second = mode.run(lambda x: (mlp(x), mlp(x)), WIDE)
    assert (first != second).any()


@pytest.mark.parametrize("flag", [True, False])
def test_dropout_makes_ops_only_where_it_is_active(flag):
    def op_types(use_dropout):
        with tf.Graph().as_default() as graph:
            wide_mlp(use_dropout=use_dropout)(tf.constant(WIDE), is_training=flag)
            return {op.type for op in graph.get_operations()}

    random_ops = {"RandomUniform", "StatelessRandomUniformV2", "If", "Switch"}
    assert not op_types(use_dropout=False) & random_ops
    assert bool(op_types(use_dropout=True) & random_ops) is flag


# Custom getters.


def doubling(getter, name, *args, **kwargs):
    return 2 * tf.stop_gradient(getter(name, *args, **kwargs))


@pytest.mark.parametrize(
    ("custom_getter", "factors"),
    [(doubling, (2, 2)), ({"linear_1/w": doubling}, (1, 2)), ({"w": doubling}, (1, 1))],
)
@pytest.mark.parametrize("copy", [lambda m: m, lambda m: m.clone(), lambda m: m.transpose()])
def test_custom_getters_see_names_in_the_module(custom_getter, factors, copy, mode):
    mlp = snt.nets.MLP([4, 4], initializers=ONES, custom_getter=custom_getter, use_bias=False)
    mode.run(mlp, INPUTS)
    module = copy(mlp)

    def connect(x):
        return module(x), [layer.w for layer in module.layers]

    outputs, weights = mode.run(connect, INPUTS)
    for w, factor in zip(weights, factors, strict=True):
        np.testing.assert_array_equal(w, np.full([4, 4], factor))
    np.testing.assert_allclose(outputs, relu(INPUTS @ weights[0]) @ weights[1], 1e-5, 1e-5)


# Clones and transposes.


def test_clone_and_transpose_keep_the_configuration(mode):
    options = {
        "activation": tf.tanh,
        "activate_final": True,
        "initializers": ONES,
        "partitioners": {"w": tf1.fixed_size_partitioner(1)},
        "regularizers": {"w": tf.reduce_sum},
        "use_bias": False,
        "use_dropout": True,
    }
    mlp = snt.nets.MLP([3, 2], **options)
    mode.run(mlp, INPUTS)
    clone, transposed = mlp.clone(), mlp.transpose()
    for copy in (clone, transposed):
        assert {name: getattr(copy, name) for name in options} == options
    assert clone.output_sizes == (3, 2)
    assert transposed.output_sizes == (3, 4)
    assert (clone.scope_name, transposed.scope_name) == ("mlp_clone", "mlp_transpose")
    assert mlp.transpose(activate_final=False).activate_final is False
    assert snt.nets.MLP([3]).transpose(activate_final=True).activate_final is True
    outputs = mode.run(lambda x: transposed(x, is_training=False), INPUTS[:, :2])
    np.testing.assert_allclose(
        outputs, forward(transposed, INPUTS[:, :2], np.tanh, True, mode), 1e-5, 1e-5
    )
    assert not {id(v) for v in mlp.variables} & {id(v) for v in transposed.variables}


def test_a_transpose_waits_for_the_original(mode):
    mlp = snt.nets.MLP([3, 2], name="original")
    transposed = mlp.transpose()
    again = transposed.transpose()
    match = "Variables in original/linear_1 not instantiated yet"
    for read in (
        lambda: mode.run(transposed, INPUTS[:, :2]),
        lambda: transposed.output_sizes,
        transposed.clone,
    ):
        with pytest.raises(snt.NotConnectedError, match=match):
            read()
    mode.run(mlp, INPUTS)
    assert mode.run(transposed, INPUTS[:, :2]).shape == (5, 4)
    assert mode.run(again, INPUTS).shape == (5, 2)
    assert again.output_sizes == (3, 2)


def test_names_of_clones_and_transposes(mode):
    with tf1.variable_scope("first"):
        mlp = snt.nets.MLP([3])
    with tf1.variable_scope("second"):
        assert mlp.transpose().scope_name == "second/mlp_transpose"
        assert mlp.clone().layers[0].scope_name == "second/mlp_clone/linear_0"
    assert mlp.transpose(name="back").scope_name == "back"
    assert mlp.clone(name="twin").scope_name == "twin"


# Graphs and functions.


def test_static_shapes_stay_known_in_a_function():
    mlp = snt.nets.MLP([3, 2], use_dropout=True)
    spec = [tf.TensorSpec([None, 4]), tf.TensorSpec([], tf.bool)]
    function = tf.function(mlp, input_signature=spec).get_concrete_function()
    assert function.output_shapes.as_list() == [None, 2]
    assert len(mlp.variables) == 4


def test_may_be_constructed_in_another_graph():
    with tf.Graph().as_default():
        mlp = snt.nets.MLP([3, 2])
    with tf.Graph().as_default():
        assert mlp(tf.constant(INPUTS)).shape == (5, 2)
    with pytest.raises(snt.DifferentGraphError):
        mlp(tf.constant(INPUTS))
