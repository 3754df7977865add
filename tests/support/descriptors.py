"""One line a module: what the conformance suites need to know of it. A new module adds a line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

import sonnet as snt


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """A module for the conformance suites.

    Attributes:
        name: Name of the test case.
        make: Constructs the module.
        shape: Shape of its input, the batch first; None where it takes no input.
        variables: Shapes of its variables by name, as seen from the scope of the module; for a
            container of modules made elsewhere, as seen from the root.
        own_scope: Whether its variables are in its own scope.
        dtypes: Types of input that it takes.
    """

    name: str
    make: Callable[[], Any]
    shape: tuple[int, ...] | None
    variables: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    own_scope: bool = True
    dtypes: tuple[str, ...] = ("float16", "bfloat16", "float32", "float64")

    def inputs(self, dtype: str = "float32", seed: int = 0) -> tuple[np.ndarray[Any, Any], ...]:
        """Returns random inputs."""
        if self.shape is None:
            return ()
        values = np.random.default_rng(seed).normal(size=self.shape)
        return (values.astype(tf.as_dtype(dtype).as_numpy_dtype),)


def _reading_by_its_first_slot(attention: Any) -> Any:
    """Makes attention a module of one input; without the logits, which may be large."""
    module = snt.Module(lambda memory: attention(memory, memory[:, 0])[:2], name="reading")
    module.attention = attention  # to be saved with it
    return module


def _called_as(module_class: type, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Constructs a module of which a call with inputs is `call(build, inputs)`."""

    class Called(module_class):  # type: ignore[misc]
        def _build(self, inputs: Any) -> Any:
            return call(super()._build, inputs)

    Called.__name__ = Called.__qualname__ = module_class.__name__
    return Called(*args, **kwargs)


def _testing(build: Callable[..., Any], inputs: Any) -> Any:
    return build(inputs, is_training=False)


def _testing_by_averages(build: Callable[..., Any], inputs: Any) -> Any:
    return build(inputs, is_training=False, test_local_stats=False)


def _output_only(build: Callable[..., Any], inputs: Any) -> Any:
    # Scaled down, for a tolerance that allows for the rounding of many steps.
    return build(inputs, is_training=False)[0] / 10


def _with_state(build: Callable[..., Any], inputs: Any) -> Any:
    state = build.__self__.zero_state(tf.shape(inputs)[0], inputs.dtype)  # type: ignore[attr-defined]
    results = tf.nest.flatten(build(inputs, state, is_training=False))
    return [result / 10 for result in results]


def _of_halves(build: Callable[..., Any], inputs: Any) -> Any:
    return build(tf.split(inputs, 2, axis=-1))


def _of_ids(build: Callable[..., Any], inputs: Any) -> Any:
    return build(tf.cast(tf.abs(inputs), tf.int32))


BATCH_NORM_VARIABLES = ("beta", "gamma", "moving_mean", "moving_variance")

# Of a layer of transformers that have 8 features, 2 heads and 6 hidden units.
TRANSFORMER_LAYER: dict[str, tuple[int, ...]] = {
    **{
        f"residual_dropout_wrapper{i}/layer_norm/{name}": (8,)
        for i in ("", "_1")
        for name in ("beta", "gamma")
    },
    **{
        f"multihead_attention/{name}/w": (8, 8)
        for name in ("query/linear", "key/linear", "value/linear", "relative_keys/linear", "linear")
    },
    "multihead_attention/linear/b": (8,),
    "multihead_attention/r_w_bias": (1, 2, 1, 4),
    "multihead_attention/r_r_bias": (1, 2, 1, 4),
    "mlp/linear_0/w": (8, 6),
    "mlp/linear_0/b": (6,),
    "mlp/linear_1/w": (6, 8),
    "mlp/linear_1/b": (8,),
}
TRANSFORMER = {"value_size": 4, "num_heads": 2, "num_layers": 1, "mlp_hidden_sizes": (6,)}

DESCRIPTORS = [
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
    ),
    Descriptor(
        "Sequential",
        lambda: snt.Sequential([snt.Linear(3, name="first"), tf.tanh, snt.Linear(2, name="last")]),
        (5, 4),
        {"first/w": (4, 3), "first/b": (3,), "last/w": (3, 2), "last/b": (2,)},
        own_scope=False,
    ),
    Descriptor(
        "MLP",
        lambda: snt.nets.MLP([3, 2]),
        (5, 4),
        {"linear_0/w": (4, 3), "linear_0/b": (3,), "linear_1/w": (3, 2), "linear_1/b": (2,)},
    ),
    Descriptor(
        "Module",
        lambda: snt.Module(
            lambda x: x * tf.compat.v1.get_variable("scale", [4], dtype=x.dtype), name="scaled"
        ),
        (5, 4),
        {"scale": (4,)},
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
    # Networks of convolutions. Others are in their own tests: AlexNet, whose pools and rectifiers
    # have kinks wherever one looks, and the vector quantizers, which are bound to the graph of
    # their construction and have outputs without batch or gradient.
    Descriptor(
        "ConvNet2D",
        lambda: snt.nets.ConvNet2D([3, 2], [3], [2, 1], [snt.SAME]),
        (5, 6, 4, 2),
        {
            "conv_2d_0/w": (3, 3, 2, 3),
            "conv_2d_0/b": (3,),
            "conv_2d_1/w": (3, 3, 3, 2),
            "conv_2d_1/b": (2,),
        },
    ),
    Descriptor(
        "ConvNet2D-normalised",
        lambda: snt.nets.ConvNet2D(
            [3, 2],
            [[2, 1]],
            [1],
            [snt.VALID],
            activation=tf.tanh,
            normalization_ctor=snt.LayerNorm,
            normalize_final=False,
            use_bias=[False, True],
        ),
        (5, 6, 4, 2),
        {
            "conv_2d_0/w": (2, 1, 2, 3),
            "batch_norm_0/gamma": (3,),
            "batch_norm_0/beta": (3,),
            "conv_2d_1/w": (2, 1, 3, 2),
            "conv_2d_1/b": (2,),
        },
        dtypes=("float32", "float64"),
    ),
    Descriptor(
        "ConvNet2DTranspose",
        lambda: snt.nets.ConvNet2DTranspose([3, 2], [[6, 3], [11, 6]], [2], [2], [snt.SAME]),
        (5, 3, 2, 4),
        {
            "conv_2d_transpose_0/w": (2, 2, 3, 4),
            "conv_2d_transpose_0/b": (3,),
            "conv_2d_transpose_1/w": (2, 2, 2, 3),
            "conv_2d_transpose_1/b": (2,),
        },
    ),
    Descriptor(
        "Dilation",
        lambda: snt.nets.Dilation(
            2,
            initializers={
                "w": tf.compat.v1.truncated_normal_initializer(stddev=0.05),
                "b": tf.compat.v1.ones_initializer(),  # away from the kinks
            },
        ),
        (5, 4, 3, 2),
        {
            f"dilated_conv_conv{i}/{name}": shape
            for i in range(1, 9)
            for name, shape in (("w", (3, 3, 2, 2)), ("b", (2,)))
        },
    ),
    # Shapes, embeddings, normalisation.
    Descriptor(
        "ConcatLinear",
        lambda: _called_as(snt.ConcatLinear, _of_halves, 3),
        (5, 4),
        {"linear/w": (2, 3), "linear/b": (3,), "linear_1/w": (2, 3)},
    ),
    Descriptor("SliceByDim", lambda: snt.SliceByDim([-1], [1], [2]), (5, 4, 3)),
    Descriptor("TileByDim", lambda: snt.TileByDim([1], [2]), (5, 4, 3)),
    Descriptor("MergeDims", lambda: snt.MergeDims(1, 2), (5, 4, 3, 2)),
    Descriptor("SelectInput", lambda: snt.SelectInput([0, [0]]), (5, 4)),
    Descriptor(
        "Embed",
        lambda: _called_as(snt.Embed, _of_ids, 7, 3),
        (5, 4),
        {"embeddings": (7, 3)},
        dtypes=("float32",),
    ),
    Descriptor("BlockTriangularMatrix", lambda: snt.BlockTriangularMatrix((2, 1), 3), (5, 12)),
    Descriptor("BlockDiagonalMatrix", lambda: snt.BlockDiagonalMatrix((2, 2), 3), (5, 12)),
    Descriptor("Dropout", lambda: _called_as(snt.Dropout, _testing), (5, 4)),
    Descriptor(
        "BatchNorm",
        lambda: _called_as(snt.BatchNorm, _testing_by_averages, scale=True),
        (5, 3, 2),
        dict.fromkeys(BATCH_NORM_VARIABLES, (1, 1, 2)),
        dtypes=("float32", "float64"),  # beside 16 bits the averages have 32
    ),
    Descriptor(
        "BatchNorm-fused",
        lambda: _called_as(snt.BatchNorm, _testing_by_averages, scale=True, fused=True),
        (5, 3, 4, 2),
        dict.fromkeys(BATCH_NORM_VARIABLES, (1, 1, 1, 2)),
        dtypes=("float32", "float64"),
    ),
    Descriptor(
        "BatchNormV2",
        lambda: _called_as(snt.BatchNormV2, _testing_by_averages, scale=True),
        (5, 3, 2),
        dict.fromkeys(BATCH_NORM_VARIABLES, (2,)),
        dtypes=("float32", "float64"),
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
    Descriptor(
        "MultiheadAttention",
        lambda: _called_as(snt.nets.transformer.MultiheadAttention, _output_only, 4, 4, 2),
        (5, 3, 6),
        {
            **{f"{name}/linear/w": (6, 8) for name in ("query", "key", "value")},
            "linear/w": (8, 8),
            "linear/b": (8,),
        },
    ),
    Descriptor(
        "TransformerTower",
        lambda: _called_as(snt.nets.TransformerTower, _output_only, **TRANSFORMER),
        (5, 3, 8),
        {f"layer_0/{name}": shape for name, shape in TRANSFORMER_LAYER.items()},
        dtypes=("float32", "float64"),  # beside 16 bits those of layer normalisation have 32
    ),
    Descriptor(
        "TransformerXL",
        lambda: _called_as(snt.nets.TransformerXL, _with_state, TRANSFORMER, 4, 3),
        (5, 3, 6),
        {
            "mlp/linear_0/w": (6, 8),
            "mlp/linear_0/b": (8,),
            **{
                f"transformer_tower/layer_0/{name}": shape
                for name, shape in TRANSFORMER_LAYER.items()
            },
        },
        dtypes=("float32", "float64"),
    ),
    Descriptor(
        "CompressiveTransformer",
        lambda: _called_as(snt.nets.CompressiveTransformer, _with_state, TRANSFORMER, 3, 4, 2),
        (5, 3, 6),
        {
            "mlp/linear_0/w": (6, 8),
            "mlp/linear_0/b": (8,),
            **{
                f"transformer_tower/layer_0/{name}": shape
                for name, shape in TRANSFORMER_LAYER.items()
            },
            "transformer_tower/layer_0/multihead_attention/relative_keys_0/linear/w": (8, 8),
            "transformer_tower/layer_0/multihead_attention/r_r_bias_0": (1, 2, 1, 4),
            "conv_compressor/conv_1d/w": (2, 8, 8),
        },
        dtypes=("float32", "float64"),
    ),
]
