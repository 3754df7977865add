"""The ready-made networks, one line each."""

from __future__ import annotations

import itertools
from typing import Any

import tensorflow as tf

import sonnet as snt
from tests.support.descriptors.descriptor import Descriptor
from tests.support.descriptors.layers import testing, training

CompressedMemoryState = snt.nets.transformer.CompressedMemoryState


def _output_in_testing(module: Any, inputs: Any) -> Any:
    # Scaled down, for a tolerance that allows for the rounding of many steps.
    return testing(module, inputs)[0] / 10


def _core_in_testing(core: Any, inputs: Any, state: Any) -> Any:
    results = core(inputs, state, is_training=False)
    return tf.nest.map_structure(lambda result: result / 10, results)


ALEX_NET_VARIABLES: dict[str, tuple[int, ...]] = {
    f"{layer}_{i}/{name}": shape
    for layer, shapes in (
        ("conv", [(3, 3, a, b) for a, b in itertools.pairwise((2, 48, 128, 192, 192, 128))]),
        ("fc", [(256, 1024), (1024, 1024)]),
    )
    for i, sizes in enumerate(shapes)
    for name, shape in (("w", sizes), ("b", sizes[-1:]))
}

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


NETS = [
    Descriptor(
        "MLP",
        lambda: snt.nets.MLP([3, 2]),
        (5, 4),
        {"linear_0/w": (4, 3), "linear_0/b": (3,), "linear_1/w": (3, 2), "linear_1/b": (2,)},
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
    Descriptor(
        "AlexNet",
        lambda: snt.nets.AlexNet(snt.nets.AlexNet.MINI, use_batch_norm=True),
        (5, 17, 18, 2),
        {
            **ALEX_NET_VARIABLES,
            **{
                f"batch_norm{i}/{name}": size
                for i, size in zip(
                    ("", "_1", "_2", "_3", "_4", "_5", "_6"),
                    [(1, 1, 1, s) for s in (48, 128, 192, 192, 128)] + [(1, 1024)] * 2,
                    strict=True,
                )
                for name in ("beta", "moving_mean", "moving_variance")
            },
        },
        dtypes=("float32", "float64"),  # beside 16 bits the averages have 32
        call=training,
        stateful=True,
        smooth=False,
        rounding=1e-4,  # seven normalisations in a row, each over five examples
        per_example=False,
    ),
    Descriptor(
        "AlexNetMini",
        lambda: snt.nets.AlexNetMini(),
        (5, 17, 18, 2),
        ALEX_NET_VARIABLES,
        smooth=False,
    ),
    Descriptor(
        "VectorQuantizer",
        lambda: snt.nets.VectorQuantizer(2, 4, commitment_cost=0.25),
        (5, 3, 2),
        {"embedding": (2, 4)},
        dtypes=("float32",),
        call=training,
        smooth=False,
        per_example=False,
        bound_when_made=True,
    ),
    Descriptor(
        "VectorQuantizerEMA",
        lambda: snt.nets.VectorQuantizerEMA(2, 4, commitment_cost=0.25, decay=0.9, name="ema"),
        (5, 3, 2),
        {
            "embedding": (2, 4),
            **{
                name: shape
                for average, size in (("ema_cluster_size", (4,)), ("ema_dw", (2, 4)))
                for name, shape in (
                    (average, size),
                    (f"ema/{average}/biased", size),
                    (f"ema/{average}/local_step", ()),
                )
            },
        },
        dtypes=("float32",),
        call=training,
        stateful=True,
        smooth=False,
        per_example=False,
        bound_when_made=True,
    ),
    Descriptor(
        "MultiheadAttention",
        lambda: snt.nets.transformer.MultiheadAttention(4, 4, 2),
        (5, 3, 6),
        {
            **{f"{name}/linear/w": (6, 8) for name in ("query", "key", "value")},
            "linear/w": (8, 8),
            "linear/b": (8,),
        },
        call=_output_in_testing,
    ),
    Descriptor(
        "TransformerTower",
        lambda: snt.nets.TransformerTower(**TRANSFORMER),
        (5, 3, 8),
        {f"layer_0/{name}": shape for name, shape in TRANSFORMER_LAYER.items()},
        dtypes=("float32", "float64"),  # beside 16 bits those of layer normalisation have 32
        call=_output_in_testing,
    ),
    Descriptor(
        "TransformerXL",
        lambda: snt.nets.TransformerXL(TRANSFORMER, memory_size=4, chunk_size=3),
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
        state=[tf.TensorShape([4, 8])],
        call=_core_in_testing,
    ),
    Descriptor(
        "CompressiveTransformer",
        lambda: snt.nets.CompressiveTransformer(
            TRANSFORMER, chunk_size=3, episodic_memory_size=4, compressed_memory_size=2
        ),
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
        state=(
            CompressedMemoryState(
                tf.TensorShape([4, 8]), tf.TensorShape([2, 8]), tf.TensorShape([1])
            ),
        ),
        call=_core_in_testing,
    ),
]
