"""The layers, one line each."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

import sonnet as snt
from tests.support.descriptors.descriptor import Descriptor


def testing(module: Any, inputs: Any) -> Any:
    return module(inputs, is_training=False)


def training(module: Any, inputs: Any) -> Any:
    return module(inputs, is_training=True)


def _testing_by_averages(module: Any, inputs: Any) -> Any:
    return module(inputs, is_training=False, test_local_stats=False)


def _of_halves(module: Any, inputs: Any) -> Any:
    return module(tf.split(inputs, 2, axis=-1))


def _of_ids(module: Any, inputs: Any) -> Any:
    return module(tf.cast(tf.abs(inputs), tf.int32))


def _scaled(inputs: Any) -> Any:
    inputs = tf.convert_to_tensor(inputs)
    return inputs * tf.compat.v1.get_variable("scale", [4], dtype=inputs.dtype)


def _reading_by_its_first_slot(attention: Any) -> Any:
    """Makes attention a module of one input; without the logits, which may be large."""
    module = snt.Module(lambda memory: attention(memory, memory[:, 0])[:2], name="reading")
    module.attention = attention  # to be saved with it
    return module


BATCH_NORM_VARIABLES = ("beta", "gamma", "moving_mean", "moving_variance")
SPECTRAL_VARIABLES = {
    f"net/linear_{i}/{name}": shape
    for i, (size, previous) in enumerate([(3, 4), (2, 3)])
    for name, shape in (("w", (previous, size)), ("u0", (1, size)), ("b", (size,)))
}

LAYERS = [
    Descriptor("Linear", lambda: snt.Linear(3), (5, 4), {"w": (4, 3), "b": (3,)}),
    Descriptor("Linear-no-bias", lambda: snt.Linear(3, use_bias=False), (5, 4), {"w": (4, 3)}),
    Descriptor(
        "Linear-many-batch-dims",
        lambda: snt.Linear(3, allow_many_batch_dims=True),
        (5, 2, 4),
        {"w": (4, 3), "b": (3,)},
    ),
    Descriptor("AddBias", lambda: snt.AddBias(), (5, 4, 2), {"b": (4, 2)}),
    Descriptor("AddBias-last", lambda: snt.AddBias(bias_dims=[-1]), (5, 4, 2), {"b": (2,)}),
    Descriptor(
        "TrainableVariable",
        lambda: snt.TrainableVariable([3, 2]),
        None,
        {"w": (3, 2)},
        dtypes=("float32",),
    ),
    Descriptor("BatchReshape", lambda: snt.BatchReshape([2, -1]), (5, 4, 3)),
    Descriptor("BatchFlatten", lambda: snt.BatchFlatten(), (5, 4, 3)),
    Descriptor("FlattenTrailingDimensions", lambda: snt.FlattenTrailingDimensions(2), (5, 4, 3, 2)),
    Descriptor(
        "BatchApply",
        lambda: snt.BatchApply(snt.Linear(3, name="inner")),
        (5, 2, 4),
        {"inner/w": (4, 3), "inner/b": (3,)},
        own_scope=False,
        takes_any_argument=True,
    ),
    Descriptor(
        "Sequential",
        lambda: snt.Sequential([snt.Linear(3, name="first"), tf.tanh, snt.Linear(2, name="last")]),
        (5, 4),
        {"first/w": (4, 3), "first/b": (3,), "last/w": (3, 2), "last/b": (2,)},
        own_scope=False,
    ),
    Descriptor(
        "Module",
        lambda: snt.Module(_scaled),
        (5, 4),
        {"scale": (4,)},
        takes_any_argument=True,
    ),
    # Convolutions.
    Descriptor("Conv1D", lambda: snt.Conv1D(3, 2), (5, 6, 2), {"w": (2, 2, 3), "b": (3,)}),
    Descriptor(
        "Conv1D-dilated-causal",
        lambda: snt.Conv1D(3, 2, rate=2, padding=snt.CAUSAL),
        (5, 6, 2),
        {"w": (2, 2, 3), "b": (3,)},
    ),
    Descriptor(
        "Conv2D", lambda: snt.Conv2D(3, 2, stride=2), (5, 6, 4, 2), {"w": (2, 2, 2, 3), "b": (3,)}
    ),
    Descriptor(
        "Conv2D-no-bias",
        lambda: snt.Conv2D(3, [3, 1], padding=snt.VALID, use_bias=False),
        (5, 6, 4, 2),
        {"w": (3, 1, 2, 3)},
    ),
    Descriptor(
        "Conv2D-mixed-paddings",
        lambda: snt.Conv2D(3, 3, padding=[snt.FULL, snt.SAME], padding_value=snt.REFLECT_PADDING),
        (5, 6, 4, 2),
        {"w": (3, 3, 2, 3), "b": (3,)},
    ),
    Descriptor(
        "Conv2D-masked",
        lambda: snt.Conv2D(3, 2, mask=[[1.0, 1.0], [1.0, 0.0]]),
        (5, 6, 4, 2),
        {"w": (2, 2, 2, 3), "b": (3,)},
    ),
    Descriptor(
        "Conv3D", lambda: snt.Conv3D(3, 2), (5, 3, 4, 2, 2), {"w": (2, 2, 2, 2, 3), "b": (3,)}
    ),
    Descriptor(
        "CausalConv1D", lambda: snt.CausalConv1D(3, 2), (5, 6, 2), {"w": (2, 2, 3), "b": (3,)}
    ),
    Descriptor(
        "Conv1DTranspose",
        lambda: snt.Conv1DTranspose(3, kernel_shape=2, stride=2),
        (5, 4, 2),
        {"w": (1, 2, 3, 2), "b": (3,)},
    ),
    Descriptor(
        "Conv2DTranspose",
        lambda: snt.Conv2DTranspose(3, kernel_shape=3, stride=2, padding=snt.VALID),
        (5, 4, 2, 2),
        {"w": (3, 3, 3, 2), "b": (3,)},
    ),
    Descriptor(
        "Conv3DTranspose",
        lambda: snt.Conv3DTranspose(3, output_shape=[3, 5, 4], kernel_shape=2, stride=2),
        (5, 2, 3, 2, 2),
        {"w": (2, 2, 2, 3, 2), "b": (3,)},
    ),
    Descriptor(
        "InPlaneConv2D",
        lambda: snt.InPlaneConv2D(2),
        (5, 6, 4, 3),
        {"w": (2, 2, 1, 1), "b": (3,)},
    ),
    Descriptor(
        "DepthwiseConv1D",
        lambda: snt.DepthwiseConv1D(2, 3, stride=2),
        (5, 6, 3),
        {"w": (1, 3, 3, 2), "b": (6,)},
    ),
    Descriptor(
        "DepthwiseConv2D",
        lambda: snt.DepthwiseConv2D(2, 3, stride=2),
        (5, 6, 4, 3),
        {"w": (3, 3, 3, 2), "b": (6,)},
    ),
    Descriptor(
        "SeparableConv1D",
        lambda: snt.SeparableConv1D(4, 2, 3, stride=2),
        (5, 6, 3),
        {"w_dw": (1, 3, 3, 2), "w_pw": (1, 1, 6, 4), "b": (4,)},
    ),
    Descriptor(
        "SeparableConv2D",
        lambda: snt.SeparableConv2D(4, 2, 3, rate=2),
        (5, 6, 4, 3),
        {"w_dw": (3, 3, 3, 2), "w_pw": (1, 1, 6, 4), "b": (4,)},
    ),
    # Wrappers, spatial transformers, attention.
    Descriptor(
        "Residual",
        lambda: snt.Residual(snt.Linear(4, name="inner")),
        (5, 4),
        {"inner/w": (4, 4), "inner/b": (4,)},
        own_scope=False,
    ),
    Descriptor(
        "weight-normalised",
        lambda: snt.wrap_with_weight_norm(snt.nets.MLP)([3, 2], name="net"),
        (5, 4),
        {
            f"net/linear_{i}/{name}": shape
            for i, (size, previous) in enumerate([(3, 4), (2, 3)])
            for name, shape in (("w", (previous, size)), ("g", (1, size)), ("b", (size,)))
        },
    ),
    Descriptor(
        "spectrally-normalised",
        lambda: snt.wrap_with_spectral_norm(snt.nets.MLP)([3, 2], name="net"),
        (5, 4),
        SPECTRAL_VARIABLES,
        dtypes=("float32",),  # of the vectors of the iteration
        stateful=True,
        smooth=False,  # no gradient flows through the iteration
        bound_when_made=True,
    ),
    Descriptor(
        "spectrally-normalised-testing",
        lambda: snt.wrap_with_spectral_norm(snt.nets.MLP)([3, 2], name="net"),
        (5, 4),
        SPECTRAL_VARIABLES,
        dtypes=("float32",),
        call=lambda module, inputs: module(inputs, enable_power_iteration=False),
        smooth=False,
        bound_when_made=True,
    ),
    Descriptor("AffineGridWarper", lambda: snt.AffineGridWarper([4, 3], [3, 2]), (5, 6)),
    Descriptor(
        "AffineGridWarper-constrained",
        lambda: snt.AffineGridWarper([4, 3], [3, 2], [[None, 0, 0], [0, 1, 0.5]]),
        (5, 1),
    ),
    Descriptor(
        "AttentiveRead",
        lambda: _reading_by_its_first_slot(snt.AttentiveRead(snt.Linear(1, name="logit"))),
        (5, 3, 4),
        {"logit/w": (8, 1), "logit/b": (1,)},
        own_scope=False,
    ),
    # Shapes, embeddings, normalisation.
    Descriptor(
        "ConcatLinear",
        lambda: snt.ConcatLinear(3),
        (5, 4),
        {"linear/w": (2, 3), "linear/b": (3,), "linear_1/w": (2, 3)},
        call=_of_halves,
    ),
    Descriptor("SliceByDim", lambda: snt.SliceByDim([-1], [1], [2]), (5, 4, 3)),
    Descriptor("TileByDim", lambda: snt.TileByDim([1], [2]), (5, 4, 3)),
    Descriptor("MergeDims", lambda: snt.MergeDims(1, 2), (5, 4, 3, 2)),
    Descriptor("SelectInput", lambda: snt.SelectInput([0, [0]]), (5, 4)),
    Descriptor(
        "Embed",
        lambda: snt.Embed(7, 3),
        (5, 4),
        {"embeddings": (7, 3)},
        dtypes=("float32",),
        call=_of_ids,
    ),
    Descriptor("BlockTriangularMatrix", lambda: snt.BlockTriangularMatrix((2, 1), 3), (5, 12)),
    Descriptor("BlockDiagonalMatrix", lambda: snt.BlockDiagonalMatrix((2, 2), 3), (5, 12)),
    Descriptor("Dropout", lambda: snt.Dropout(), (5, 4), call=testing),
    Descriptor("Dropout-training", lambda: snt.Dropout(), (5, 4), call=training, random=True),
    Descriptor(
        "BatchNorm",
        lambda: snt.BatchNorm(scale=True),
        (5, 3, 2),
        dict.fromkeys(BATCH_NORM_VARIABLES, (1, 1, 2)),
        dtypes=("float32", "float64"),  # beside 16 bits the averages have 32
        call=_testing_by_averages,
    ),
    Descriptor(
        "BatchNorm-fused",
        lambda: snt.BatchNorm(scale=True, fused=True),
        (5, 3, 4, 2),
        dict.fromkeys(BATCH_NORM_VARIABLES, (1, 1, 1, 2)),
        dtypes=("float32", "float64"),
        call=_testing_by_averages,
    ),
    Descriptor(
        "BatchNormV2",
        lambda: snt.BatchNormV2(scale=True),
        (5, 3, 2),
        dict.fromkeys(BATCH_NORM_VARIABLES, (2,)),
        dtypes=("float32", "float64"),
        call=_testing_by_averages,
    ),
    Descriptor(
        "BatchNorm-training",
        lambda: snt.BatchNorm(scale=True),
        (5, 3, 2),
        dict.fromkeys(BATCH_NORM_VARIABLES, (1, 1, 2)),
        dtypes=("float32", "float64"),
        call=training,
        stateful=True,
        per_example=False,
    ),
    Descriptor(
        "BatchNormV2-training",
        lambda: snt.BatchNormV2(scale=True),
        (5, 3, 2),
        dict.fromkeys(BATCH_NORM_VARIABLES, (2,)),
        dtypes=("float32", "float64"),
        call=training,
        stateful=True,
        per_example=False,
    ),
    Descriptor(
        "MovingAverage",
        lambda: snt.MovingAverage(),
        (5, 3),
        {"moving_average": (5, 3), "initialized": ()},
        stateful=True,
        smooth=False,  # its gradient is that of the identity
        unknown_batch=False,
    ),
    Descriptor(
        "LayerNorm",
        lambda: snt.LayerNorm(),
        (5, 3, 2),
        {"gamma": (2,), "beta": (2,)},
        dtypes=("float32", "float64"),  # beside 16 bits the variables have 32
    ),
    Descriptor(
        "GroupNorm",
        lambda: snt.GroupNorm(2, data_format="NCW"),
        (5, 4, 3),
        {"gamma": (4,), "beta": (4,)},
        dtypes=("float32", "float64"),
    ),
    Descriptor(
        "InstanceNorm",
        lambda: snt.InstanceNorm(),
        (5, 3, 2),
        {"gamma": (2,), "beta": (2,)},
        dtypes=("float32", "float64"),
    ),
    Descriptor(
        "RMSNorm", lambda: snt.RMSNorm(), (5, 3), {"gamma": (3,)}, dtypes=("float32", "float64")
    ),
    # Attention and transformers.
    Descriptor(
        "MultiHeadAttention",
        lambda: snt.MultiHeadAttention(2, 4, causal=True),
        (5, 3, 6),
        {
            f"{layer}/{name}": shape
            for layer, *sizes in (
                ("query", 6, 8),
                ("key", 6, 8),
                ("value", 6, 8),
                ("output", 8, 6),
            )
            for name, shape in (("w", tuple(sizes)), ("b", tuple(sizes[1:])))
        },
    ),
]
