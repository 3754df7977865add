"""What all convolutions have in common."""

from __future__ import annotations

import abc
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.errors import IncompatibleShapeError, UnderspecifiedError
from snt_nets.conv.window import Window
from snt_nets.initializers import create_bias_initializer, create_weight_initializer
from snt_nets.layer import Layer

DTYPES = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


class Convolution(Layer):
    """Base class of all convolutions: checks inputs, convolves, adds a bias.

    A subclass says how many spatial axes it has, what it is called, and how it convolves.

    Args:
        window: The window that moves over the inputs.
        output_channels: Number of output channels; or a function without arguments that returns
            it, called when it is first needed. None where the input decides.
        use_bias: Whether there is a bias.
        initializers: Initializers by variable name.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module, or None for that of the class.

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key, for instance "b" without a bias.
    """

    _SPATIAL_DIMS: ClassVar[int]
    _DEFAULT_NAME: ClassVar[str]
    _WEIGHTS: ClassVar[set[str]] = {"w"}

    def __init__(
        self,
        window: Window,
        output_channels: int | Callable[[], int] | None,
        use_bias: bool,
        initializers: Mapping[str, Any] | None,
        partitioners: Mapping[str, Any] | None,
        regularizers: Mapping[str, Any] | None,
        custom_getter: Any,
        name: str | None,
    ) -> None:
        keys = self.get_possible_initializer_keys(use_bias=use_bias)
        name = self._DEFAULT_NAME if name is None else name
        super().__init__(keys, initializers, partitioners, regularizers, custom_getter, name)
        self._window = window
        self._output_channels = output_channels
        self._use_bias = use_bias
        self._input_shape: tuple[int | None, ...] | None = None
        self._w: Any = None
        self._b: Any = None

    @classmethod
    def get_possible_initializer_keys(cls, use_bias: bool = True) -> set[str]:
        """Returns the keys that `initializers` may have.

        Args:
            use_bias: Whether the module has a bias.
        """
        return cls._WEIGHTS | {"b"} if use_bias else set(cls._WEIGHTS)

    def _build(self, inputs: Any) -> Any:
        """Convolves `inputs`.

        Args:
            inputs: Tensor in the data format of the module: for images `[batch, height, width,
                channels]`, or `[batch, channels, height, width]`. Of type float16, bfloat16,
                float32 or float64. All sizes but the channels may be unknown, and may change.

        Returns:
            Tensor in the same data format, of the dtype of `inputs`.

        Raises:
            IncompatibleShapeError: If the rank is wrong, or there are no channels.
            TypeError: If the dtype is wrong.
            UnderspecifiedError: If the number of input channels is unknown.
            ValueError: If it is not that of earlier connections.
        """
        inputs = tf.convert_to_tensor(inputs)
        input_shape = self._checked_shape(inputs)
        channel_axis = self._window.data_format.channel_axis
        outputs = self._convolve(inputs, input_shape[channel_axis])
        if self._use_bias:
            shape, dtype = [outputs.shape.as_list()[channel_axis]], inputs.dtype
            self._b = self._layer_variable(
                "b", shape, dtype, lambda: create_bias_initializer(shape, dtype)
            )
            channels_first = self._window.data_format.channels_first
            outputs = tf.nn.bias_add(outputs, self._b, "NC..." if channels_first else "N...C")
        self._input_shape = input_shape
        return outputs

    @abc.abstractmethod
    def _convolve(self, inputs: Any, input_channels: Any) -> Any:
        """Returns the convolution of `inputs`, which are as they should be, without the bias."""

    def _checked_shape(self, inputs: Any) -> tuple[Any, ...]:
        data_format = self._window.data_format
        shape = tuple(inputs.shape.as_list())
        if len(shape) != len(data_format.name):
            raise IncompatibleShapeError(
                f"{self.scope_name}: Input Tensor must have rank {len(data_format.name)}, the axes "
                f"{data_format.name}, got the shape {shape}."
            )
        if inputs.dtype not in DTYPES:
            raise TypeError(
                f"{self.scope_name}: Input must have dtype tf.float16, tf.bfloat16, tf.float32 or "
                f"tf.float64, got tf.{inputs.dtype.name}. Use tf.cast on the input."
            )
        channels = shape[data_format.channel_axis]
        if channels is None:
            raise UnderspecifiedError(
                f"{self.scope_name}: Number of input channels must be known at module build time, "
                f"got the shape {shape} in the format {data_format.name}. Use set_shape on the "
                "input."
            )
        if channels == 0:
            raise IncompatibleShapeError(
                f"{self.scope_name}: There must be input channels, got the shape {shape} in the "
                f"format {data_format.name}."
            )
        return shape

    def _weights(self, name: str, shape: Any, fan_in_shape: Iterable[Any], dtype: Any) -> Any:
        """Returns a variable of weights that sum over axes of the sizes `fan_in_shape`."""
        return self._layer_variable(
            name, shape, dtype, lambda: create_weight_initializer(fan_in_shape, dtype)
        )

    # Properties.

    @property
    def output_channels(self) -> int:
        """Number of output channels."""
        if callable(self._output_channels):
            self._output_channels = self._output_channels()
        channels = tf1.dimension_value(self._output_channels)
        try:
            # Sizes are often the result of a division: 64.0 will do, 64.5 will not.
            return int(channels) if channels == int(channels) else operator.index(channels)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(
                f"{self.scope_name}: output_channels must be an integer, or a function that "
                f"returns one, got {channels!r}."
            ) from None

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Size of the kernel along each spatial axis."""
        return self._window.kernel_shape

    @property
    def stride(self) -> tuple[int, ...]:
        """Stride along all axes, batch and channels included, in the order of the data format."""
        return self._window.strides

    @property
    def conv_op_padding(self) -> str:
        """Padding of TensorFlow's op: "SAME", or "VALID" also where the input is padded before."""
        return self._window.op_padding

    @property
    def data_format(self) -> str:
        """Order of the axes of input and output, for example "NHWC"."""
        return self._window.data_format.name

    @property
    def has_bias(self) -> bool:
        """Whether there is a bias."""
        return self._use_bias

    @property
    def w(self) -> Any:
        """The weights.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._w

    @property
    def b(self) -> Any:
        """The bias, `[output_channels]`.

        Raises:
            NotConnectedError: If the module is not connected yet.
            AttributeError: If the module has no bias.
        """
        self._ensure_is_connected()
        if not self._use_bias:
            raise AttributeError(
                f"No bias Variable in {type(self).__name__} Module when `use_bias=False`."
            )
        return self._b

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """Static shape of the last input.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        assert self._input_shape is not None
        return self._input_shape

    @property
    def input_channels(self) -> int:
        """Number of input channels.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        channels: int = self.input_shape[self._window.data_format.channel_axis]
        return channels

    # Copies.

    def clone(self, name: str | None = None) -> Any:
        """Returns a new module of the same specification, with variables of its own.

        Args:
            name: Name of the new module. Default: the name of this one with "_clone" added.
        """
        return type(self)(**self._arguments(), name=name or f"{self.module_name}_clone")

    @abc.abstractmethod
    def _arguments(self) -> dict[str, Any]:
        """Returns the arguments of the constructor for a module like this, without the name."""

    def _shared_arguments(self) -> dict[str, Any]:
        """Returns those arguments that every convolution takes, a transposed one too."""
        return {
            "kernel_shape": self.kernel_shape,
            "stride": self._window.stride,
            "use_bias": self._use_bias,
            "initializers": self._given_initializers,
            "partitioners": self._partitioners,
            "regularizers": self._regularizers,
            "data_format": self.data_format,
            "custom_getter": self._custom_getter,
        }
