"""`AttentiveRead`."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_nets.attention import AttentionOutput

RNG = np.random.default_rng(0)
MEMORY = RNG.normal(size=[4, 5, 3])
QUERY = RNG.normal(size=[4, 2])
MASK = RNG.random([4, 5]) < 0.5
MASK[:, 2] = True


def score(pairs):
    """A logit that depends on all entries of a slot and of the query."""
    weights = tf.constant([[1.0], [-2.0], [0.5], [3.0], [-1.0]], pairs.dtype)
    return tf.matmul(pairs, weights) + tf.reduce_prod(pairs, 1, keepdims=True)


def expected_output(memory, query, mask=None):
    pairs = np.concatenate([memory, np.repeat(query[:, None], memory.shape[1], 1)], axis=2)
    logits = pairs @ [1, -2, 0.5, 3, -1] + pairs.prod(axis=2)
    if mask is not None:
        logits[~mask] = np.finfo(np.float32).min
    weights = scipy.special.softmax(logits, axis=1)
    return np.einsum("bs,bsd->bd", weights, memory), weights, logits


def assert_outputs(outputs, expected, tolerance=1e-9):
    assert type(outputs) is AttentionOutput
    for value, other in zip(outputs, expected, strict=True):
        assert value.shape == other.shape
        np.testing.assert_allclose(value, other, tolerance, tolerance)


@pytest.mark.parametrize("unknown_batch", [True, False])
def test_reads_by_attention(unknown_batch, mode):
    module = snt.AttentiveRead(score)
    outputs = mode.run(module, MEMORY, QUERY, unknown_batch=unknown_batch)
    assert_outputs(outputs, expected_output(MEMORY, QUERY))
    np.testing.assert_allclose(outputs.weights.sum(axis=1), 1)
    assert module.variables == ()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ignores_masked_slots(dtype, mode):
    module = snt.AttentiveRead(score)
    memory, query = MEMORY.astype(dtype), QUERY.astype(dtype)
    outputs = mode.run(module, memory, query, MASK, unknown_batch=True)
    tolerance = 1e-9 if dtype == "float64" else 1e-5
    assert_outputs(outputs, expected_output(MEMORY, QUERY, MASK), tolerance)
    assert (outputs.weights[~MASK] == 0).all()
    assert (outputs.weight_logits[~MASK] < -1e35).all()
    softmax = mode.run(tf.nn.softmax, outputs.weight_logits)
    np.testing.assert_array_equal(outputs.weights, softmax)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats(dtype, mode):
    outputs = mode.run(
        lambda m, q, mask: snt.AttentiveRead(score)(tf.cast(m, dtype), tf.cast(q, dtype), mask),
        MEMORY,
        QUERY,
        MASK,
    )
    assert {x.dtype.name for x in outputs} == {dtype}
    assert np.isfinite(outputs.weight_logits.astype("float64")).all()
    assert (outputs.weights[~MASK] == 0).all()
    expected = expected_output(MEMORY, QUERY, MASK)[0]
    np.testing.assert_allclose(outputs.read.astype("float64"), expected, 0.3, 0.1)


def test_a_masked_slot_may_score_nan(mode):
    mask = np.array([[True, False, True]])
    memory = np.array([[[1.0], [-1.0], [4.0]]])
    outputs = mode.run(
        snt.AttentiveRead(lambda x: tf.sqrt(x[:, :1])), memory, np.zeros([1, 1]), mask
    )
    weights = scipy.special.softmax([1, 2])
    np.testing.assert_allclose(outputs.read, [[weights @ [1, 4]]])


def test_the_logit_module_keeps_its_scope(mode):
    linear = snt.Linear(1)
    module = snt.AttentiveRead(linear)
    for _ in range(2):
        outputs = mode.run(module, MEMORY, QUERY)
    assert module.get_variables() == ()
    assert [v.name for v in module.variables] == ["linear/b:0", "linear/w:0"]
    w, b = mode.values([linear.w, linear.b])
    pairs = np.concatenate([MEMORY, np.repeat(QUERY[:, None], 5, 1)], axis=2)
    np.testing.assert_allclose(outputs.weight_logits, (pairs @ w + b)[..., 0], 1e-9, 1e-9)

    def function(pairs):
        return pairs @ tf1.get_variable("v", [5, 1], tf.float64)

    module = snt.AttentiveRead(function)
    for _ in range(2):
        mode.run(module, MEMORY, QUERY)
    assert [v.name for v in module.variables] == ["attention_1/batch_apply_attention_logit/v:0"]


def test_gradients(mode):
    module = snt.AttentiveRead(score)
    weights = RNG.normal(size=[4, 3])

    def gradients(memory, query, mask):
        if mode.in_graph:
            loss = tf.reduce_sum(module(memory, query, mask).read * weights)
            return tf1.gradients(loss, [memory, query])
        with tf.GradientTape() as tape:
            tape.watch([memory, query])
            loss = tf.reduce_sum(module(memory, query, mask).read * weights)
        return tape.gradient(loss, [memory, query])

    gradients = mode.run(gradients, MEMORY, QUERY, MASK)
    steps = RNG.normal(size=MEMORY.shape), RNG.normal(size=QUERY.shape)
    up, down = (
        np.sum(weights * expected_output(MEMORY + s * steps[0], QUERY + s * steps[1], MASK)[0])
        for s in (1e-6, -1e-6)
    )
    slope = sum(np.sum(g * s) for g, s in zip(gradients, steps, strict=True))
    np.testing.assert_allclose(slope, (up - down) / 2e-6, 1e-6)


def test_static_shapes():
    with tf.Graph().as_default():
        module = snt.AttentiveRead(score)
        for batch, slots in ((4, 5), (None, 5), (4, None), (None, None)):
            for with_mask in (False, True):
                mask = tf1.placeholder(tf.bool, [batch, slots]) if with_mask else None
                outputs = module(
                    tf1.placeholder(tf.float32, [batch, slots, 3]),
                    tf1.placeholder(tf.float32, [batch, 2]),
                    mask,
                )
                assert outputs.read.shape.as_list() == [batch, 3]
                assert outputs.weights.shape.as_list() == [batch, slots]
                assert outputs.weight_logits.shape.as_list() == [batch, slots]


@pytest.mark.parametrize("sizes", [(4, 5), (0, 5), (4, 0)])
def test_all_sizes_may_be_unknown(sizes):
    batch, slots = sizes
    with tf.Graph().as_default(), tf1.Session() as session:
        memory = tf1.placeholder(tf.float64, [None, None, 3])
        query = tf1.placeholder(tf.float64, [None, 2])
        read = snt.AttentiveRead(score)(memory, query).read
        feed = {memory: MEMORY[:batch, :slots], query: QUERY[:batch]}
        value = session.run(read, feed)
    if batch and slots:
        expected = expected_output(MEMORY[:batch, :slots], QUERY[:batch])[0]
    else:
        expected = np.zeros([batch, 3])
    np.testing.assert_allclose(value, expected, 1e-9, 1e-9)


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("memory", "query", "mask"),
    [
        (zeros(4, 3), zeros(4, 2), None),
        (zeros(4, 5, 3, 1), zeros(4, 2), None),
        (zeros(4, 5, 3), zeros(4), None),
        (zeros(4, 5, 3), zeros(4, 2, 1), None),
        (zeros(4, 5, 3), zeros(4, 2), np.ones([4], bool)),
        (zeros(4, 5, 3), zeros(4, 2), np.ones([4, 5, 1], bool)),
    ],
)
def test_ranks(memory, query, mask, mode):
    arguments = (memory, query) if mask is None else (memory, query, mask)
    with pytest.raises(snt.IncompatibleShapeError, match="attention: .* must be of rank"):
        mode.run(snt.AttentiveRead(lambda x: x[:, :1]), *arguments)


@pytest.mark.parametrize("logits", [lambda x: x[:, 0], lambda x: x[:, :1, tf.newaxis]])
def test_the_rank_of_logits(logits, mode):
    with pytest.raises(snt.IncompatibleShapeError, match="output of attention_logit_mod.*rank 3"):
        mode.run(snt.AttentiveRead(logits), MEMORY, QUERY)


@pytest.mark.parametrize("logits", [lambda x: x, lambda x: x[:, :0]])
def test_there_is_one_logit_a_slot(logits, mode):
    with pytest.raises(ValueError, match="attention: attention_logit_mod must return one number"):
        mode.run(snt.AttentiveRead(logits), MEMORY, QUERY)


def test_sizes_of_features_must_be_known():
    with tf.Graph().as_default():
        module = snt.AttentiveRead(score)
        known = tf.zeros([4, 5, 3]), tf.zeros([4, 2])
        for memory, query in (
            (tf1.placeholder(tf.float32, [4, 5, None]), known[1]),
            (known[0], tf1.placeholder(tf.float32, [4, None])),
        ):
            with pytest.raises(snt.UnderspecifiedError, match="size of the last axis"):
                module(memory, query)


@pytest.mark.parametrize("unknown_batch", [True, False])
def test_batches_must_be_of_one_size(unknown_batch, mode):
    module = snt.AttentiveRead(score)
    error = tf.errors.InvalidArgumentError
    with pytest.raises(error, match="memory and query must have the same size along axis 0"):
        mode.run(module, MEMORY, QUERY[:3], unknown_batch=unknown_batch)
    with pytest.raises(error, match="memory and memory_mask must have the same size along axis 0"):
        mode.run(module, MEMORY, QUERY, MASK[:3], unknown_batch=unknown_batch)
    with pytest.raises(error, match="memory and memory_mask must have the same size along axis 1"):
        mode.run(module, MEMORY, QUERY, MASK[:, :3], unknown_batch=unknown_batch)


def test_each_example_keeps_a_slot(mode):
    mask = MASK.copy()
    mask[1] = False
    with pytest.raises(tf.errors.InvalidArgumentError, match="leaves an example without any slot"):
        mode.run(snt.AttentiveRead(score), MEMORY, QUERY, mask)


def test_types(mode):
    with pytest.raises(TypeError, match="attention.*: attention_logit_mod must be a module or a"):
        snt.AttentiveRead(3)
    module = snt.AttentiveRead(score)
    with pytest.raises(TypeError, match="memory_mask must be boolean, got int64"):
        mode.run(module, MEMORY, QUERY, MASK.astype("int64"))
    with pytest.raises(TypeError, match="floating-point"):
        mode.run(module, MEMORY.astype("int64"), QUERY.astype("int64"))


def test_known_sizes_need_no_checks():
    def bare(memory, query):
        queries = tf.tile(tf.expand_dims(query, 1), [1, 5, 1])
        pairs = tf.reshape(tf.concat([memory, queries], 2), [20, 5])
        logits = tf.squeeze(tf.reshape(tf.tanh(pairs[:, :1]), [4, 5, 1]), 2)
        return tf.linalg.matvec(memory, tf.nn.softmax(logits), transpose_a=True)

    counts = []
    for connect in (snt.AttentiveRead(lambda x: tf.tanh(x[:, :1])), bare):
        with tf.Graph().as_default() as graph:
            connect(tf1.placeholder(tf.float32, [4, 5, 3]), tf1.placeholder(tf.float32, [4, 2]))
            counts.append(sorted(op.type for op in graph.get_operations()))
    assert counts[0] == counts[1]
