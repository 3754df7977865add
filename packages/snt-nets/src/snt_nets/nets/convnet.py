"""`ConvNet2D` and `ConvNet2DTranspose`: convolutions of images, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_nets.conv.conv import Conv2D
from snt_nets.conv.formats import DATA_FORMAT_NCHW as DATA_FORMAT_NCHW
from snt_nets.conv.formats import DATA_FORMAT_NHWC as DATA_FORMAT_NHWC
from snt_nets.conv.formats import DataFormat
from snt_nets.conv.sizes import Sizes
from snt_nets.conv.transpose import Conv2DTranspose
from snt_nets.nets.conv_stack import ConvStack, expanded, iterated
from snt_nets.nets.normalization import chosen_normalization


class ConvNet2D(ConvStack):
    """Convolutions of images, with normalisers and an activation function between them.

    The layers are `snt.Conv2D` modules named `conv_2d_0`, `conv_2d_1` and so on. After each one
    comes its normaliser, if there are any, and then the activation function. The normalisers are
    named `batch_norm_0`, `batch_norm_1` and so on, whatever they are.

    Args:
        output_channels: Number of output channels of each layer; or functions without arguments
            that return one, called when it is first needed.
        kernel_shapes: Size of the kernel of each layer, as for `snt.Conv2D`; or an iterable of one,
            for all layers. This holds for the next three as well.
        strides: Stride of each layer.
        paddings: Padding of each layer; or one alone, for all layers.
        rates: Dilation of each layer. Default: 1.
        activation: Activation function. Default: `tf.nn.relu`.
        activate_final: Whether the last layer is activated too. Default: False.
        normalization_ctor: Constructor of the normalisers, called with their name and
            `normalization_kwargs`; or its name, for instance "LayerNorm". Optional.
        normalization_kwargs: Arguments for it. Optional.
        normalize_final: Whether the last layer is normalised too. Default: as `activate_final`,
            which is deprecated.
        initializers: Initializers "w" and "b" for all layers. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        use_batch_norm: Deprecated: True stands for `normalization_ctor=snt.BatchNorm`.
        use_bias: Whether the layers have a bias; or for each layer, whether it has. Default: True.
        batch_norm_config: Deprecated: the arguments that go with `use_batch_norm`.
        data_format: "NHWC" or "NCHW". Default: "NHWC".
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_net_2d".

    Raises:
        TypeError: If an argument that is to be iterable is not, or `use_batch_norm` is,
            `activation` cannot be called, a padding is unknown, a dictionary is not one, or a value
            in it cannot be called.
        ValueError: If there are no layers, an iterable has neither one entry nor one for each
            layer, the data format is unknown, or `normalization_ctor` is no constructor, cannot be
            found, or goes together with `use_batch_norm`.
        KeyError: If a dictionary has an unknown key, for instance "b" without biases.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.
        NotSupportedError: If a stride and a rate are both greater than 1.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> net = snt.nets.ConvNet2D(
        ...     output_channels=[16, 32],
        ...     kernel_shapes=[3],
        ...     strides=[2],
        ...     paddings=[snt.SAME],
        ...     normalization_ctor=snt.LayerNorm,
        ...     normalize_final=False,
        ... )
        >>> net(tf.ones([8, 28, 28, 3])).shape
        TensorShape([8, 7, 7, 32])
        >>> net.transpose()(tf.ones([8, 7, 7, 32])).shape
        TensorShape([8, 28, 28, 3])
    """

    def _make_layer(self, index: int, **options: Any) -> Any:
        return Conv2D(rate=self._rates[index], name=f"conv_2d_{index}", **options)

    def transpose(  # type: ignore[override]
        self,
        name: str | None = None,
        output_channels: Iterable[int | Callable[[], int]] | None = None,
        kernel_shapes: Iterable[Sizes] | None = None,
        strides: Iterable[Sizes] | None = None,
        paddings: Iterable[Any] | None = None,
        activation: Callable[[Any], Any] | None = None,
        activate_final: bool | None = None,
        normalization_ctor: Callable[..., Any] | str | None = None,
        normalization_kwargs: Mapping[str, Any] | None = None,
        normalize_final: bool | None = None,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        use_batch_norm: bool | None = None,
        use_bias: bool | Iterable[bool] | None = None,
        batch_norm_config: Mapping[str, Any] | None = None,
        data_format: str | None = None,
        custom_getter: Any = None,
    ) -> Any:
        """Returns a new network whose layers map back, from the last to the first.

        That of a `ConvNet2D` is a `ConvNet2DTranspose`, whose outputs are of the size of the last
        input of this one; that of a `ConvNet2DTranspose` is a `ConvNet2D`. It may be made before
        this module is connected, and connected after. What is not given is as here, in reversed
        order where there is one for each layer.

        Args:
            name: Name of the new module. Default: the name of this one with "_transpose" added.
            output_channels: As for the constructor. Default: the input channels of the layers.
            kernel_shapes: As for the constructor.
            strides: As for the constructor.
            paddings: As for the constructor.
            activation: As for the constructor.
            activate_final: As for the constructor.
            normalization_ctor: As for the constructor.
            normalization_kwargs: As for the constructor. Default: as here, or none if
                `normalization_ctor` is another one than here.
            normalize_final: As for the constructor.
            initializers: As for the constructor.
            partitioners: As for the constructor.
            regularizers: As for the constructor.
            use_batch_norm: False for no normalisation, unless `normalization_ctor` is given; True,
                which is deprecated, for `snt.BatchNorm`.
            use_bias: As for the constructor.
            batch_norm_config: Deprecated: the arguments that go with `use_batch_norm=True`.
            data_format: As for the constructor.
            custom_getter: As for `snt.AbstractModule`. It is not taken over from this module.

        Raises:
            ValueError: If there is not one number of output channels for each layer, or
                `normalization_ctor` goes together with `use_batch_norm`; if a padding is not SAME
                or VALID; and as for the constructor.
            NotImplementedError: If a layer is dilated.
        """
        backwards = self.layers[::-1]
        if any(rate != 1 for layer in backwards for rate in getattr(layer, "rate", ())):
            raise NotImplementedError(
                f"{self.scope_name}: Transpose dilated convolutions are not supported, got the "
                f"rates {self.rates}."
            )
        if output_channels is None:
            channels = [lambda layer=layer: layer.input_channels for layer in backwards]
        else:
            channels = list(iterated("output_channels", output_channels, self.scope_name))
            if len(channels) != len(backwards):
                raise ValueError(
                    f"{self.scope_name}: Iterable output_channels length must match the number of "
                    f"layers ({len(backwards)}), got {channels}."
                )
        if custom_getter is None and self._custom_getter is not None:
            tf1.logging.warning(
                "%s: the custom getter is not passed on to the transpose; give it to transpose().",
                self.scope_name,
            )
        ctor, kwargs = self._normalization_of_transpose(
            normalization_ctor, normalization_kwargs, use_batch_norm, batch_norm_config
        )
        return self._make_transpose(
            output_channels=channels,
            kernel_shapes=_first(kernel_shapes, self._kernel_shapes[::-1]),
            strides=_first(strides, self._strides[::-1]),
            paddings=[layer.padding for layer in backwards] if paddings is None else paddings,
            activation=_first(activation, self._activation),
            activate_final=_first(activate_final, self._activate_final),
            normalization_ctor=ctor,
            normalization_kwargs=kwargs,
            normalize_final=_first(normalize_final, self._normalize_final),
            initializers=_first(initializers, self._initializers),
            partitioners=_first(partitioners, self._partitioners),
            regularizers=_first(regularizers, self._regularizers),
            use_bias=_first(use_bias, self._use_bias[::-1]),
            data_format=_first(data_format, self._data_format),
            custom_getter=custom_getter,
            name=name or f"{self.module_name}_transpose",
        )

    def _make_transpose(self, **arguments: Any) -> Any:
        # Each layer says itself in which order its axes are.
        shapes = [
            lambda layer=layer: DataFormat(layer.data_format).spatial(layer.input_shape)
            for layer in reversed(self._layers)
        ]
        return ConvNet2DTranspose(output_shapes=shapes, **arguments)

    def _normalization_of_transpose(
        self, ctor: Any, kwargs: Any, use_batch_norm: bool | None, batch_norm_config: Any
    ) -> tuple[Any, Any]:
        """Returns constructor and arguments of the normalisers of the transpose."""
        if use_batch_norm and (ctor is not None or kwargs is not None):
            raise ValueError(
                f"{self.scope_name}: If use_batch_norm is specified, normalization_ctor and "
                f"normalization_kwargs must not be, got {ctor!r} and {kwargs!r}."
            )
        own = self._normalization
        if ctor is None and use_batch_norm is None:
            return own.ctor, own.kwargs if kwargs is None else kwargs
        given = chosen_normalization(
            self.scope_name, ctor, kwargs, use_batch_norm, batch_norm_config
        )
        if ctor is not None and kwargs is None and given.ctor is own.ctor:
            return own.ctor, own.kwargs
        return given.ctor, given.kwargs


class ConvNet2DTranspose(ConvNet2D):
    """Transposed convolutions of images, with normalisers and an activation function between them.

    The layers are `snt.Conv2DTranspose` modules named `conv_2d_transpose_0`,
    `conv_2d_transpose_1` and so on. After each one comes its normaliser, if there are any, and then
    the activation function. The normalisers are named `batch_norm_0`, `batch_norm_1` and so on,
    whatever they are.

    Args:
        output_channels: Number of output channels of each layer; or functions without arguments
            that return one, called when it is first needed.
        output_shapes: Spatial size of the output of each layer, as for `snt.Conv2DTranspose`; or
            functions without arguments that return one; or an iterable of one, for all layers.
            This holds for the next three as well.
        kernel_shapes: Size of the kernel of each layer.
        strides: Stride of each layer.
        paddings: `snt.SAME` or `VALID` for each layer; or one alone, for all layers.
        activation: Activation function. Default: `tf.nn.relu`.
        activate_final: Whether the last layer is activated too. Default: False.
        normalization_ctor: Constructor of the normalisers, called with their name and
            `normalization_kwargs`; or its name, for instance "LayerNorm". Optional.
        normalization_kwargs: Arguments for it. Optional.
        normalize_final: Whether the last layer is normalised too. Default: as `activate_final`,
            which is deprecated.
        initializers: Initializers "w" and "b" for all layers. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        use_batch_norm: Deprecated: True stands for `normalization_ctor=snt.BatchNorm`.
        use_bias: Whether the layers have a bias; or for each layer, whether it has. Default: True.
        batch_norm_config: Deprecated: the arguments that go with `use_batch_norm`.
        data_format: "NHWC" or "NCHW". Default: "NHWC".
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "conv_net_2d_transpose".

    Raises:
        TypeError: As for `snt.nets.ConvNet2D`.
        ValueError: As for `snt.nets.ConvNet2D`; and if a padding is not SAME or VALID.
        KeyError: If a dictionary has an unknown key, for instance "b" without biases.
        IncompatibleShapeError: If sizes are not positive integers, or not so many.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> net = snt.nets.ConvNet2DTranspose(
        ...     output_channels=[16, 3],
        ...     output_shapes=[[14, 14], [28, 28]],
        ...     kernel_shapes=[3],
        ...     strides=[2],
        ...     paddings=[snt.SAME],
        ... )
        >>> net(tf.ones([8, 7, 7, 32])).shape
        TensorShape([8, 28, 28, 3])
    """

    def __init__(
        self,
        output_channels: Iterable[int | Callable[[], int]],
        output_shapes: Iterable[Sizes | Callable[[], Iterable[int | None]]],
        kernel_shapes: Iterable[Sizes],
        strides: Iterable[Sizes],
        paddings: Iterable[Any],
        activation: Callable[[Any], Any] = tf.nn.relu,
        activate_final: bool = False,
        normalization_ctor: Callable[..., Any] | str | None = None,
        normalization_kwargs: Mapping[str, Any] | None = None,
        normalize_final: bool | None = None,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        use_batch_norm: bool | None = None,
        use_bias: bool | Iterable[bool] = True,
        batch_norm_config: Mapping[str, Any] | None = None,
        data_format: str = DATA_FORMAT_NHWC,
        custom_getter: Any = None,
        name: str = "conv_net_2d_transpose",
    ) -> None:
        output_channels = iterated("output_channels", output_channels, name)
        output_shapes = iterated("output_shapes", output_shapes, name)
        self._output_shapes = expanded("output_shapes", output_shapes, len(output_channels), name)
        super().__init__(
            output_channels,
            kernel_shapes,
            strides,
            paddings,
            activation=activation,
            activate_final=activate_final,
            normalization_ctor=normalization_ctor,
            normalization_kwargs=normalization_kwargs,
            normalize_final=normalize_final,
            initializers=initializers,
            partitioners=partitioners,
            regularizers=regularizers,
            use_batch_norm=use_batch_norm,
            use_bias=use_bias,
            batch_norm_config=batch_norm_config,
            data_format=data_format,
            custom_getter=custom_getter,
            name=name,
        )

    def _make_layer(self, index: int, **options: Any) -> Any:
        return Conv2DTranspose(
            output_shape=self._output_shapes[index], name=f"conv_2d_transpose_{index}", **options
        )

    @property
    def output_shapes(self) -> tuple[Any, ...]:
        """Spatial size of the output of each layer.

        Raises:
            NotConnectedError: If it comes from a module that is not connected yet.
        """
        return tuple(layer.output_shape for layer in self._layers)

    def _make_transpose(self, **arguments: Any) -> Any:
        return ConvNet2D(**arguments)


def _first(given: Any, default: Any) -> Any:
    """Returns what was given, or a default for None."""
    return default if given is None else given
