"""`CausalConv1D`: the old name of a causal convolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow.compat.v1 as tf1

from snt_core.deprecation import deprecation_warning
from snt_nets.conv.conv import ConvND
from snt_nets.conv.formats import DATA_FORMAT_NWC
from snt_nets.conv.padding import CAUSAL, CONSTANT_PADDING
from snt_nets.conv.sizes import Sizes


class CausalConv1D(ConvND):
    """Convolution whose outputs depend on no later inputs: `snt.Conv1D` with the padding CAUSAL.

    Deprecated: use `snt.Conv1D(padding=snt.CAUSAL)`. Variables are those of `snt.Conv1D`.

    Args:
        output_channels: As for `snt.Conv1D`; so are all others, but for `padding`.
        kernel_shape: Size of the kernel.
        stride: Stride. Default: 1.
        rate: Dilation; 1 if the stride is not. Default: 1.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        mask: Tensor, array or list that the weights are multiplied by. Optional.
        padding: Is CAUSAL; anything else is ignored, with a warning.
        data_format: "NWC" or "NCW". Default: "NWC".
        padding_value: What is padded. Default: zeros.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "causal_conv_1d".

    Raises:
        ValueError: If the data format or the padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many, or the shape
            of the mask is unknown.
        NotSupportedError: If the stride and the rate are both greater than 1.
        TypeError: If the mask is not one, a dictionary is not one, or a value in it cannot be
            called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> conv = snt.CausalConv1D(output_channels=1, kernel_shape=2, initializers={"w": tf.ones})
        >>> tf.squeeze(conv(tf.constant([[[1.0], [2.0], [3.0]]]))).numpy().tolist()
        [1.0, 3.0, 5.0]
    """

    _SPATIAL_DIMS = 1
    _DEFAULT_NAME = "causal_conv_1d"

    def __init__(
        self,
        output_channels: int | Callable[[], int],
        kernel_shape: Sizes,
        stride: Sizes = 1,
        rate: Sizes = 1,
        use_bias: bool = True,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        mask: Any = None,
        padding: Any = CAUSAL,
        data_format: str = DATA_FORMAT_NWC,
        padding_value: str = CONSTANT_PADDING,
        custom_getter: Any = None,
        name: str = "causal_conv_1d",
    ) -> None:
        deprecation_warning(
            "CausalConv1D is deprecated: use Conv1D with padding=CAUSAL, which is the same."
        )
        super().__init__(
            output_channels,
            kernel_shape,
            stride,
            rate,
            CAUSAL,
            use_bias,
            initializers,
            partitioners,
            regularizers,
            mask,
            data_format,
            padding_value,
            custom_getter,
            name,
        )
        if self._given_other_padding(padding):
            tf1.logging.warning(
                "%s: The padding of CausalConv1D is always CAUSAL, %r is ignored.",
                self.scope_name,
                padding,
            )

    @staticmethod
    def _given_other_padding(padding: Any) -> bool:
        paddings = [padding] if isinstance(padding, str) else list(padding)
        return paddings != [CAUSAL]
