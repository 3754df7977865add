"""What the layers share: dictionaries of initializers and the like, collections, failed calls."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt

Case = collections.namedtuple("Case", ["make", "keys", "prefix", "arrays"])

INPUTS = np.arange(8, dtype=np.float32).reshape(2, 4) / 8
CASES = {
    "Linear": Case(lambda **kw: snt.Linear(4, **kw), "wb", "linear/", [INPUTS]),
    "AddBias": Case(lambda **kw: snt.AddBias(**kw), "b", "add/", [INPUTS]),
    "TrainableVariable": Case(
        lambda **kw: snt.TrainableVariable([4, 4], **kw), "w", "trainable_variable/", []
    ),
    "MLP": Case(lambda **kw: snt.nets.MLP([4], **kw), "wb", "mlp/linear_0/", [INPUTS]),
}
SHAPES = {"w": (4, 4), "b": (4,)}
REGULARIZATION_LOSSES = tf1.GraphKeys.REGULARIZATION_LOSSES

each_layer = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_dictionary = pytest.mark.parametrize("kind", ["initializer", "partitioner", "regularizer"])


def sequence_initializer(shape, dtype, start=1.0):
    size = int(np.prod(shape))
    return (start + np.arange(size).reshape(shape)).astype(tf.as_dtype(dtype).as_numpy_dtype)


@each_layer
def test_variables_have_these_names_shapes_and_collections(case, mode):
    module = case.make()
    mode.run(module, *case.arrays)
    names = [f"{case.prefix}{key}:0" for key in case.keys]
    assert [v.name for v in module.get_variables()] == names
    assert [v.name for v in module.get_variables(tf1.GraphKeys.GLOBAL_VARIABLES)] == names
    assert [tuple(v.shape) for v in module.get_variables()] == [SHAPES[key] for key in case.keys]
    assert all(v.trainable for v in module.variables)
    if mode.in_graph:
        used = set(tf1.get_default_graph().get_all_collection_keys())
        wanted = {tf1.GraphKeys.GLOBAL_VARIABLES, tf1.GraphKeys.TRAINABLE_VARIABLES}
        assert wanted <= used
        assert not used & {tf1.GraphKeys.UPDATE_OPS, REGULARIZATION_LOSSES}


@each_layer
def test_keys_can_be_asked_without_an_instance(case):
    module = case.make()
    assert type(module).get_possible_initializer_keys() == set(case.keys)
    assert module.possible_keys == set(case.keys)


@pytest.mark.parametrize("cls", [snt.Linear, snt.nets.MLP])
def test_without_a_bias_there_is_no_key_for_it(cls):
    assert cls.get_possible_initializer_keys(use_bias=False) == {"w"}
    sizes = 3 if cls is snt.Linear else [3]
    assert cls(sizes, use_bias=False).possible_keys == {"w"}
    for kind in ("initializer", "partitioner", "regularizer"):
        with pytest.raises(KeyError, match=f"Invalid {kind} keys"):
            cls(sizes, use_bias=False, **{f"{kind}s": {"b": lambda *args: None}})


@each_layer
@each_dictionary
def test_a_wrong_dictionary_is_an_error_in_the_constructor(case, kind):
    key = case.keys[0]
    with pytest.raises(TypeError, match="Expected a dict-like object"):
        case.make(**{f"{kind}s": 3})
    with pytest.raises(TypeError, match="Expected a dict-like object"):
        case.make(**{f"{kind}s": [tf.zeros]})
    with pytest.raises(KeyError, match=f"Invalid {kind} keys 'not_{key}'"):
        case.make(**{f"{kind}s": {f"not_{key}": tf.zeros}})
    with pytest.raises(TypeError, match=f"{kind.capitalize()} for '{key}' is not a callable func"):
        case.make(**{f"{kind}s": {key: tf.zeros([2])}})
    with pytest.raises(TypeError, match=f"{kind.capitalize()} for 'inner' is not a callable func"):
        case.make(**{f"{kind}s": {key: {"inner": 3}}})


@each_layer
def test_dictionaries_are_checked_in_order(case):
    wrong = {"initializers": 1, "partitioners": 2, "regularizers": 3}
    for received in (1, 2, 3):
        with pytest.raises(TypeError, match=f"received {received}"):
            case.make(**wrong)
        wrong.pop(next(iter(wrong)))


@each_layer
def test_dictionaries_of_the_user_stay_as_they_are(case, mode):
    given = {
        "initializers": {case.keys[0]: tf1.ones_initializer()},
        "partitioners": {case.keys[0]: tf1.fixed_size_partitioner(1)},
        "regularizers": {case.keys[0]: tf.reduce_sum},
    }
    copies = {name: dict(value) for name, value in given.items()}
    module = case.make(**given)
    assert module.initializers == given["initializers"]
    assert module.partitioners is given["partitioners"]
    assert module.regularizers == given["regularizers"]
    mode.run(module, *case.arrays)
    assert given == copies
    given["initializers"].clear()
    given["regularizers"].clear()
    assert module.initializers.keys() >= {case.keys[0]}
    assert module.regularizers.keys() == {case.keys[0]}


@pytest.mark.parametrize("case", [CASES[name] for name in CASES if name != "MLP"])
def test_default_initializers_appear_with_the_first_connection(case, mode):
    module = case.make()
    assert (module.initializers, module.partitioners, module.regularizers) == ({}, {}, {})
    mode.run(module, *case.arrays)
    assert module.initializers.keys() == set(case.keys)
    assert all(map(callable, module.initializers.values()))


@each_layer
def test_regularization_losses_come_once_in_order_of_creation(case, mode):
    factors = {"w": 10.0, "b": 1000.0}
    regularizers = {key: (lambda v, f=factors[key]: f * tf.reduce_sum(v)) for key in case.keys}
    initializers = dict.fromkeys(case.keys, sequence_initializer)
    tf1.get_default_graph().clear_collection(REGULARIZATION_LOSSES)
    module = case.make(initializers=initializers, regularizers=regularizers)
    mode.run(module, *case.arrays)
    mode.run(module, *case.arrays)
    losses = tf1.get_collection(REGULARIZATION_LOSSES)
    expected = [factors[k] * sum(range(1, 1 + int(np.prod(SHAPES[k])))) for k in case.keys]
    assert len(losses) == len(expected)
    np.testing.assert_allclose(mode.values([tf.convert_to_tensor(x) for x in losses]), expected)
    np.testing.assert_allclose(mode.values(tf.add_n(losses)), sum(expected))
    if mode.in_graph:
        assert [x.name.startswith(case.prefix + k) for x, k in zip(losses, case.keys, strict=True)]


@each_layer
def test_partitioned_variables_give_the_same_numbers(case, mode):
    partitioners = {key: tf1.fixed_size_partitioner(2) for key in case.keys}
    initializers = dict.fromkeys(case.keys, sequence_initializer)
    plain = case.make(initializers=initializers)
    expected = mode.run(plain, *case.arrays)
    module = case.make(initializers=initializers, partitioners=partitioners)
    for _ in range(2):
        mode.run(module, *case.arrays)  # makes the variables: each part is filled separately
    parts = collections.defaultdict(list)
    for variable in module.get_variables():
        parts[variable.name.rsplit("/", 2)[1]].append(variable)
    for key in case.keys:
        assert [v.name.rsplit("/", 1)[1] for v in parts[key]] == ["part_0:0", "part_1:0"]
        half = SHAPES[key][0] // 2
        for index, part in enumerate(parts[key]):
            start = 1 + index * half * int(np.prod(SHAPES[key][1:]))
            mode.assign(part, sequence_initializer((half, *SHAPES[key][1:]), "float32", start))
    np.testing.assert_allclose(mode.run(module, *case.arrays), expected)
    holder = module.layers[0] if isinstance(module, snt.nets.MLP) else module
    for key in case.keys:
        variable = getattr(holder, key)
        assert [part.name for part in variable] == [part.name for part in parts[key]]
        assert variable.get_shape() == SHAPES[key]


@each_layer
@pytest.mark.parametrize("with_partition_info", [False, True])
def test_initializers_are_called_with_shape_and_dtype(case, with_partition_info, mode):
    calls = []

    def plain(shape, dtype=None):
        calls.append((tuple(shape), tf.as_dtype(dtype)))
        return sequence_initializer(shape, dtype)

    def with_info(shape, dtype=None, partition_info="not given"):
        assert partition_info is None
        return tf.constant(plain(shape, dtype))

    initializer = with_info if with_partition_info else plain
    module = case.make(initializers=dict.fromkeys(case.keys, initializer))
    mode.run(module, *case.arrays)
    assert set(calls) == {(SHAPES[key], tf.float32) for key in case.keys}
    for variable in module.variables:
        value = mode.values(variable)
        np.testing.assert_array_equal(value, sequence_initializer(value.shape, "float32"))


@each_layer
def test_outer_scopes_apply(case, mode):
    seen = []

    def getter(getter, name, *args, **kwargs):
        seen.append(name)
        return getter(name, *args, **kwargs)

    tf1.get_default_graph().clear_collection(REGULARIZATION_LOSSES)
    with tf1.variable_scope(
        "outer",
        custom_getter=getter,
        regularizer=tf.reduce_sum,
        partitioner=tf1.fixed_size_partitioner(2),
    ):
        module = case.make()
    mode.run(module, *case.arrays)
    assert list(dict.fromkeys(seen)) == [f"outer/{case.prefix}{key}" for key in case.keys]
    parts = [f"outer/{case.prefix}{key}/part_{i}:0" for key in case.keys for i in (0, 1)]
    assert [v.name for v in module.get_variables()] == parts
    assert len(tf1.get_collection(REGULARIZATION_LOSSES)) == len(parts)


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.arrays])
def test_another_dtype_needs_other_variables(case, mode):
    module = case.make()
    mode.run(module, INPUTS)
    with pytest.raises(ValueError, match="Trying to share variable"):
        mode.run(module, INPUTS.astype("float64"))


@each_layer
def test_a_failed_call_does_not_connect(case, mode):
    def broken(shape, dtype=None, partition_info=None):
        raise ArithmeticError("no values today")

    module = case.make(initializers={case.keys[-1]: broken})
    with pytest.raises(ArithmeticError, match=r"^no values today[\s\S]*originally defined at:"):
        mode.run(module, *case.arrays)
    assert not module.is_connected
    holder = module.layers[0] if isinstance(module, snt.nets.MLP) else module
    for key in case.keys:
        with pytest.raises(snt.NotConnectedError, match=f"Variables in {case.prefix[:-1]} not ins"):
            getattr(holder, key)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (lambda **kw: snt.Linear(1, **kw), "linear"),
        (snt.AddBias, "add"),
        (lambda **kw: snt.TrainableVariable([], **kw), "trainable_variable"),
        (lambda **kw: snt.BatchReshape([], **kw), "batch_reshape"),
        (snt.BatchFlatten, "batch_flatten"),
        (lambda **kw: snt.FlattenTrailingDimensions(1, **kw), "batch_dim_from"),
        (lambda **kw: snt.BatchApply(tf.nn.relu, **kw), "batch_apply"),
        (lambda **kw: snt.Sequential([], **kw), "sequential"),
        (lambda **kw: snt.nets.MLP([1], **kw), "mlp"),
    ],
)
def test_names_are_made_unique_at_construction(cls, name, mode):
    assert [cls().module_name for _ in range(3)] == [name, f"{name}_1", f"{name}_2"]
    with tf1.variable_scope("outer"):
        module = cls(name="mine")
    assert (module.module_name, module.scope_name) == ("mine", "outer/mine")
    with pytest.raises(TypeError, match="Name must be a string"):
        cls(name=3)


@pytest.mark.parametrize(
    "cls", [snt.BatchReshape, snt.BatchFlatten, snt.BatchApply, snt.Sequential, snt.AddBias]
)
def test_who_takes_no_custom_getter(cls):
    with pytest.raises(TypeError, match="custom_getter"):
        cls(custom_getter=lambda getter, *args, **kwargs: getter(*args, **kwargs))


@pytest.mark.parametrize("cls", [snt.BatchReshape, snt.BatchApply, snt.Sequential])
def test_without_variables_there_are_no_keys(cls):
    assert cls.get_possible_initializer_keys() == set()
