"""`Dilation`: a network that sees more and more context, at full resolution."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from snt_core.checks import check_initializers, check_regularizers
from snt_core.errors import IncompatibleShapeError
from snt_core.module import AbstractModule
from snt_nets.conv.conv import Conv2D
from snt_nets.nets.identity_kernels import (
    _range_along_dimension as _range_along_dimension,  # which programs import from here
)
from snt_nets.nets.identity_kernels import (
    identity_kernel_initializer,
    noisy_identity_kernel_initializer,
)
from snt_nets.sequential import Sequential


class _LayerSpec(NamedTuple):
    """One of the convolutions.

    Attributes:
        rate: Its dilation.
        multiplier: In the large model, its output channels for each class.
    """

    rate: int
    multiplier: int


_LAYERS = (
    _LayerSpec(rate=1, multiplier=2),
    _LayerSpec(rate=1, multiplier=2),
    _LayerSpec(rate=2, multiplier=4),
    _LayerSpec(rate=4, multiplier=8),
    _LayerSpec(rate=8, multiplier=16),
    _LayerSpec(rate=16, multiplier=32),
    _LayerSpec(rate=1, multiplier=32),
    _LayerSpec(rate=1, multiplier=1),
)


class Dilation(AbstractModule):
    """Context module: eight 3x3 convolutions, most of them dilated, for dense prediction.

    After Yu and Koltun, "Multi-scale context aggregation by dilated convolutions", ICLR 2016. It
    starts as the identity on images that are not negative, and in training learns to use the
    context of each pixel. All layers but the last are rectified.

    Variables, in the dtype of the input: `dilated_conv_conv1/w` and `dilated_conv_conv1/b` up to
    `dilated_conv_conv8/b`. The weights are `[3, 3, input_channels, output_channels]`; the biases
    are by default zeros.

    Args:
        num_output_classes: Number of output channels; also of the input channels by default, while
            the weights start as the identity; with `model_size="large"` the number of input
            channels may be a multiple of it.
        initializers: Initializers "w" and "b" for all layers. Default of "w":
            `identity_kernel_initializer`, and `noisy_identity_kernel_initializer` for the large
            model.
        regularizers: Regularizers, likewise. Optional.
        model_size: `Dilation.BASIC`, with as many channels in each layer as there are classes; or
            `Dilation.LARGE`, with up to 32 times as many. Default: "basic".
        name: Name of the module. Default: "dilation".

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> context = snt.nets.Dilation(num_output_classes=5)
        >>> context(tf.ones([2, 32, 32, 5])).shape
        TensorShape([2, 32, 32, 5])
    """

    BASIC = "basic"
    LARGE = "large"
    WEIGHTS = "w"
    BIASES = "b"
    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {WEIGHTS, BIASES}

    def __init__(
        self,
        num_output_classes: int,
        initializers: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        model_size: str = BASIC,
        name: str = "dilation",
    ) -> None:
        super().__init__(name=name)
        self._num_output_classes = num_output_classes
        self._model_size = model_size
        self.possible_keys = self.POSSIBLE_INITIALIZER_KEYS
        self._initializers = check_initializers(initializers, self.possible_keys)
        self._regularizers = check_regularizers(regularizers, self.possible_keys)
        self._conv_modules: list[Sequential] = []

    def _build(self, images: Any) -> Any:
        """Applies the layers.

        Args:
            images: Tensor `[batch, height, width, channels]` of a floating-point type.

        Returns:
            Tensor `[batch, height, width, num_output_classes]`.

        Raises:
            IncompatibleShapeError: If the rank is not 4.
            ValueError: If there is no such model size, or the number of channels does not suit
                the default initializer.
            TypeError: If `images` is not of a floating-point type.
        """
        outputs = tf.convert_to_tensor(images)
        if outputs.shape.rank != 4:
            raise IncompatibleShapeError(
                f"{self.scope_name}: images must have shape [batch, height, width, channels], got "
                f"the shape {outputs.shape}."
            )
        if not self._conv_modules:
            self._conv_modules = self._make_layers()
        for layer in self._conv_modules:
            outputs = layer(outputs)
        return outputs

    def _make_layers(self) -> list[Sequential]:
        classes = self._num_output_classes
        if self._model_size == self.BASIC:
            default, multipliers = identity_kernel_initializer, [1] * len(_LAYERS)
        elif self._model_size == self.LARGE:
            default = noisy_identity_kernel_initializer(classes)
            multipliers = [layer.multiplier for layer in _LAYERS]
        else:
            raise ValueError(
                f"{self.scope_name}: Unrecognized model_size {self._model_size!r}, must be "
                f"{self.BASIC!r} or {self.LARGE!r}."
            )
        initializers = {self.WEIGHTS: default, **self._initializers}
        layers = []
        for number, (spec, multiplier) in enumerate(zip(_LAYERS, multipliers, strict=True), 1):
            name = f"conv{number}"
            steps: list[Callable[[Any], Any]] = [
                Conv2D(
                    output_channels=multiplier * classes,
                    kernel_shape=3,
                    rate=spec.rate,
                    initializers=initializers,
                    regularizers=self._regularizers,
                    name=f"dilated_conv_{name}",
                )
            ]
            if number < len(_LAYERS):
                steps.append(functools.partial(tf.nn.relu, name=f"relu_{name}"))
            layers.append(Sequential(steps, name=name))
        return layers

    @property
    def conv_modules(self) -> list[Sequential]:
        """The eight layers, each a `snt.Sequential` of a convolution and its activation function.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return list(self._conv_modules)
