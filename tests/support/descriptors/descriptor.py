"""`Descriptor`: what the conformance suites need to know of a module."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Array = np.ndarray[Any, Any]


def _plain_call(module: Any, *inputs: Any) -> Any:
    return module(*inputs)


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """A module for the conformance suites.

    What a module cannot do is said by a field, and the checks that need it leave the module out.

    Attributes:
        name: Name of the test case.
        make: Constructs the module.
        shape: Shape of its input, the batch first; None where it takes no input.
        variables: Shapes of its variables by name, as seen from the scope of the module; for a
            container of modules made elsewhere, as seen from the root.
        own_scope: Whether its variables are in its own scope.
        dtypes: Types of input that it takes.
        state: Of a recurrent core the shapes of its state without the batch, in a structure like
            that of the state; a `tf.TensorSpec` for a part that is zero and has no batch.
        call: Calls the module with its input and its state, by default with nothing else.
        stateful: Whether a call changes its variables.
        random: Whether two calls give different outputs, even from the same variables.
        smooth: Whether finite differences give its gradients: not where there are kinks, and not
            where the module gives another gradient on purpose.
        rounding: How far its float32 outputs may be apart, relative to the largest, where sums
            are taken in another order.
        per_example: Whether the outputs of an example are the same beside any others.
        unknown_batch: Whether it takes a batch of unknown size.
        bound_when_made: Whether its constructor binds it to a graph.
        takes_any_argument: Whether it hands any argument on to what it wraps.
    """

    name: str
    make: Callable[[], Any]
    shape: tuple[int, ...] | None
    variables: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    own_scope: bool = True
    dtypes: tuple[str, ...] = ("float16", "bfloat16", "float32", "float64")
    state: Any = None
    call: Callable[..., Any] = _plain_call
    stateful: bool = False
    random: bool = False
    smooth: bool = True
    rounding: float = 1e-5
    per_example: bool = True
    unknown_batch: bool = True
    bound_when_made: bool = False
    takes_any_argument: bool = False

    def inputs(
        self, dtype: str = "float32", seed: int = 0, batch_size: int | None = None
    ) -> tuple[Array, ...]:
        """Returns random inputs: the input, and the parts of the state that have a batch.

        Args:
            dtype: Their type.
            seed: Seed of the random numbers.
            batch_size: Size of the batch. Default: that of `shape`.
        """
        if self.shape is None:
            return ()
        batch = [self.shape[0] if batch_size is None else batch_size]
        shapes = [list(self.shape[1:])]
        shapes += [p.as_list() for p in self._parts() if not isinstance(p, tf.TensorSpec)]
        random = np.random.default_rng(seed)
        numpy_dtype = tf.as_dtype(dtype).as_numpy_dtype
        return tuple(random.normal(size=batch + shape).astype(numpy_dtype) for shape in shapes)

    def connect(self, module: Any, *inputs: Any) -> Any:
        """Calls a module with tensors like `inputs`."""
        if self.state is None:
            return self.call(module, *inputs)
        first, *given = inputs
        return self.call(module, first, self.state_of(given))

    def state_of(self, given: list[Any]) -> Any:
        """Returns a state.

        Args:
            given: Those parts of it that have a batch, in their order.
        """
        parts = iter(given)
        return tf.nest.pack_sequence_as(
            self.state,
            [
                tf.zeros(part.shape, part.dtype) if isinstance(part, tf.TensorSpec) else next(parts)
                for part in self._parts()
            ],
        )

    def _parts(self) -> list[Any]:
        return [] if self.state is None else tf.nest.flatten(self.state)
