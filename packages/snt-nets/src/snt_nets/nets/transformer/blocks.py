"""What the layers of a transformer consist of, besides attention."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.module import AbstractModule
from snt_nets.batch_apply import BatchApply
from snt_nets.flags import conditional, known_flag
from snt_nets.nets.mlp import MLP
from snt_nets.norm.layer_norm import LayerNorm


def default_mlp(
    hidden_sizes: Iterable[int], activate_final: bool = False, init_std: float = 2.0, **kwargs: Any
) -> BatchApply:
    """Returns a multi-layer perceptron with dropout that works on each step by itself.

    Args:
        hidden_sizes: Number of features of each layer.
        activate_final: Whether the last layer is activated too. Default: False.
        init_std: Scale of the variance of the weights, which is `init_std` / features. Default: 2.
        **kwargs: Other arguments of `snt.nets.MLP`.
    """
    initializer = tf1.variance_scaling_initializer(
        scale=init_std, mode="fan_in", distribution="truncated_normal"
    )
    mlp = MLP(
        hidden_sizes,
        activate_final=activate_final,
        use_dropout=True,
        initializers={"w": initializer},
        **kwargs,
    )
    return BatchApply(mlp)


class ResidualDropoutWrapper(AbstractModule):
    """Adds the outputs of a layer to its inputs, with layer normalisation and dropout.

    It computes `x + dropout(layer(layer_norm(x)))`, the normalisation being that of each step.

    Args:
        layer: Module or function; it returns a tensor of the shape of its input, or that and
            something else.
        dropout_rate: Probability that an element of the outputs of `layer` is dropped in training.
        layer_norm: Where there is layer normalisation: "input" of the layer, "output" of all,
            "both"; anything else for nowhere. Default: "input".
        name: Name of the module. Default: "residual_dropout_wrapper".

    Example:
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> block = snt.nets.transformer.ResidualDropoutWrapper(
        ...     lambda x, is_training: 2 * x, dropout_rate=0.1, layer_norm="none"
        ... )
        >>> block(tf.ones([1, 2]), is_training=False).numpy().tolist()
        [[3.0, 3.0]]
    """

    def __init__(
        self,
        layer: Callable[..., Any],
        dropout_rate: Any,
        layer_norm: str | None = "input",
        name: str = "residual_dropout_wrapper",
    ) -> None:
        super().__init__(name=name)
        self._layer = layer
        self._dropout_rate = dropout_rate
        self._input_norm: LayerNorm | None = None
        self._output_norm: LayerNorm | None = None
        with self._enter_variable_scope(check_same_graph=False):
            if layer_norm in ("input", "both"):
                self._input_norm = LayerNorm(axis=-1)
            if layer_norm in ("output", "both"):
                self._output_norm = LayerNorm(axis=-1)

    def _build(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Applies the layer.

        Args:
            inputs: Tensor `[batch, ..., features]`.
            *args: Handed on to the layer.
            **kwargs: Likewise; `is_training` must be among them.

        Returns:
            Tensor of the shape of `inputs`; and what else the layer returned, if anything.

        Raises:
            KeyError: If `is_training` is not given by name.
        """
        if "is_training" not in kwargs:
            raise KeyError(f"{self.scope_name}: is_training must be given, as a keyword argument.")
        is_training = known_flag(kwargs["is_training"], f"{self.scope_name}: is_training")
        normed = inputs if self._input_norm is None else self._input_norm(inputs)
        results = self._layer(normed, *args, **kwargs)
        outputs, *others = results if isinstance(results, tuple) else (results,)
        outputs = inputs + conditional(
            is_training,
            lambda: tf.nn.dropout(outputs, rate=self._dropout_rate),
            lambda: outputs,
        )
        if self._output_norm is not None:
            outputs = self._output_norm(outputs)
        return (outputs, *others) if others else outputs
