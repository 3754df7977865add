"""What the convolutions that are not transposed have in common."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow.compat.v1 as tf1

from snt_nets.conv.base import Convolution
from snt_nets.conv.window import checked_window


class PaddedConvolution(Convolution):
    """Base class of the convolutions that are not transposed: any padding, and a dilation.

    Args:
        output_channels: As for `Convolution`.
        kernel_shape: Size of the kernel: one number, or one for each spatial axis.
        stride: Stride, likewise; or strides of all axes, batch and channels included.
        rate: Dilation, likewise; 1 if a stride is not.
        padding: One of the five paddings, or one for each spatial axis.
        use_bias: Whether there is a bias.
        initializers: Initializers by variable name.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        data_format: Name of the data format, or None for the one with the channels last.
        padding_value: One of the three padding values.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module, or None for that of the class.

    Raises:
        ValueError: If the data format or the padding value is unknown.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        NotSupportedError: If a stride and a rate are both greater than 1.
        TypeError: If a padding is unknown, a dictionary is not one, or a value in it cannot be
            called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.
    """

    def __init__(
        self,
        output_channels: int | Callable[[], int] | None,
        kernel_shape: Any,
        stride: Any,
        rate: Any,
        padding: Any,
        use_bias: bool,
        initializers: Mapping[str, Any] | None,
        partitioners: Mapping[str, Any] | None,
        regularizers: Mapping[str, Any] | None,
        data_format: str | None,
        padding_value: str,
        custom_getter: Any,
        name: str | None,
    ) -> None:
        window = checked_window(
            self._DEFAULT_NAME if name is None else name,
            self._SPATIAL_DIMS,
            data_format,
            kernel_shape,
            stride,
            rate,
            padding,
            padding_value,
        )
        super().__init__(
            window,
            output_channels,
            use_bias,
            initializers,
            partitioners,
            regularizers,
            custom_getter,
            name,
        )

    @property
    def rate(self) -> tuple[int, ...]:
        """Dilation along each spatial axis."""
        return self._window.rate

    @property
    def paddings(self) -> tuple[str, ...]:
        """Padding of each spatial axis."""
        return self._window.paddings

    @property
    def padding(self) -> str:
        """Padding of all spatial axes.

        Raises:
            ValueError: If they have not all the same.
        """
        if len(set(self.paddings)) > 1:
            raise ValueError(
                f"{self.scope_name}: This layer uses different paddings for different dimensions: "
                f"{self.paddings}. Use the property `paddings`."
            )
        return self.paddings[0]

    @property
    def mask(self) -> Any:
        """Mask of the weights, or None."""
        return None

    def _arguments(self) -> dict[str, Any]:
        window = self._window
        return {
            **self._shared_arguments(),
            "padding": window.paddings,
            "padding_value": window.padding_value,
        }


def checked_channel_multiplier(given: Any) -> int:
    """Returns `given` as the number of outputs of each input channel.

    Raises:
        ValueError: If it is not an integer, or less than 1.
    """
    try:
        multiplier = operator.index(given)
    except TypeError:
        raise ValueError(
            "channel_multiplier must be of type int or tf.compat.v1.Dimension, got "
            f"{tf1.dimension_value(given)!r} of type {type(given).__name__}."
        ) from None
    if multiplier < 1:
        raise ValueError(f"channel_multiplier must be >= 1, got {multiplier}.")
    return multiplier
