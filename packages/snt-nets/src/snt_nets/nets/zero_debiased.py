"""Moving averages without a bias towards zero, in variables that replicas share."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow.compat.v1 as tf1


class ZeroDebiasedAverage(NamedTuple):
    """An exponential moving average that starts at its first value, and not at zero.

    Attributes:
        average: Variable that holds it.
        biased: Variable that holds the average that starts at zero.
        local_step: Variable that holds the number of values.
    """

    average: Any
    biased: Any
    local_step: Any

    def update(self, value: Any, decay: Any) -> tuple[Any, list[Any]]:
        """Takes in a value.

        Args:
            value: Tensor of the shape of the average.
            decay: Weight of the past.

        Returns:
            The new average, and the assignments that were made.
        """
        biased = decay * self.biased.read_value() + (1 - decay) * value
        step = self.local_step.read_value() + 1
        average = biased / (1 - decay**step)
        assignments = [
            self.biased.assign(biased),
            self.local_step.assign(step),
            self.average.assign(average),
        ]
        return average, assignments


def zero_debiased(average: Any, name: str) -> ZeroDebiasedAverage:
    """Makes a moving average of the variable that is to hold it, and of two more.

    Args:
        average: The variable.
        name: Name, in the current variable scope, of the scope of the two.
    """
    zeros = tf1.zeros_initializer()
    shape = average.shape.as_list()
    biased = replicated_variable(f"{name}/biased", shape, zeros, trainable=False)
    local_step = replicated_variable(f"{name}/local_step", [], zeros, trainable=False)
    return ZeroDebiasedAverage(average, biased, local_step)


def replicated_variable(
    name: str, shape: list[int], initializer: Any, trainable: bool = True
) -> Any:
    """Makes a variable to which the replicas of a distributed program assign equal values.

    Args:
        name: Its name in the current variable scope.
        shape: Its shape.
        initializer: Its initializer.
        trainable: Whether it is trainable.
    """
    return tf1.get_variable(
        name,
        shape,
        initializer=initializer,
        trainable=trainable,
        use_resource=True,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
