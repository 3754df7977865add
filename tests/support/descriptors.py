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
]
