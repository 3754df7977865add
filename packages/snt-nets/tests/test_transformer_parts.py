"""Masks, encodings of positions, and the blocks around attention."""

import numpy as np
import pytest
import tensorflow as tf

import sonnet as snt
from tests.support import transformers as reference

transformer = snt.nets.transformer
LOW = -1e6


# Masks.


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_future_mask(dtype):
    mask = tf.cast(transformer.future_mask(3, tf.as_dtype(dtype)), tf.float64)
    expected = [[[[0, LOW, LOW], [0, 0, LOW], [0, 0, 0]]]]
    np.testing.assert_allclose(mask, expected, rtol=2e-3 if dtype == "bfloat16" else 0)
    assert snt.nets.future_mask is transformer.future_mask


def test_the_mask_is_finite_in_float16():
    mask = transformer.future_mask(2, tf.float16).numpy()
    assert mask[0, 0, 0, 1] == np.finfo(np.float16).min
    weights = tf.nn.softmax(mask)
    np.testing.assert_array_equal(weights[0, 0], [[1, 0], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("state", "memory_size"),
    [
        (None, 0),
        (np.zeros([1, 2, 4]), 2),
        ([np.zeros([1, 1, 4]), np.zeros([1, 3, 4])], 3),
        (transformer.CompressedMemoryState(np.zeros([1, 2, 4]), np.zeros([1, 3, 4]), 0), 5),
        ([None, None], 0),
        ([], 0),
    ],
)
def test_create_mask_lets_all_memory_through(state, memory_size):
    mask = transformer.create_mask(tf.zeros([1, 3, 4]), state, equal_window=False)
    expected = np.zeros([1, 1, 3, memory_size + 3])
    expected[..., memory_size:] = transformer.future_mask(3, tf.float32)
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("memory_size", [3, 5])
def test_an_equal_window_is_as_long_for_each_step(memory_size):
    state = tf.zeros([1, memory_size, 4])
    mask = transformer.create_mask(tf.zeros([1, 3, 4]), state, equal_window=True).numpy()
    attended = [list(np.flatnonzero(row == 0)) for row in mask[0, 0]]
    assert attended == [list(range(i, i + memory_size + 1)) for i in range(3)]


def test_masks_need_known_lengths():
    with pytest.raises(ValueError, match=r"number of time steps of the input must be known"):
        tf.function(
            lambda x: transformer.create_mask(x, None, False),
            input_signature=[tf.TensorSpec([2, None, 4])],
        ).get_concrete_function()


# Positions.


@pytest.mark.parametrize(("length", "size", "clamp"), [(5, 8, 0), (4, 2, 2), (1, 6, 3)])
def test_position_encodings(length, size, clamp):
    encodings = transformer.get_position_encodings(length, size, clamp)
    positions = [min(p, clamp) if clamp else p for p in reversed(range(length))]
    expected = [[reference.encoding(p, size) for p in positions]]
    assert encodings.dtype == tf.float32
    np.testing.assert_allclose(encodings, expected, 1e-6, 1e-6)
    exact = transformer.get_position_encodings(length, size, clamp, dtype=tf.float64)
    np.testing.assert_allclose(exact, expected, 1e-14, 1e-14)


def test_position_encodings_need_an_even_size():
    with pytest.raises(ValueError, match="position embedding dimension 8 .* 7, which must be even"):
        transformer.get_position_encodings(3, 7, 0)


def test_rel_shift_of_the_example(mode):
    rows = np.tile([5.0, 4, 3, 2, 1], [1, 1, 2, 1])
    shifted = mode.run(transformer.rel_shift, rows)[0, 0]
    # The zero stands where the future begins.
    np.testing.assert_array_equal(shifted, [[4, 3, 2, 1, 0], [5, 4, 3, 2, 1]])


@pytest.mark.parametrize("queries", [1, 2, 4])
@pytest.mark.parametrize("memory", [0, 3])
def test_rel_shift(queries, memory, mode):
    keys = queries + memory
    logits = np.random.default_rng(0).normal(size=[2, 3, queries, keys])
    shifted = mode.run(transformer.rel_shift, logits, unknown_batch=True)
    assert shifted.shape == logits.shape
    for i in range(queries):
        for j in range(keys):
            if j <= memory + i:
                np.testing.assert_array_equal(
                    shifted[:, :, i, j], logits[:, :, i, j + queries - 1 - i]
                )
            elif j == memory + i + 1:
                np.testing.assert_array_equal(shifted[:, :, i, j], 0)


def test_rel_shift_of_unknown_sizes():
    logits = np.random.default_rng(0).normal(size=[2, 3, 4, 5])
    shift = tf.function(
        transformer.rel_shift, input_signature=[tf.TensorSpec([None] * 4, "double")]
    )
    np.testing.assert_array_equal(shift(logits), transformer.rel_shift(logits))


def test_rel_shift_needs_rank_4():
    with pytest.raises(ValueError, match="Expected 4D position logits"):
        transformer.rel_shift(tf.zeros([2, 3, 4]))


# Blocks.


@pytest.mark.parametrize("shape", [(5, 4), (5, 3, 4), (5, 2, 3, 4)])
@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("input", ["layer_norm"]),
        ("output", ["layer_norm"]),
        ("both", ["layer_norm", "layer_norm_1"]),
        ("none", []),
        (None, []),
    ],
)
def test_the_wrapper_adds_and_normalises(where, names, shape, mode):
    x = np.random.default_rng(0).normal(size=shape)
    wrapper = transformer.ResidualDropoutWrapper(
        lambda x, is_training: tf.sin(x), dropout_rate=0.5, layer_norm=where
    )
    mode.run(lambda x: wrapper(x, is_training=False), x)
    weights = reference.weights_of(wrapper, mode)
    assert list(weights) == [f"{name}/{key}" for name in names for key in ("beta", "gamma")]
    expected = x
    if where in ("input", "both"):
        expected = reference.layer_norm(x, weights, "layer_norm")
    expected = x + np.sin(expected)
    if where in ("output", "both"):
        expected = reference.layer_norm(expected, weights, names[-1])
    outputs = mode.run(lambda x: wrapper(x, is_training=False), x)
    np.testing.assert_allclose(outputs, expected, 1e-10, 1e-10)


def test_the_wrapper_hands_arguments_on(mode):
    def layer(x, factor, is_training, shift):
        assert is_training is False
        return factor * x + shift, "state"

    wrapper = transformer.ResidualDropoutWrapper(layer, 0.5, layer_norm="none")

    def call(x):
        outputs, state = wrapper(x, 2.0, is_training=False, shift=1.0)
        assert state == "state"
        return outputs

    np.testing.assert_array_equal(mode.run(call, np.ones([2, 3])), np.full([2, 3], 4.0))


def test_the_wrapper_needs_the_flag_by_name(mode):
    wrapper = transformer.ResidualDropoutWrapper(lambda x, is_training: x, 0.5)
    with pytest.raises(KeyError, match="is_training must be given"):
        mode.run(lambda x: wrapper(x, False), np.ones([2, 3]))


@pytest.mark.parametrize("as_tensor", [False, True])
def test_the_wrapper_drops_what_the_layer_made(as_tensor, mode):
    tf.random.set_seed(1)
    wrapper = transformer.ResidualDropoutWrapper(
        lambda x, is_training: 3 * x, 0.25, layer_norm="none"
    )

    def call(x):
        return [
            wrapper(x, is_training=tf.constant(flag) if as_tensor else flag)
            for flag in (True, False)
        ]

    trained, tested = mode.run(call, np.ones([100, 50]))
    np.testing.assert_array_equal(tested, np.full([100, 50], 4.0))
    assert {round(float(v), 6) for v in np.unique(trained)} == {1.0, 5.0}
    assert abs((trained == 1).mean() - 0.25) < 0.03


def test_default_mlp(mode):
    x = np.random.default_rng(0).normal(size=[5, 3, 4])
    mlp = transformer.default_mlp([6, 2], activate_final=True, name="other")
    mode.run(lambda x: mlp(x, is_training=False), x)
    weights = {}
    for variable in mlp.variables:
        value = np.random.default_rng(len(weights)).normal(size=variable.shape)
        mode.assign(variable, value)
        weights[variable.name.removesuffix(":0")] = value
    assert list(weights) == [f"other/linear_{i}/{k}" for i in (0, 1) for k in ("b", "w")]
    outputs = mode.run(lambda x: mlp(x, is_training=False), x)
    expected = reference.mlp(x, weights, "other", activate_final=True)
    np.testing.assert_allclose(outputs, expected, 1e-10, 1e-10)
    dropped = mode.run(lambda x: mlp(x, is_training=True, dropout_keep_prob=0.5), x)
    assert (dropped != outputs).any()


@pytest.mark.parametrize("init_std", [2.0, 0.5])
def test_default_mlp_starts_with_this_scale(init_std):
    mlp = transformer.default_mlp([400], init_std=init_std)
    mlp(tf.ones([1, 1, 300]), is_training=False)
    w = next(v for v in mlp.variables if v.name.endswith("/w:0")).numpy()
    assert abs(w.std() / np.sqrt(init_std / 300) - 1) < 0.03
    assert abs(w).max() < 2.3 * np.sqrt(init_std / 300)  # truncated


# Compressors by themselves.


@pytest.mark.parametrize(("pooling", "reduce"), [("AVG", np.mean), ("MAX", np.max)])
@pytest.mark.parametrize(("rate", "kernel_size"), [(2, 0), (3, 1)])
def test_pool_compressor(pooling, reduce, rate, kernel_size, mode):
    memory = np.random.default_rng(0).normal(size=[2, 11, 4])
    compressor = transformer.PoolCompressor(rate, kernel_size, pooling)
    outputs, loss = mode.run(lambda x: compressor(x, other="ignored"), memory)
    starts = range(0, 11 - rate - kernel_size + 1, rate)
    expected = [reduce(memory[:, s : s + rate + kernel_size], axis=1) for s in starts]
    np.testing.assert_allclose(outputs, np.stack(expected, axis=1), 1e-12, 1e-12)
    assert loss == 0
    assert compressor.variables == ()


def convolved(x, w, stride=1, rate=1):
    """A VALID convolution."""
    reach = (len(w) - 1) * rate + 1
    starts = range(0, x.shape[1] - reach + 1, stride)
    return np.stack([sum(x[:, s + k * rate] @ w[k] for k in range(len(w))) for s in starts], axis=1)


@pytest.mark.parametrize("dilation_rates", [None, [1, 2]])
@pytest.mark.parametrize("loss", ["mha", "ae"])
def test_conv_compressor(loss, dilation_rates, mode):
    random = np.random.default_rng(0)
    memory, inputs = random.normal(size=[2, 9, 6]), random.normal(size=[2, 4, 6])
    attention = transformer.MultiheadAttention(value_size=4, key_size=5, num_heads=3)
    compressor = transformer.ConvCompressor(
        compression_rate=2,
        compressed_memory_size=7,
        episodic_memory_size=9,
        kernel_size=1,
        dilation_rates=dilation_rates,
        loss=loss,
    )

    def call(memory, inputs):
        _, state = attention(inputs)
        return compressor(
            memory,
            attention_state=state,
            attention_module=attention,
            is_training=True,
            dropout_keep_prob=0.9,
        )

    mode.run(call, memory, inputs)
    shapes = {v.name.removesuffix(":0"): tuple(v.shape) for v in compressor.get_variables()}
    expected_shapes = {f"conv_compressor/conv_rate_{r}/w": (2, 6, 6) for r in dilation_rates or []}
    expected_shapes["conv_compressor/conv_1d/w"] = (3, 6, 6)
    if loss == "ae":
        expected_shapes["conv_compressor/conv_1d_transpose/w"] = (1, 3, 6, 6)
    assert shapes == expected_shapes
    assert list(shapes) == list(expected_shapes)

    weights = reference.weights_of(compressor, mode)
    frozen = reference.weights_of(attention, mode, seed=2)
    hidden = memory
    for rate in dilation_rates or []:
        # SAME: the kernel of two steps looks at this one and the one `rate` later.
        before, after = rate // 2, rate - rate // 2
        padded = np.pad(hidden, [(0, 0), (before, after), (0, 0)])
        hidden = np.maximum(convolved(padded, weights[f"conv_rate_{rate}/w"], rate=rate), 0)
    compressed = convolved(hidden, weights["conv_1d/w"], stride=2)
    if loss == "ae":
        restored = np.zeros([2, 9, 6])
        for i in range(compressed.shape[1]):
            for k in range(3):
                w = weights["conv_1d_transpose/w"][0, k]
                restored[:, 2 * i + k] += compressed[:, i] @ w.T
        expected_loss = np.mean((memory - restored) ** 2)
    else:
        queries = reference.heads(inputs, frozen["query/linear/w"], 3) / np.sqrt(5)
        reads = []
        for content in (memory, compressed):
            keys = reference.heads(content, frozen["key/linear/w"], 3)
            values = reference.heads(content, frozen["value/linear/w"], 3)
            reads.append(reference.softmax(queries @ np.swapaxes(keys, 2, 3)) @ values)
        expected_loss = np.mean((reads[0] - reads[1]) ** 2)
    outputs, actual_loss = mode.run(call, memory, inputs)
    np.testing.assert_allclose(outputs, compressed, 1e-10, 1e-10)
    np.testing.assert_allclose(actual_loss, expected_loss, 1e-10, 1e-10)


def test_refuses_an_unknown_loss_or_pooling():
    with pytest.raises(NotImplementedError, match="Unrecognised loss 'l1'"):
        transformer.ConvCompressor(2, 4, 4, loss="l1")
    with pytest.raises(ValueError, match="pooling must be 'AVG' or 'MAX', got 'SUM'"):
        transformer.PoolCompressor(pooling="SUM")


def test_compressors_need_enough_steps(mode):
    for compressor in (
        transformer.PoolCompressor(4),
        transformer.ConvCompressor(3, 1, 1, kernel_size=1),
    ):
        with pytest.raises(ValueError, match=r"cannot compress 3 steps .* = 4 are needed"):
            mode.run(compressor, np.ones([2, 3, 4]))


def test_the_loss_mha_needs_the_attention(mode):
    with pytest.raises(ValueError, match="needs attention_state and attention_module"):
        mode.run(transformer.ConvCompressor(2, 4, 4), np.ones([2, 4, 4]))
