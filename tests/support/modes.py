"""The fixture `mode`: one test, run in each way in which TensorFlow can run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1


class Mode:
    """Runs functions of tensors on arrays, and gives arrays back.

    Attributes:
        name: "graph", "eager" or "function".
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._session: Any = None
        self._initialized: set[int] = set()

    @property
    def in_graph(self) -> bool:
        return self.name == "graph"

    def run(self, function: Callable[..., Any], *arrays: Any, unknown_batch: bool = False) -> Any:
        """Calls `function` with tensors, and returns the values of what it returns.

        In graph mode the tensors are placeholders, and `function` is called once for the graph; in
        the mode "function" it is wrapped in `tf.function` first.

        Args:
            function: Takes one tensor for each of `arrays`; returns a structure of tensors.
            *arrays: Arrays.
            unknown_batch: Whether the first dimension is unknown where the graph is built.
        """
        return self.prepared(function, *arrays, unknown_batch=unknown_batch)(*arrays)

    def prepared(
        self, function: Callable[..., Any], *arrays: Any, unknown_batch: bool = False
    ) -> Callable[..., Any]:
        """Returns a function of arrays like `arrays` that does what `run` does.

        Where there is a graph, it is built once, however often the function is called.
        """
        examples = [np.asarray(array) for array in arrays]
        if self.name == "eager":
            return lambda *arrays: self.values(function(*map(_constant, arrays)))
        shapes = [([None, *a.shape[1:]] if unknown_batch else a.shape) for a in examples]
        if self.name == "function":
            signature = [tf.TensorSpec(s, a.dtype) for s, a in zip(shapes, examples, strict=True)]
            wrapped = tf.function(function, input_signature=signature, autograph=False)
            return lambda *arrays: self.values(wrapped(*map(_constant, arrays)))
        inputs = [tf1.placeholder(a.dtype, s) for s, a in zip(shapes, examples, strict=True)]
        outputs = function(*inputs)
        flat = [tf.convert_to_tensor(leaf) for leaf in tf.nest.flatten(outputs)]
        outputs = tf.nest.pack_sequence_as(outputs, flat)
        return lambda *arrays: self.values(outputs, list(zip(inputs, arrays, strict=True)))

    def values(self, structure: Any, feed: list[tuple[Any, Any]] | None = None) -> Any:
        """Returns the values of tensors and variables, in the same structure."""
        if not self.in_graph:
            return tf.nest.map_structure(lambda x: np.asarray(tf.convert_to_tensor(x)), structure)
        flat = [tf.convert_to_tensor(leaf) for leaf in tf.nest.flatten(structure)]
        self._initialize_variables()
        feed_dict = {placeholder.name: value for placeholder, value in feed or []}
        return tf.nest.pack_sequence_as(structure, self._session.run(flat, feed_dict))

    def assign(self, variable: Any, value: Any) -> None:
        """Gives a variable a value."""
        if self.in_graph:
            self._initialize_variables()
            variable.load(value, self._session)
        else:
            variable.assign(value)

    def _initialize_variables(self) -> None:
        variables = tf1.global_variables() + tf1.local_variables()
        new = [variable for variable in variables if id(variable) not in self._initialized]
        self._session.run([variable.initializer for variable in new])
        self._initialized.update(map(id, new))

    def gradients(self, loss: Callable[[], Any], sources: Callable[[], Any]) -> Any:
        """Returns the values of the gradients of a scalar with respect to variables.

        Args:
            loss: Computes the scalar; called first.
            sources: Returns the variables.
        """

        def compute() -> Any:
            if self.in_graph:
                return tf1.gradients(loss(), list(sources()))
            with tf.GradientTape() as tape:
                value = loss()
            return tape.gradient(value, list(sources()))

        return self.run(compute)


def _constant(array: Any) -> Any:
    return tf.constant(np.asarray(array))


@pytest.fixture(params=["graph", "eager", "function"])
def mode(request: pytest.FixtureRequest) -> Iterator[Mode]:
    """Graph mode, eager mode, and `tf.function` as the first to call a module."""
    mode = Mode(request.param)
    if not mode.in_graph:
        tf1.reset_default_graph()  # which counts the names of scopes, in eager mode too
        yield mode
        return
    with tf.Graph().as_default(), tf1.Session() as session:
        mode._session = session
        yield mode
