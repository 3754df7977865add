"""`BatchNorm`: batch normalisation over axes of choice."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from snt_core.errors import IncompatibleShapeError
from snt_nets.norm.batch_normalization import BatchNormalization
from snt_nets.norm.inputs import floating_tensor


class BatchNorm(BatchNormalization):
    """Batch normalisation: `y = gamma (x - mean) / √(variance + eps) + beta`.

    After Ioffe and Szegedy, "Batch normalization: Accelerating deep network training by reducing
    internal covariate shift", 2015, https://arxiv.org/abs/1502.03167.

    While training, mean and variance are those of the batch, and moving averages follow them:
    `m ← d m + (1 - d) mean`. Testing uses the batch, too, or with `test_local_stats=False` the
    moving averages.

    Variables, of the shape of the input with the axes of `axis` reduced to 1: `moving_mean` and
    `moving_variance`, by default zeros and ones, in the dtype of the input, but float32 beside
    float16 and bfloat16; `beta` and `gamma`, by default zeros and ones, in the dtype of the input.

    In a graph the two updates of a connection go to the collection `update_ops_collection`, and are
    the program's to run. Eagerly, in a `tf.function`, and in the branches and bodies of `tf.cond`
    and `tf.while_loop`, from where no collection could be run, each call makes them. With the old
    control flow of TensorFlow 1, updates made in `tf.cond` cannot be fetched from outside: use
    `update_ops_collection=None` there.

    Args:
        axis: The axes to reduce over, which is not the axis of the channels. Default: all but the
            last.
        offset: Whether there is the learnt offset `beta`. Default: True.
        scale: Whether there is the learnt factor `gamma`. Default: False.
        decay_rate: The share d of a moving average that stays at an update. Default: 0.999.
        eps: Small number that is added to the variance. Default: 1e-3.
        initializers: Initializers by variable name. Optional.
        partitioners: Partitioners of "gamma" and "beta". Optional.
        regularizers: Regularizers of "gamma" and "beta". Optional.
        update_ops_collection: Name of the graph collection for the updates. None has them made
            before the output can be used. Default: that of `tf.compat.v1.GraphKeys.UPDATE_OPS`.
        fused: Whether to use TensorFlow's fused kernel, for inputs of 4 axes that are reduced to
            the last or the second. It is faster; `eps` is at least 1.001e-5 then, both `beta` and
            `gamma` exist, trainable or not, in float32 beside float16, and the moving variance is
            that of the unbiased estimator, n / (n - 1) times as large for n elements a channel.
            With float64, which the kernel does not take, the formula is computed. Default: False.
        name: Name of the module. Default: "batch_norm".

    Raises:
        TypeError: If `axis` is not iterable, a dictionary is not one, or a value in it cannot be
            called.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> batch_norm = snt.BatchNorm()
        >>> batch_norm(tf.ones([8, 28, 28, 3]), is_training=True).shape
        TensorShape([8, 28, 28, 3])
        >>> batch_norm.moving_mean.shape
        TensorShape([1, 1, 1, 3])
    """

    def __init__(
        self,
        axis: Iterable[int] | None = None,
        offset: bool = True,
        scale: bool = False,
        decay_rate: float = 0.999,
        eps: float = 1e-3,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        update_ops_collection: str | None = "update_ops",
        fused: bool = False,
        name: str = "batch_norm",
    ) -> None:
        super().__init__(
            offset,
            scale,
            decay_rate,
            eps,
            initializers,
            partitioners,
            regularizers,
            update_ops_collection,
            fused,
            name,
        )
        if axis is not None and not isinstance(axis, Iterable):
            raise TypeError(
                f"{self.scope_name}: axis must be the list of axes to reduce over, got {axis!r}. "
                "For images with the channels last that is [0, 1, 2]."
            )
        self._axis = None if axis is None else tuple(map(operator.index, axis))

    def _build(self, input_batch: Any, is_training: Any, test_local_stats: Any = True) -> Any:
        """Normalises `input_batch`.

        Args:
            input_batch: Tensor `[batch, ...]` of a floating-point type.
            is_training: Whether to use the statistics of the batch and to update the moving
                averages: a boolean, or a boolean tensor.
            test_local_stats: Whether to use the statistics of the batch, and not the moving
                averages, also when `is_training` is False: likewise.

        Returns:
            Tensor of the shape and dtype of `input_batch`.

        Raises:
            IncompatibleShapeError: If `axis` does not suit the rank of the input.
            ValueError: If the size of an axis that is not reduced is unknown, or another one than
                before; with `fused`, if `axis` is not such that the kernel could be used.
            NotImplementedError: With `fused`, if the input has not 4 axes.
            NotSupportedError: With `fused`, if the input is of dtype bfloat16.
            TypeError: If the input is not of a floating-point type, or a flag not a boolean.
        """
        inputs = floating_tensor(input_batch, self.scope_name)
        sizes = inputs.shape.as_list()
        axes = self._checked_axes(len(sizes))
        if self._fused:
            self._check_kernel(axes, len(sizes))
        shape = [1 if axis in axes else size for axis, size in enumerate(sizes)]
        return self._normalised(inputs, is_training, test_local_stats, axes, shape)

    def _checked_axes(self, rank: int) -> tuple[int, ...]:
        if self._axis is None:
            return tuple(range(rank - 1))
        got = f"got {list(self._axis)} for an input of rank {rank}."
        if len(self._axis) > rank:
            raise IncompatibleShapeError(
                f"{self.scope_name}: Too many indices specified in axis: {got}"
            )
        if max(self._axis, default=0) >= rank:
            raise IncompatibleShapeError(
                f"{self.scope_name}: One or more index in axis is too large for input shape: {got}"
            )
        if min(self._axis, default=0) < 0:
            raise IncompatibleShapeError(
                f"{self.scope_name}: Indices in axis must be non-negative: {got}"
            )
        return self._axis

    def _check_kernel(self, axes: tuple[int, ...], rank: int) -> None:
        if rank != 4:
            raise NotImplementedError(
                f"{self.scope_name}: fused batch normalisation supports only input with 4 "
                f"dimensions, got rank {rank}. Construct with fused=False, or use BatchNormV2."
            )
        if sorted(axes) not in ([0, 1, 2], [0, 2, 3]):
            raise ValueError(
                f"{self.scope_name}: Invalid axis option {list(axes)} for fused batch "
                "normalisation: must be [0, 1, 2], with the channels last, or [0, 2, 3]."
            )

    def _as_images(self, inputs: Any) -> tuple[Any, str]:
        return inputs, "NCHW" if self._axis is not None and 3 in self._axis else "NHWC"
