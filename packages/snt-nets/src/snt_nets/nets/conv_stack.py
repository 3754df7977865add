"""`ConvStack`: what `ConvNet2D` and `ConvNet2DTranspose` have in common."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.checks import check_initializers, check_partitioners, check_regularizers
from snt_core.deprecation import deprecation_warning
from snt_core.introspection import remove_unsupported_kwargs
from snt_core.module import AbstractModule
from snt_core.transposable import Transposable
from snt_nets.conv.formats import DATA_FORMAT_NHWC, SUPPORTED_2D_DATA_FORMATS
from snt_nets.conv.sizes import Sizes
from snt_nets.nets.normalization import chosen_normalization
from snt_nets.norm.batch_norm import BatchNorm


class ConvStack(AbstractModule, Transposable):
    """Base class of networks of 2-D convolutions, one after the other; see `snt.nets.ConvNet2D`."""

    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {"w", "b"}

    def __init__(
        self,
        output_channels: Iterable[int | Callable[[], int]],
        kernel_shapes: Iterable[Sizes],
        strides: Iterable[Sizes],
        paddings: Iterable[Any],
        rates: Iterable[Sizes] = (1,),
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
        name: str = "conv_net_2d",
    ) -> None:
        output_channels = iterated("output_channels", output_channels, name)
        kernel_shapes = iterated("kernel_shapes", kernel_shapes, name)
        strides = iterated("strides", strides, name)
        # A name alone would pass for an iterable of letters.
        paddings = iterated("paddings", [paddings] if isinstance(paddings, str) else paddings, name)
        rates = iterated("rates", rates, name)
        if isinstance(use_batch_norm, Iterable):
            raise TypeError(f"{name}: use_batch_norm must be a boolean, got {use_batch_norm!r}.")
        super().__init__(custom_getter=custom_getter, name=name)
        if not output_channels:
            raise ValueError(f"{self.scope_name}: output_channels must not be empty.")
        if not isinstance(data_format, str) or data_format not in SUPPORTED_2D_DATA_FORMATS:
            raise ValueError(
                f"{self.scope_name}: Invalid data_format {data_format!r}, must be one of "
                f"{sorted(SUPPORTED_2D_DATA_FORMATS)}."
            )
        self._data_format = data_format
        self.possible_keys = self.get_possible_initializer_keys()
        self._initializers = check_initializers(initializers, self.possible_keys)
        self._partitioners = check_partitioners(partitioners, self.possible_keys)
        self._regularizers = check_regularizers(regularizers, self.possible_keys)
        if not callable(activation):
            raise TypeError(
                f"{self.scope_name}: Input 'activation' must be callable, got {activation!r}."
            )
        self._activation = activation
        self._activate_final = activate_final
        count = len(output_channels)
        self._kernel_shapes = expanded("kernel_shapes", kernel_shapes, count, self.scope_name)
        self._strides = expanded("strides", strides, count, self.scope_name)
        self._paddings = expanded("paddings", paddings, count, self.scope_name)
        self._rates = expanded("rates", rates, count, self.scope_name)
        self._normalization = chosen_normalization(
            self.scope_name,
            normalization_ctor,
            normalization_kwargs,
            use_batch_norm,
            batch_norm_config,
        )
        if normalize_final is None:
            normalize_final = activate_final
            if self._normalization.ctor is not None:
                deprecation_warning(
                    "normalize_final is not given, and so that of activate_final is used. This is "
                    "deprecated: say whether the last layer is to be normalised."
                )
        self._normalize_final = normalize_final
        self._use_bias = self._checked_use_bias(use_bias, count)
        self._normalizers: tuple[AbstractModule, ...] = ()
        # Without the check of the graph, so that the module can be connected in another one.
        with self._enter_variable_scope(check_same_graph=False):
            self._layers = tuple(
                self._make_layer(i, **self._layer_options(i), output_channels=channels)
                for i, channels in enumerate(output_channels)
            )

    def _checked_use_bias(self, use_bias: Any, count: int) -> tuple[bool, ...]:
        if isinstance(use_bias, (bool, np.bool_)):
            use_bias = [bool(use_bias)]
        elif not isinstance(use_bias, Iterable):
            raise TypeError(
                f"{self.scope_name}: use_bias must be either a bool or an iterable of them, got "
                f"{use_bias!r}."
            )
        return expanded("use_bias", tuple(use_bias), count, self.scope_name)

    def _layer_options(self, index: int) -> dict[str, Any]:
        """Returns the arguments of the constructor of a layer, but for its output channels."""
        use_bias = self._use_bias[index]

        def of_layer(options: Any) -> Any:
            # Those for biases go to the layers that have one, unless none has.
            if use_bias or not any(self._use_bias):
                return options
            return {key: options[key] for key in options if key != "b"}

        return {
            "kernel_shape": self._kernel_shapes[index],
            "stride": self._strides[index],
            "padding": self._paddings[index],
            "use_bias": use_bias,
            "initializers": of_layer(self._initializers),
            "partitioners": of_layer(self._partitioners),
            "regularizers": of_layer(self._regularizers),
            "data_format": self._data_format,
        }

    @abc.abstractmethod
    def _make_layer(self, index: int, **options: Any) -> Any:
        """Returns a new convolution with these options."""

    def _build(self, inputs: Any, **normalization_build_kwargs: Any) -> Any:
        """Applies the layers.

        Args:
            inputs: Tensor `[batch, height, width, channels]`, or with the data format NCHW
                `[batch, channels, height, width]`, of a floating-point type.
            **normalization_build_kwargs: Arguments for the calls of the normalisers, for instance
                `is_training`, which `snt.BatchNorm` and `snt.BatchNormV2` need. Each normaliser is
                given those that it knows.

        Returns:
            Tensor in the same data format, of the dtype of `inputs`.

        Raises:
            ValueError: If `is_training` is needed and missing, or the number of input channels
                is not that of earlier connections.
            TypeError: If `inputs` is not of a floating-point type, or the constructor of the
                normalisers does not take the arguments that it was to be given.
            IncompatibleShapeError: If the rank of `inputs` is not 4.
            UnderspecifiedError: If the number of input channels is unknown.
        """
        self._normalization.check_build_kwargs(normalization_build_kwargs)
        normalizes = self._normalization.ctor is not None
        if normalization_build_kwargs and not normalizes and not self.is_connected:
            tf1.logging.warning(
                "%s: there is no normalisation, and so the arguments %s are not used.",
                self.scope_name,
                sorted(normalization_build_kwargs),
            )
        outputs = inputs
        for index, layer in enumerate(self._layers):
            is_final = index == len(self._layers) - 1
            outputs = layer(outputs)
            if normalizes and (not is_final or self._normalize_final):
                normalizer = self._normalizer(index)
                known = remove_unsupported_kwargs(normalizer, normalization_build_kwargs)
                outputs = normalizer(outputs, **known)
            if not is_final or self._activate_final:
                outputs = self._activation(outputs)
        return outputs

    def _normalizer(self, index: int) -> Any:
        if index < len(self._normalizers):
            return self._normalizers[index]
        normalizer = self._normalization.make(index)
        if isinstance(normalizer, AbstractModule):  # which can be connected again and again
            self._normalizers = (*self._normalizers, normalizer)
        return normalizer

    # Properties.

    @property
    def layers(self) -> tuple[Any, ...]:
        """The convolutions."""
        return tuple(self._layers)

    @property
    def output_channels(self) -> tuple[int, ...]:
        """Number of output channels of each layer."""
        return tuple(layer.output_channels for layer in self._layers)

    @property
    def kernel_shapes(self) -> tuple[Any, ...]:
        """Size of the kernel of each layer, as it was given."""
        return self._kernel_shapes

    @property
    def strides(self) -> tuple[Any, ...]:
        """Stride of each layer, as it was given."""
        return self._strides

    @property
    def paddings(self) -> tuple[Any, ...]:
        """Padding of each layer, as it was given."""
        return self._paddings

    @property
    def rates(self) -> tuple[Any, ...]:
        """Dilation of each layer, as it was given."""
        return self._rates

    @property
    def use_bias(self) -> tuple[bool, ...]:
        """Whether there is a bias, for each layer."""
        return self._use_bias

    @property
    def activation(self) -> Callable[[Any], Any]:
        """The activation function."""
        return self._activation

    @property
    def activate_final(self) -> bool:
        """Whether the last layer is activated."""
        return self._activate_final

    @property
    def normalization_ctor(self) -> Callable[..., Any] | None:
        """The constructor of the normalisers, or None if there are none."""
        return self._normalization.ctor

    @property
    def normalization_kwargs(self) -> Mapping[str, Any]:
        """The arguments of the constructor of the normalisers."""
        return self._normalization.kwargs

    @property
    def normalize_final(self) -> bool:
        """Whether the last layer is normalised."""
        return self._normalize_final

    @property
    def use_batch_norm(self) -> bool:
        """Whether the normalisers are `snt.BatchNorm`; deprecated for `normalization_ctor`."""
        deprecation_warning("use_batch_norm is deprecated: use normalization_ctor.")
        return self._normalization.ctor is BatchNorm

    @property
    def batch_norm_config(self) -> Mapping[str, Any]:
        """Another name for `normalization_kwargs`; deprecated."""
        deprecation_warning("batch_norm_config is deprecated: use normalization_kwargs.")
        return self._normalization.kwargs

    @property
    def initializers(self) -> dict[str, Any]:
        """The given initializers."""
        return self._initializers

    @property
    def partitioners(self) -> Mapping[str, Any]:
        """The given partitioners."""
        return self._partitioners

    @property
    def regularizers(self) -> dict[str, Any]:
        """The given regularizers."""
        return self._regularizers

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """Static shape of the last input.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._layers[0].input_shape


def iterated(argument: str, given: Any, module: str) -> tuple[Any, ...]:
    """Returns an iterable argument as a tuple.

    Args:
        argument: Its name.
        given: What was given for it.
        module: Name of the module that asks.

    Raises:
        TypeError: If it is not iterable.
    """
    if not isinstance(given, Iterable):
        raise TypeError(f"{module}: {argument} must be iterable, got {given!r}.")
    return tuple(given)


def expanded(argument: str, given: tuple[Any, ...], count: int, module: str) -> tuple[Any, ...]:
    """Returns one entry a layer.

    Args:
        argument: Name of the argument.
        given: One entry for all layers, or one for each.
        count: Number of layers.
        module: Name of the module that asks.

    Raises:
        ValueError: If they are not so many.
    """
    if len(given) not in (1, count):
        raise ValueError(
            f"{module}: {argument} must be of length 1 or {count}, the number of layers, got "
            f"{given!r}."
        )
    return given * count if len(given) == 1 else given
