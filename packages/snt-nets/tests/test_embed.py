"""`Embed`."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import strategies as st

import sonnet as snt

RNG = np.random.default_rng(0)
IDS = np.array([[1, 0], [4, 1]], "int32")


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0), (1, 2, 3)])
def test_looks_up(shape, dtype, mode):
    module = snt.Embed(vocab_size=5, embed_dim=3)
    ids = RNG.integers(0, 5, size=shape).astype(dtype)
    outputs = mode.run(module, ids, unknown_batch=len(shape) > 0)
    assert outputs.dtype == "float32"
    np.testing.assert_array_equal(outputs, mode.values(module.embeddings)[ids])
    assert (module.vocab_size, module.embed_dim) == (5, 3)
    assert [v.name for v in module.trainable_variables] == ["embed/embeddings:0"]


def test_ids_of_unknown_rank():
    with tf.Graph().as_default(), tf1.Session() as session:
        ids = tf1.placeholder(tf.int32)
        outputs = snt.Embed(5, 3)(ids)
        session.run(tf1.global_variables_initializer())
        assert session.run(outputs, {ids: IDS}).shape == (2, 2, 3)


def test_a_list_of_ids(mode):
    module = snt.Embed(5, 3)
    outputs = mode.run(lambda: module([1, 4]))
    np.testing.assert_array_equal(outputs, mode.values(module.embeddings)[[1, 4]])


@pytest.mark.parametrize(
    ("vocab_size", "embed_dim"), [(1, 6), (16, 12), (100, 19), (10_000, 60), (np.int64(16), 12)]
)
@pytest.mark.parametrize("given", [None, 0])
def test_the_default_size(vocab_size, embed_dim, given):
    module = snt.Embed(vocab_size, given)
    assert (module.vocab_size, module.embed_dim) == (vocab_size, embed_dim)


def test_the_default_initializer(mode):
    module = snt.Embed(1000, 50)
    mode.run(module, IDS)
    values = mode.values(module.embeddings)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    assert np.abs(values).max() > 3  # not truncated
    assert module.get_possible_initializer_keys() == {"embeddings"}


def test_the_type_is_that_of_no_input(mode):
    """Nor is it that of the scope."""
    with tf1.variable_scope("outer", dtype=tf.float64):
        module = snt.Embed(5, 3)
    assert mode.run(module, IDS.astype("int64")).dtype == "float32"


# Existing embeddings.


@pytest.mark.parametrize("kind", ["array", "list", "float64", "integers", "tensor", "variable"])
def test_existing_embeddings(kind, mode):
    values = RNG.integers(-9, 9, size=[5, 3]).astype("float32")
    given = {
        "array": lambda: values,
        "list": values.tolist,
        "float64": lambda: values.astype("float64"),
        "integers": lambda: values.astype("int32"),
        "tensor": lambda: tf.constant(values.astype("float64")),
        "variable": lambda: tf1.get_variable("given", initializer=values),
    }[kind]()
    if kind == "variable" and mode.in_graph:
        mode.values(given)  # initialises it, before another variable starts from it
    module = snt.Embed(existing_vocab=given)
    assert (module.vocab_size, module.embed_dim) == (5, 3)
    for _ in range(2):
        np.testing.assert_array_equal(mode.run(module, IDS), values[IDS])
    np.testing.assert_array_equal(mode.values(module.embeddings), values)
    assert module.embeddings.dtype.base_dtype == tf.float32
    assert module.embeddings.trainable


def test_existing_embeddings_belong_to_no_graph():
    values = RNG.normal(size=[5, 3]).astype("float32")
    for given in (values, tf.constant(values)):
        module = snt.Embed(existing_vocab=given)
        with tf.Graph().as_default(), tf1.Session() as session:
            outputs = module(tf.constant(IDS))
            session.run(tf1.global_variables_initializer())
            np.testing.assert_array_equal(session.run(outputs), values[IDS])


def test_existing_embeddings_are_copied(mode):
    values = np.ones([5, 3])
    module = snt.Embed(existing_vocab=values)
    values[:] = 7
    np.testing.assert_array_equal(mode.run(module, IDS), np.ones([2, 2, 3]))


def test_existing_embeddings_may_be_regularized(mode):
    module = snt.Embed(
        existing_vocab=np.ones([5, 3]), regularizers={"embeddings": tf.nn.l2_loss}, trainable=False
    )
    for _ in range(2):
        mode.run(module, IDS)
    assert mode.values(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)) == [7.5]
    assert module.trainable_variables == ()


# Gradients.


def gradients(module, ids, mode):
    """The gradient of the sum of the vectors of `ids`, as it comes."""

    def compute(ids):
        if mode.in_graph:
            return tf1.gradients(tf.reduce_sum(module(ids)), module.trainable_variables)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(module(ids))
        return tape.gradient(loss, list(module.trainable_variables))

    kinds = []

    def dense(ids):
        found = compute(ids)
        kinds.extend(map(type, found))
        return list(map(tf.convert_to_tensor, found))

    return mode.run(dense, ids), kinds


@pytest.mark.parametrize("densify", [True, False])
@pytest.mark.parametrize("parts", [None, 1, 2])
def test_gradients_count_the_look_ups(densify, parts, mode):
    partitioners = parts and {"embeddings": tf1.fixed_size_partitioner(parts)}
    module = snt.Embed(
        4, 3, densify_gradients=densify, partitioners=partitioners, partition_strategy="div"
    )
    mode.run(module, IDS % 4)
    found, kinds = gradients(module, np.array([1, 0, 0, 3, 1, 1], "int32"), mode)
    counts = np.array([2, 3, 0, 1])[:, None] * np.ones(3)
    np.testing.assert_array_equal(np.concatenate(found), counts)
    if densify:
        assert tf.IndexedSlices not in kinds
    else:
        assert set(kinds) == {tf.IndexedSlices}


def test_not_trainable(mode):
    module = snt.Embed(5, 3, trainable=False, regularizers={"embeddings": tf.nn.l2_loss})
    mode.run(module, IDS)
    assert module.trainable_variables == ()
    assert len(module.non_trainable_variables) == 1
    assert len(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)) == 1
    assert not tf1.trainable_variables()


# Partitioned embeddings.


@pytest.mark.parametrize("densify", [True, False])
@pytest.mark.parametrize("vocab_size", [6, 7])
@pytest.mark.parametrize("strategy", [None, "mod", "div"])
def test_partitioned_embeddings(strategy, vocab_size, densify, mode):
    """By "div" a row is that of the id; by "mod" the ids are dealt out to the parts in turn."""
    values = RNG.normal(size=[vocab_size, 2]).astype("float32")
    options = {} if strategy is None else {"partition_strategy": strategy}
    module = snt.Embed(
        vocab_size,
        2,
        initializers={
            "embeddings": lambda shape, dtype=None, partition_info=None: tf.constant(
                values[partition_info.var_offset[0] :][: shape[0]]
            )
        },
        partitioners={"embeddings": tf1.fixed_size_partitioner(3)},
        densify_gradients=densify,
        **options,
    )
    ids = np.arange(vocab_size)
    outputs = mode.run(module, ids, unknown_batch=True)
    parts = np.array_split(values, 3)
    expected = values if strategy == "div" else np.stack([parts[i % 3][i // 3] for i in ids])
    np.testing.assert_array_equal(outputs, expected)
    assert len(module.variables) == 3


def test_a_partitioner_of_the_scope_around():
    values = RNG.normal(size=[6, 2]).astype("float32")
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("outer", partitioner=tf1.fixed_size_partitioner(3)):
            module = snt.Embed(existing_vocab=values, partition_strategy="div")
        outputs = module(tf.range(6))
        session.run(tf1.global_variables_initializer())
        np.testing.assert_array_equal(session.run(outputs), values)


def test_custom_getters_may_give_tensors(mode):
    module = snt.Embed(5, 3, custom_getter={"embeddings": snt.custom_getters.stop_gradient})
    outputs = mode.run(module, IDS)
    np.testing.assert_array_equal(outputs, mode.values(module.variables[0])[IDS])


# Errors.


@pytest.mark.parametrize("bad", [-1, 5, 100])
def test_ids_are_in_the_vocabulary(bad, mode):
    module = snt.Embed(5, 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        mode.run(module, np.array([0, bad]))


@pytest.mark.parametrize("dtype", ["float32", "bool", "uint8", "str"])
def test_ids_are_integers(dtype, mode):
    with pytest.raises(TypeError, match="embed.*: ids must be int32 or int64"):
        mode.run(snt.Embed(5, 3), np.ones([2], dtype))


def test_a_size_is_given():
    with pytest.raises(ValueError, match="vocab_size or existing_vocab"):
        snt.Embed(embed_dim=3)


@pytest.mark.parametrize(
    "other",
    [
        {"vocab_size": 5},
        {"embed_dim": 3},
        {"initializers": {"embeddings": tf1.zeros_initializer()}},
        {"partitioners": {"embeddings": tf1.fixed_size_partitioner(1)}},
    ],
)
def test_nothing_else_is_given_with_existing_embeddings(other):
    with pytest.raises(ValueError, match="If existing_vocab is provided"):
        snt.Embed(existing_vocab=np.ones([5, 3]), **other)


@pytest.mark.parametrize("size", [0, -4])
def test_the_vocabulary_is_not_empty(size):
    with pytest.raises(ValueError, match="Invalid vocab_size"):
        snt.Embed(size)


@pytest.mark.parametrize("shape", [(), (5,), (5, 3, 2)])
def test_existing_embeddings_are_a_matrix(shape):
    for given in (np.ones(shape), tf.ones(shape)):
        with pytest.raises(ValueError, match="existing_vocab must be a matrix"):
            snt.Embed(existing_vocab=given)


def test_existing_embeddings_are_of_known_size():
    with tf.Graph().as_default():
        for shape in ([None, 3], None):
            with pytest.raises(ValueError, match="existing_vocab must be a matrix"):
                snt.Embed(existing_vocab=tf1.placeholder(tf.float32, shape))


def test_other_arguments():
    with pytest.raises(ValueError, match='partition_strategy must be "mod" or "div"'):
        snt.Embed(5, partition_strategy="hash")
    with pytest.raises(KeyError, match="Invalid initializer keys"):
        snt.Embed(5, initializers={"w": tf1.zeros_initializer()})
    with pytest.raises(TypeError):
        snt.Embed("five")
    with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
        _ = snt.Embed(5).embeddings


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.lists(st.integers(-2, 10), max_size=5),
    st.integers(0, 3),
    st.booleans(),
)
def test_a_right_answer_or_a_named_error(vocab_size, embed_dim, ids, parts, densify):
    values = RNG.normal(size=[vocab_size, embed_dim]).astype("float32")
    ids = np.array(ids, "int64")
    with tf.Graph().as_default(), tf1.Session() as session:
        partitioner = tf1.fixed_size_partitioner(parts) if parts else None
        with tf1.variable_scope("", partitioner=partitioner):
            module = snt.Embed(
                existing_vocab=values, densify_gradients=densify, partition_strategy="div"
            )
        outputs = module(tf.constant(ids))
        session.run(tf1.global_variables_initializer())
        if len(ids) and not set(ids) <= set(range(vocab_size)):
            with pytest.raises(tf.errors.InvalidArgumentError):
                session.run(outputs)
        else:
            np.testing.assert_array_equal(session.run(outputs), values[ids])


def test_the_old_path():
    from sonnet.python.modules import embed

    assert embed.Embed is snt.Embed
