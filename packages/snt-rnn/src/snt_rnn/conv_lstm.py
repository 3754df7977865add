"""`Conv1DLSTM` and `Conv2DLSTM`: LSTMs whose inputs and states are sequences or images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.deprecation import deprecation_warning
from snt_nets.conv.conv import Conv1D, Conv2D, Conv3D
from snt_nets.conv.padding import CONSTANT_PADDING, SAME, padding_amounts
from snt_nets.conv.sizes import Sizes
from snt_nets.conv.window import Window, checked_window
from snt_nets.norm.layer_norm import LayerNorm
from snt_nets.reshape import BatchFlatten
from snt_nets.shapes import reshape
from snt_rnn.core import RNNCore

_CONVOLUTIONS: dict[int, Any] = {1: Conv1D, 2: Conv2D, 3: Conv3D}


class ConvLSTM(RNNCore):
    """Base class of LSTMs that convolve; see `snt.Conv2DLSTM`.

    Args:
        conv_ndims: Number of spatial axes, 1 to 3.
        input_shape: Shape of the input without the batch: sizes of the spatial axes, channels.
        output_channels: Number of channels of the output, and of both parts of the state.
        kernel_shape: Size of the kernels; one number, or one for each spatial axis.
        stride: Stride, likewise. Only 1 lets the state keep its size.
        rate: Dilation, likewise. Default: 1.
        padding: Padding, likewise, by which the state keeps its size. Default: `snt.SAME`.
        use_bias: Whether there is a bias. Default: True.
        legacy_bias_behaviour: Whether the convolution of the state has a bias too. Default: True.
        forget_bias: Added to the forget gate before the sigmoid. Default: 1.
        initializers: Initializers "w" and "b" for both convolutions. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        use_layer_norm: Whether the gates are normalised before the nonlinearities, all together,
            with a factor and an offset for each place. Default: False.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_lstm".

    Raises:
        ValueError: If there are other numbers of spatial axes, `input_shape` is of another length,
            or the stride and padding change the size of what is convolved.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        TypeError: If a padding is unknown.
    """

    def __init__(
        self,
        conv_ndims: int,
        input_shape: Iterable[Any],
        output_channels: int,
        kernel_shape: Sizes,
        stride: Sizes = 1,
        rate: Sizes = 1,
        padding: Any = SAME,
        use_bias: bool = True,
        legacy_bias_behaviour: bool = True,
        forget_bias: float = 1.0,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        use_layer_norm: bool = False,
        custom_getter: Any = None,
        name: str = "conv_lstm",
    ) -> None:
        super().__init__(custom_getter=custom_getter, name=name)
        if conv_ndims not in _CONVOLUTIONS:
            raise ValueError(
                f"{self.scope_name}: Invalid convolution dimensionality {conv_ndims}, must be 1, "
                "2 or 3."
            )
        self._conv_class = _CONVOLUTIONS[conv_ndims]
        self._input_shape = tuple(tf.TensorShape(input_shape).as_list())
        if len(self._input_shape) != conv_ndims + 1:
            raise ValueError(
                f"{self.scope_name}: Invalid input_shape {self._input_shape} for "
                f"conv_ndims={conv_ndims}: expected the {conv_ndims} spatial sizes and the number "
                "of channels, without the batch."
            )
        window = checked_window(
            self.scope_name, conv_ndims, None, kernel_shape, stride, rate, padding, CONSTANT_PADDING
        )
        self._check_keeps_size(window)
        self._window = window
        self._output_channels = output_channels
        self._use_bias = use_bias
        self._hidden_has_bias = use_bias and legacy_bias_behaviour
        if self._hidden_has_bias:
            tf1.logging.warning(
                "%s: the convolutions of the input and of the state both have a bias, although one "
                "would do. Old checkpoints have both; otherwise set legacy_bias_behaviour=False.",
                self.scope_name,
            )
        self._forget_bias = forget_bias
        # In a tuple, which TensorFlow has no reason to wrap as it would each dictionary.
        self._given = (initializers, partitioners, regularizers)
        self._convolutions: dict[str, Any] = {}
        self._flatten = BatchFlatten()
        self._layer_norm: LayerNorm | None = None
        if use_layer_norm:
            deprecation_warning(
                "The layer normalisation of ConvLSTM has a factor and an offset for each place "
                "in space, where one for each channel was meant. It is kept for old checkpoints."
            )
            with self._enter_variable_scope(check_same_graph=False):
                self._layer_norm = LayerNorm()

    def _check_keeps_size(self, window: Window) -> None:
        grows = [
            sum(padding_amounts(padding, (size - 1) * rate + 1)) - (size - 1) * rate
            for padding, size, rate in zip(
                window.paddings, window.kernel_shape, window.rate, strict=True
            )
        ]
        if any(grows) or set(window.stride) != {1}:
            raise ValueError(
                f"{self.scope_name}: the state must keep its spatial size, which takes stride 1 "
                f"and padding SAME, CAUSAL or REVERSE_CAUSAL; got stride {window.stride} and "
                f"padding {window.paddings}."
            )

    @classmethod
    def get_possible_initializer_keys(cls, use_bias: bool = True) -> set[str]:
        """Returns the keys that `initializers` may have.

        Args:
            use_bias: Whether the convolutions have a bias.
        """
        return {"w", "b"} if use_bias else {"w"}

    def _new_convolution(self, use_bias: bool) -> Any:
        initializers, partitioners, regularizers = (
            given
            if use_bias or given is None
            else {key: value for key, value in given.items() if key != "b"}
            for given in self._given
        )
        return self._conv_class(
            4 * self._output_channels,
            self._window.kernel_shape,
            rate=self._window.rate,
            padding=self._window.paddings,
            use_bias=use_bias,
            initializers=initializers,
            partitioners=partitioners,
            regularizers=regularizers,
            name="conv",
        )

    def _build(self, inputs: Any, state: Any) -> tuple[Any, tuple[Any, Any]]:
        """Advances by one step.

        Args:
            inputs: Tensor `[batch, *input_shape]`.
            state: Pair `(hidden, cell)` of tensors `[batch, ..., output_channels]`, spatial sizes
                as those of the input.

        Returns:
            Output `[batch, ..., output_channels]`, and the next state, the pair of the output and
            the next cell.

        Raises:
            KeyError: If a dictionary of the constructor has an unknown key.
            TypeError: If it is not a dictionary, or a value in it cannot be called.
        """
        hidden, cell = state
        if not self._convolutions:
            self._convolutions = {
                "input": self._new_convolution(self._use_bias),
                "hidden": self._new_convolution(self._hidden_has_bias),
            }
        gates = self._convolutions["input"](inputs) + self._convolutions["hidden"](hidden)
        if self._layer_norm is not None:
            normalised = self._layer_norm(self._flatten(gates))
            gates = reshape(normalised, gates.shape.as_list(), lambda: tf.shape(gates))
        i, j, f, o = tf.split(gates, 4, axis=-1)
        next_cell = tf.sigmoid(f + self._forget_bias) * cell + tf.sigmoid(i) * tf.tanh(j)
        output = tf.tanh(next_cell) * tf.sigmoid(o)
        return output, (output, next_cell)

    @property
    def convolutions(self) -> dict[str, Any]:
        """The convolutions of the input and of the state, "input" and "hidden".

        Empty until the first connection, which makes them.
        """
        return self._convolutions

    @property
    def use_layer_norm(self) -> bool:
        """Whether there is layer normalisation."""
        return self._layer_norm is not None

    @property
    def state_size(self) -> Any:
        """Shapes of the hidden state and of the cell without the batch."""
        return self.output_size, self.output_size

    @property
    def output_size(self) -> Any:
        """Shape of the output without the batch."""
        return tf.TensorShape([*self._input_shape[:-1], self._output_channels])


class Conv1DLSTM(ConvLSTM):
    """LSTM whose inputs and states are sequences, and whose linear maps are convolutions.

    After Shi et al., "Convolutional LSTM network: A machine learning approach for precipitation
    nowcasting", 2015, https://arxiv.org/abs/1506.04214. With h and c the state:
    `(i, j, f, o) = conv(x) + conv_1(h)`, `c' = σ(f + forget_bias) c + σ(i) tanh(j)`,
    `h' = tanh(c') σ(o)`.

    Variables, in the dtype of the input: `conv/w` `[*kernel, input_channels, 4 * output_channels]`,
    `conv_1/w` `[*kernel, output_channels, 4 * output_channels]`, `conv/b` and `conv_1/b`
    `[4 * output_channels]`, with the defaults of `snt.Conv1D`.

    Args:
        name: Name of the module. Default: "conv_1d_lstm".
        **kwargs: All other arguments, by name: `input_shape`, without the batch, channels last;
            `output_channels`; `kernel_shape`; `stride=1` and `padding=snt.SAME`, by which the state
            must keep its size; `rate=1`, dilation; `use_bias=True`; `legacy_bias_behaviour=True`,
            whether there is `conv_1/b`; `forget_bias=1.0`; `initializers`, `partitioners` and
            `regularizers`, "w" and "b" for both convolutions, the latter of no effect without a
            bias; `use_layer_norm=False`, whether to normalise (i, j, f, o), all numbers of an
            example together; `custom_getter`, as for `snt.AbstractModule`.

    Raises:
        ValueError: If `input_shape` is of the wrong length, or the stride and padding change the
            size of what is convolved.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        TypeError: If an argument is missing, or a padding unknown.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> core = snt.Conv1DLSTM(
        ...     input_shape=(20, 3), output_channels=8, kernel_shape=5, legacy_bias_behaviour=False
        ... )
        >>> outputs, state = core(tf.ones([4, 20, 3]), core.initial_state(batch_size=4))
        >>> outputs.shape
        TensorShape([4, 20, 8])
    """

    def __init__(self, name: str = "conv_1d_lstm", **kwargs: Any) -> None:
        super().__init__(conv_ndims=1, name=name, **kwargs)


class Conv2DLSTM(ConvLSTM):
    """LSTM whose inputs and states are images, and whose linear maps are convolutions.

    After Shi et al., "Convolutional LSTM network: A machine learning approach for precipitation
    nowcasting", 2015, https://arxiv.org/abs/1506.04214. With h and c the state:
    `(i, j, f, o) = conv(x) + conv_1(h)`, `c' = σ(f + forget_bias) c + σ(i) tanh(j)`,
    `h' = tanh(c') σ(o)`.

    Variables, in the dtype of the input: `conv/w` `[*kernel, input_channels, 4 * output_channels]`,
    `conv_1/w` `[*kernel, output_channels, 4 * output_channels]`, `conv/b` and `conv_1/b`
    `[4 * output_channels]`, with the defaults of `snt.Conv2D`.

    Args:
        name: Name of the module. Default: "conv_2d_lstm".
        **kwargs: All other arguments, by name: `input_shape`, without the batch, channels last;
            `output_channels`; `kernel_shape`; `stride=1` and `padding=snt.SAME`, by which the state
            must keep its size; `rate=1`, dilation; `use_bias=True`; `legacy_bias_behaviour=True`,
            whether there is `conv_1/b`; `forget_bias=1.0`; `initializers`, `partitioners` and
            `regularizers`, "w" and "b" for both convolutions, the latter of no effect without a
            bias; `use_layer_norm=False`, whether to normalise (i, j, f, o), all numbers of an
            example together; `custom_getter`, as for `snt.AbstractModule`.

    Raises:
        ValueError: If `input_shape` is of the wrong length, or the stride and padding change the
            size of what is convolved.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        TypeError: If an argument is missing, or a padding unknown.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> core = snt.Conv2DLSTM(
        ...     input_shape=(8, 8, 3), output_channels=5, kernel_shape=3,
        ...     legacy_bias_behaviour=False,
        ... )
        >>> outputs, state = core(tf.ones([4, 8, 8, 3]), core.initial_state(batch_size=4))
        >>> outputs.shape
        TensorShape([4, 8, 8, 5])
        >>> core.convolutions["input"].w.shape
        TensorShape([3, 3, 3, 20])
    """

    def __init__(self, name: str = "conv_2d_lstm", **kwargs: Any) -> None:
        super().__init__(conv_ndims=2, name=name, **kwargs)
