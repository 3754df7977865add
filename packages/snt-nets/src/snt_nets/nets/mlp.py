"""`MLP`: the multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from snt_core.checks import check_initializers, check_partitioners, check_regularizers
from snt_core.module import AbstractModule
from snt_core.transposable import Transposable
from snt_nets.flags import conditional, known_flag
from snt_nets.linear import Linear


class MLP(AbstractModule, Transposable):
    """Multi-layer perceptron: linear layers with an activation function between them.

    The layers are `snt.Linear` modules named `linear_0`, `linear_1` and so on.

    Args:
        output_sizes: Number of features of each layer; or functions without arguments that return
            one, called at the connection.
        activation: Activation function. Default: `tf.nn.relu`.
        activate_final: Whether the last layer is activated too. Default: False.
        initializers: Initializers "w" and "b" for all layers. Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        use_bias: Whether the layers have a bias. Default: True.
        use_dropout: Whether there is dropout before each activation. Default: False.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "mlp".

    Raises:
        TypeError: If `output_sizes` is not iterable, `activation` cannot be called, a dictionary is
            not one, or a value in it cannot be called.
        ValueError: If `output_sizes` is empty.
        KeyError: If a dictionary has an unknown key, for instance "b" without biases.

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> mlp = snt.nets.MLP([32, 10])
        >>> mlp(tf.ones([8, 784])).shape
        TensorShape([8, 10])
        >>> mlp.transpose()(tf.ones([8, 10])).shape
        TensorShape([8, 784])
    """

    def __init__(
        self,
        output_sizes: Iterable[int | Callable[[], int]],
        activation: Callable[[Any], Any] = tf.nn.relu,
        activate_final: bool = False,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        use_bias: bool = True,
        use_dropout: bool = False,
        custom_getter: Any = None,
        name: str = "mlp",
    ) -> None:
        super().__init__(custom_getter=custom_getter, name=name)
        if not isinstance(output_sizes, Iterable):
            raise TypeError(
                f"{self.scope_name}: output_sizes must be iterable, got {output_sizes!r}."
            )
        self._output_sizes = tuple(output_sizes)
        if not self._output_sizes:
            raise ValueError(f"{self.scope_name}: output_sizes must not be empty.")
        self.possible_keys = self.get_possible_initializer_keys(use_bias=use_bias)
        self._initializers = check_initializers(initializers, self.possible_keys)
        self._partitioners = check_partitioners(partitioners, self.possible_keys)
        self._regularizers = check_regularizers(regularizers, self.possible_keys)
        if not callable(activation):
            raise TypeError(
                f"{self.scope_name}: Input 'activation' must be callable, got {activation!r}."
            )
        self._activation = activation
        self._activate_final = activate_final
        self._use_bias = use_bias
        self._use_dropout = use_dropout
        # Without the check of the graph, so that the module can be connected in another one.
        with self._enter_variable_scope(check_same_graph=False):
            self._layers = [
                Linear(
                    output_size=size,
                    use_bias=use_bias,
                    initializers=self._initializers,
                    partitioners=self._partitioners,
                    regularizers=self._regularizers,
                    name=f"linear_{i}",
                )
                for i, size in enumerate(self._output_sizes)
            ]

    @classmethod
    def get_possible_initializer_keys(cls, use_bias: bool = True) -> set[str]:
        """Returns the keys that `initializers` may have.

        Args:
            use_bias: Whether the layers have biases.
        """
        return Linear.get_possible_initializer_keys(use_bias=use_bias)

    def _build(self, inputs: Any, is_training: Any = True, dropout_keep_prob: Any = 0.5) -> Any:
        """Applies the layers.

        Args:
            inputs: Tensor `[batch, features]`.
            is_training: Whether dropout is active: a Python boolean, or a boolean tensor. Not used
                without `use_dropout`.
            dropout_keep_prob: Probability that a feature is kept in training.

        Returns:
            Tensor `[batch, output_sizes[-1]]`.

        Raises:
            IncompatibleShapeError: As for `snt.Linear`.
        """
        outputs = inputs
        for layer in self._layers:
            outputs = layer(outputs)
            if layer is not self._layers[-1] or self._activate_final:
                if self._use_dropout:
                    outputs = _dropout(outputs, is_training, dropout_keep_prob, self.scope_name)
                outputs = self._activation(outputs)
        return outputs

    @property
    def layers(self) -> list[Linear]:
        """The linear layers."""
        return self._layers

    @property
    def output_sizes(self) -> tuple[int, ...]:
        """Number of features of each layer."""
        return tuple(layer.output_size for layer in self._layers)

    @property
    def output_size(self) -> int:
        """Number of features of the last layer."""
        return self._layers[-1].output_size

    @property
    def use_bias(self) -> bool:
        """Whether the layers have biases."""
        return self._use_bias

    @property
    def use_dropout(self) -> bool:
        """Whether there is dropout before each activation."""
        return self._use_dropout

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
    def activation(self) -> Callable[[Any], Any]:
        """The activation function."""
        return self._activation

    @property
    def activate_final(self) -> bool:
        """Whether the last layer is activated."""
        return self._activate_final

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """Static shape of the last input.

        Raises:
            NotConnectedError: If the module is not connected yet.
        """
        self._ensure_is_connected()
        return self._layers[0].input_shape

    def transpose(  # type: ignore[override]
        self, name: str | None = None, activate_final: bool | None = None
    ) -> MLP:
        """Returns a new module whose layers map back, from the last to the first.

        It may be made before this module is connected, and connected after.

        Args:
            name: Name of the new module. Default: the name of this one with "_transpose" added.
            activate_final: Whether its last layer is activated. Default: as here.
        """
        sizes = [lambda layer=layer: layer.input_shape[-1] for layer in reversed(self._layers)]
        if activate_final is None:
            activate_final = self._activate_final
        return self._with_output_sizes(
            sizes, activate_final, name or f"{self.module_name}_transpose"
        )

    def clone(self, name: str | None = None) -> MLP:
        """Returns a new module of the same specification, with variables of its own.

        Args:
            name: Name of the new module. Default: the name of this one with "_clone" added.

        Raises:
            NotConnectedError: If this is the transpose of a module that is not connected yet.
        """
        return self._with_output_sizes(
            self.output_sizes, self._activate_final, name or f"{self.module_name}_clone"
        )

    def _with_output_sizes(
        self, output_sizes: Iterable[Any], activate_final: bool, name: str
    ) -> MLP:
        return MLP(
            output_sizes=output_sizes,
            activation=self._activation,
            activate_final=activate_final,
            initializers=self._initializers,
            partitioners=self._partitioners,
            regularizers=self._regularizers,
            use_bias=self._use_bias,
            use_dropout=self._use_dropout,
            custom_getter=self._custom_getter,
            name=name,
        )


def _dropout(inputs: Any, is_training: Any, keep_prob: Any, module: str) -> Any:
    """Drops features at random while training."""
    return conditional(
        known_flag(is_training, f"{module}: is_training"),
        lambda: tf.nn.dropout(inputs, rate=1 - keep_prob),
        lambda: inputs,
    )
