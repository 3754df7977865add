"""`ConcatLinear`: a linear map of several inputs, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from snt_core.module import AbstractModule
from snt_nets.linear import Linear


class ConcatLinear(AbstractModule):
    """Linear map of several inputs: `y = x_1 w_1 + ... + x_n w_n + b`.

    The same as `snt.Linear` of the concatenated inputs, but that each matrix is initialised by the
    size of its own input, so that a small input beside a large one keeps its say.

    There is one `snt.Linear` for each input, named `linear`, `linear_1` and so on; only the first
    one has a bias.

    Args:
        output_size: Number of output features; or a function without arguments that returns it,
            called at the connection.
        use_bias: Whether there is a bias. Default: True.
        initializers: Initializers by variable name, "w" (of each matrix) and "b". Optional.
        partitioners: Partitioners, likewise.
        regularizers: Regularizers, likewise.
        custom_getter: As for `snt.AbstractModule`.
        name: Name of the module. Default: "concat_linear".

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> concat_linear = snt.ConcatLinear(output_size=3)
        >>> concat_linear([tf.ones([8, 500]), tf.ones([8, 2])]).shape
        TensorShape([8, 3])
        >>> [variable.name for variable in concat_linear.get_variables()]
        ['concat_linear/linear/w:0', 'concat_linear/linear/b:0', 'concat_linear/linear_1/w:0']
    """

    def __init__(
        self,
        output_size: int | Callable[[], int],
        use_bias: bool = True,
        initializers: Mapping[str, Any] | None = None,
        partitioners: Mapping[str, Any] | None = None,
        regularizers: Mapping[str, Any] | None = None,
        custom_getter: Any = None,
        name: str = "concat_linear",
    ) -> None:
        super().__init__(custom_getter=custom_getter, name=name)
        self._output_size = output_size
        self._use_bias = use_bias
        self._initializers = initializers
        self._partitioners = partitioners
        self._regularizers = regularizers
        self._number_of_inputs = 0

    def _build(self, inputs_list: Iterable[Any]) -> Any:
        """Maps the inputs, and adds up the results.

        Args:
            inputs_list: Tensors `[batch, input_size]`, each of a size of its own.

        Returns:
            Tensor `[batch, output_size]`.

        Raises:
            ValueError: If there is no input, or another number of them than in the connections
                before, or one is of another size.
            IncompatibleShapeError: As for `snt.Linear`.
            TypeError: If a dictionary is not one, or a value in it cannot be called.
            KeyError: If a dictionary has an unknown key, for instance "b" without a bias.
        """
        inputs_list = list(inputs_list)
        if not inputs_list:
            raise ValueError(f"{self.scope_name}: needs at least one input, got an empty list.")
        if self.is_connected and len(inputs_list) != self._number_of_inputs:
            raise ValueError(
                f"{self.scope_name}: got {len(inputs_list)} inputs, but there were "
                f"{self._number_of_inputs} in the connections before."
            )
        outputs = [self._linear(first=not i)(inputs) for i, inputs in enumerate(inputs_list)]
        self._number_of_inputs = len(inputs_list)
        return tf.add_n(outputs)

    def _linear(self, first: bool) -> Linear:
        return Linear(
            output_size=self._output_size,
            use_bias=self._use_bias and first,
            initializers=self._initializers if first else _without_bias(self._initializers),
            partitioners=self._partitioners if first else _without_bias(self._partitioners),
            regularizers=self._regularizers if first else _without_bias(self._regularizers),
        )


def _without_bias(given: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: given[key] for key in given or () if key != "b"}  # type: ignore[index]
