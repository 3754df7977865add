"""`AlexNet`, `AlexNetFull` and `AlexNetMini`: convolutions, then linear layers, for images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import tensorflow as tf

from snt_core.checks import check_initializers, check_partitioners, check_regularizers
from snt_core.deprecation import deprecation_warning
from snt_core.errors import Error, IncompatibleShapeError, UnderspecifiedError
from snt_core.module import AbstractModule
from snt_nets.conv.conv import Conv2D
from snt_nets.conv.padding import VALID
from snt_nets.linear import Linear
from snt_nets.nets.alexnet_sizes import (
    CONVOLUTIONS,
    FULL,
    LINEAR_SIZES,
    MINI,
    ConvolutionSizes,
    minimum_size,
)
from snt_nets.nets.keep_prob import checked_keep_prob
from snt_nets.norm.batch_norm import BatchNorm


class AlexNet(AbstractModule):
    """Five convolutions, with max-pooling after some, and two linear layers, all rectified.

    After Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", NeurIPS 2012; without local response normalisation, and without a classifier at the
    end. All windows stay inside of the image, which must have a minimum size.

    Variables, in the dtype of the input: `conv_0/w`, `conv_0/b` and so on, of `snt.Conv2D`;
    `fc_0/w` and so on, of `snt.Linear`; and with batch normalisation those of the `snt.BatchNorm`
    modules `batch_norm`, `batch_norm_1` and so on.

    Args:
        mode: `AlexNet.FULL`, the size of the paper, for images of at least 195x195; or
            `AlexNet.MINI`, for images of at least 17x17.
        use_batch_norm: Whether there is batch normalisation before each rectifier. Default: False.
        batch_norm_config: Arguments for `snt.BatchNorm`. Optional.
        initializers: Initializers "w" and "b" for all layers. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers "w" and "b" for the convolutions; the linear layers have none.
        bn_on_fc_layers: Whether batch normalisation includes the linear layers. Default: True,
            which is deprecated: use `AlexNetFull` or `AlexNetMini`, which leave them out.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "alex_net".

    Raises:
        Error: If there is no such mode.
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> net = snt.nets.AlexNet(snt.nets.AlexNet.MINI, bn_on_fc_layers=False)
        >>> net(tf.ones([2, 32, 32, 3])).shape
        TensorShape([2, 1024])
    """

    FULL = FULL
    MINI = MINI
    POSSIBLE_INITIALIZER_KEYS: ClassVar[set[str]] = {"w", "b"}

    def __init__(
        self,
        mode: str,
        use_batch_norm: bool = False,
        batch_norm_config: Mapping[str, Any] | None = None,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        bn_on_fc_layers: bool = True,
        custom_getter: Any = None,
        name: str = "alex_net",
    ) -> None:
        super().__init__(custom_getter=custom_getter, name=name)
        if not isinstance(mode, str) or mode not in CONVOLUTIONS:
            raise Error(
                f"{self.scope_name}: AlexNet construction mode {mode!r} not recognised, must be "
                f"AlexNet.FULL ({self.FULL!r}) or AlexNet.MINI ({self.MINI!r})."
            )
        if bn_on_fc_layers:
            deprecation_warning(
                "AlexNet with bn_on_fc_layers=True is deprecated: use AlexNetFull or AlexNetMini, "
                "which normalise the convolutions only."
            )
        self._conv_layers = CONVOLUTIONS[mode]
        self._linear_sizes = LINEAR_SIZES[mode]
        self._min_size = self._calc_min_size(self._conv_layers)
        self._use_batch_norm = use_batch_norm
        self._batch_norm_config = batch_norm_config or {}
        self._bn_on_fc_layers = bn_on_fc_layers
        self.possible_keys = self.get_possible_initializer_keys()
        self._initializers = check_initializers(initializers, self.possible_keys)
        self._partitioners = check_partitioners(partitioners, self.possible_keys)
        self._regularizers = check_regularizers(regularizers, self.possible_keys)
        self._conv_modules: list[Conv2D] = []
        self._linear_modules: list[Linear] = []
        self._batch_norms: list[BatchNorm] = []

    def _calc_min_size(self, conv_layers: Iterable[ConvolutionSizes]) -> int:
        return minimum_size(conv_layers)

    def _build(
        self,
        inputs: Any,
        keep_prob: Any = None,
        is_training: Any = None,
        test_local_stats: Any = True,
    ) -> Any:
        """Applies the layers.

        Args:
            inputs: Images `[batch, height, width, channels]` of a floating-point type. All sizes
                but the batch must be known.
            keep_prob: Probability that a feature of the linear layers is kept in training: a
                number or a scalar tensor. Default: no dropout.
            is_training: Whether this is training: a boolean, or a boolean tensor. Needed for batch
                normalisation and for dropout.
            test_local_stats: Whether batch normalisation uses the statistics of the batch, and not
                the moving averages, also when `is_training` is False: likewise. Default: True.

        Returns:
            Tensor `[batch, features]`, with 4096 features in full size and 1024 in mini.

        Raises:
            ValueError: If `is_training` is needed and missing.
            IncompatibleShapeError: If the rank is not 4, or the images are too small.
            UnderspecifiedError: If height, width or channels are unknown.
            TypeError: If `inputs` is not of a floating-point type, or a flag no boolean.
            tf.errors.InvalidArgumentError: If `keep_prob` is not 1 and `is_training` is False;
                when the graph is run, if that is known no sooner.
        """
        inputs = tf.convert_to_tensor(inputs)
        if is_training is None and (self._use_batch_norm or keep_prob is not None):
            raise ValueError(
                f"{self.scope_name}: is_training flag must be explicitly specified for batch "
                "normalization and for dropout (keep_prob)."
            )
        self._check_size(inputs)
        if not self._linear_modules:
            self._make_layers()
        batch_norms = iter(self._batch_norms)

        def activated(outputs: Any, normalized: bool) -> Any:
            if normalized:
                outputs = next(batch_norms)(outputs, is_training, test_local_stats)
            return tf.nn.relu(outputs)

        outputs = inputs
        for conv, (_, _, pool) in zip(self._conv_modules, self._conv_layers, strict=True):
            outputs = activated(conv(outputs), self._use_batch_norm)
            if pool is not None:
                outputs = tf.nn.max_pool2d(outputs, ksize=pool[0], strides=pool[1], padding=VALID)
        outputs = tf.reshape(outputs, [-1, outputs.shape[1:].num_elements()])
        if keep_prob is not None:
            keep_prob = checked_keep_prob(keep_prob, is_training, outputs.dtype, self.scope_name)
        for linear in self._linear_modules:
            outputs = activated(linear(outputs), self._use_batch_norm and self._bn_on_fc_layers)
            if keep_prob is not None:
                outputs = tf.nn.dropout(outputs, rate=1 - keep_prob)
        return outputs

    def _check_size(self, inputs: Any) -> None:
        if inputs.shape.rank != 4:
            raise IncompatibleShapeError(
                f"{self.scope_name}: images must have shape [batch, height, width, channels], got "
                f"the shape {inputs.shape}."
            )
        sizes = inputs.shape.as_list()[1:3]
        if None in sizes:
            raise UnderspecifiedError(
                f"{self.scope_name}: height and width of the images must be known at module build "
                f"time, got the shape {inputs.shape}. Use set_shape on the input."
            )
        if min(sizes) < self._min_size:
            raise IncompatibleShapeError(
                f"{self.scope_name}: Image shape too small: {sizes[0]}x{sizes[1]}, must be at "
                f"least {self._min_size}x{self._min_size}."
            )

    def _make_layers(self) -> None:
        options = {"initializers": self._initializers, "partitioners": self._partitioners}
        self._conv_modules = [
            Conv2D(
                channels,
                kernel_shape=kernel,
                stride=stride,
                padding=VALID,
                regularizers=self._regularizers,
                name=f"conv_{i}",
                **options,
            )
            for i, (channels, (kernel, stride), _) in enumerate(self._conv_layers)
        ]
        if self._use_batch_norm:
            count = len(self._conv_layers)
            if self._bn_on_fc_layers:
                count += len(self._linear_sizes)
            self._batch_norms = [BatchNorm(**self._batch_norm_config) for _ in range(count)]
        self._linear_modules = [
            Linear(size, name=f"fc_{i}", **options) for i, size in enumerate(self._linear_sizes)
        ]

    # Properties.

    @property
    def min_input_size(self) -> int:
        """Smallest height and width of images."""
        return self._min_size

    @property
    def conv_modules(self) -> list[Conv2D]:
        """The convolutions.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return list(self._conv_modules)

    @property
    def linear_modules(self) -> list[Linear]:
        """The linear layers.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return list(self._linear_modules)

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
        """The given regularizers, of the convolutions."""
        return self._regularizers


class AlexNetFull(AlexNet):
    """`AlexNet` in the size of the paper, with batch normalisation of the convolutions only.

    Args:
        use_batch_norm: As for `AlexNet`. Default: False.
        batch_norm_config: Arguments for `snt.BatchNorm`. Optional.
        initializers: Initializers "w" and "b" for all layers. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers "w" and "b" for the convolutions; the linear layers have none.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "alex_net_full".

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> snt.nets.AlexNetFull().min_input_size
        195
    """

    def __init__(
        self,
        use_batch_norm: bool = False,
        batch_norm_config: Mapping[str, Any] | None = None,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        custom_getter: Any = None,
        name: str = "alex_net_full",
    ) -> None:
        super().__init__(
            mode=self.FULL,
            use_batch_norm=use_batch_norm,
            batch_norm_config=batch_norm_config,
            initializers=initializers,
            partitioners=partitioners,
            regularizers=regularizers,
            bn_on_fc_layers=False,
            custom_getter=custom_getter,
            name=name,
        )


class AlexNetMini(AlexNet):
    """`AlexNet` for small images, with batch normalisation of the convolutions only.

    Args:
        use_batch_norm: As for `AlexNet`. Default: False.
        batch_norm_config: Arguments for `snt.BatchNorm`. Optional.
        initializers: Initializers "w" and "b" for all layers. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers "w" and "b" for the convolutions; the linear layers have none.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "alex_net_mini".

    Raises:
        TypeError: If a dictionary is not one, or a value in it cannot be called.
        KeyError: If a dictionary has an unknown key.

    Example:
        >>> import sonnet as snt
        >>> snt.nets.AlexNetMini().min_input_size
        17
    """

    def __init__(
        self,
        use_batch_norm: bool = False,
        batch_norm_config: Mapping[str, Any] | None = None,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        custom_getter: Any = None,
        name: str = "alex_net_mini",
    ) -> None:
        super().__init__(
            mode=self.MINI,
            use_batch_norm=use_batch_norm,
            batch_norm_config=batch_norm_config,
            initializers=initializers,
            partitioners=partitioners,
            regularizers=regularizers,
            bn_on_fc_layers=False,
            custom_getter=custom_getter,
            name=name,
        )
