"""`KerasLayer`: a module as a layer of a Keras 3 model."""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from snt_core.errors import DifferentGraphError, NotSupportedError
from snt_core.function_module import Module
from snt_core.graphs import outermost_graph
from snt_core.keras_module_config import (
    CannotSaveError,
    decode,
    encode,
    module_config,
    module_from_config,
    name_of_registered,
    registered_function,
)
from snt_core.keras_weights import as_weights, is_trained
from snt_core.module import AbstractModule

_TRAINING_ARGUMENTS = ("is_training", "training")


class _CallOfModule:
    """The method `call`, with the signature of the module's `_build`, which Keras reads.

    From it Keras knows which arguments are inputs, and whether there are `training` and `mask`.
    """

    def __get__(self, layer: Any, owner: type) -> Any:
        if layer is None:
            return self

        def call(*args: Any, **kwargs: Any) -> Any:
            return layer._connect(args, kwargs)

        call.__signature__ = layer._call_arguments  # type: ignore[attr-defined]
        return call


@keras.saving.register_keras_serializable(package="sonnet")
class KerasLayer(keras.layers.Layer):
    """A module as a layer of a Keras 3 model, which trains and saves it as its own.

    The layer takes the arguments of the module's `_build`, in any structure, and returns what it
    returns. The module makes its variables as ever, with Sonnet's names, shapes, initializers and
    custom getters, and the layer lists them as its weights: the variables of the module and the
    weights of the layer are the same memory. Layers of one module share its variables, and it may
    be called outside Keras at any time, connected before it is given to a layer or not.

    - `training` is handed to the argument `is_training` or `training` of the module, if it has one,
      as a bool. A layer with `trainable = False` always hands on False: nothing in it changes,
      moving averages included.
    - Weights that the module assigns itself, such as moving averages, are not trainable, even where
      the module's variable says so (that of `snt.nets.VectorQuantizerEMA` does).
    - Penalties of regularizers are in `losses`, for the weights that are trained.
    - A mask goes to the argument `mask` of the module, if it has one, and to the next layer.
    - Floating-point inputs are cast to the layer's `dtype`, by default float32, and most modules
      make their variables in the dtype of their inputs.

    To be saved as a whole (`model.save`), the module must be constructed from plain values: numbers
    and strings, lists, tuples and dictionaries of them, dtypes, shapes, other such modules,
    functions of `tf.nn` and `tf.math`, initializers of `tf.compat.v1`, objects of Keras, and
    functions that are registered with Keras. Its class must be one of Sonnet's, registered with
    Keras, or given to `keras.models.load_model` among its `custom_objects`. For any other module,
    give the layer a function that constructs it and that is registered with Keras.

    Args:
        module: The module; or a function without arguments that constructs and returns one.
        training_argument: Name of the argument of `_build` that takes `training`. Default:
            "is_training" or "training", whichever there is.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`, `dtype` and others.

    Attributes:
        module: The module.

    Raises:
        TypeError: If `module` is no module, and does not construct one.
        ValueError: If `_build` has no argument of the name `training_argument`, or no input.
        DifferentGraphError: If the module was connected in a graph.
        NotSupportedError: If Keras does not run on TensorFlow.

    Example:
        >>> import keras
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> model = keras.Sequential([
        ...     snt.KerasLayer(snt.nets.MLP([8, 1])),
        ...     keras.layers.Activation("sigmoid"),
        ... ])
        >>> model.compile(optimizer="adam", loss="binary_crossentropy")
        >>> history = model.fit(tf.ones([4, 3]), tf.ones([4, 1]), verbose=0)
        >>> [tuple(weight.shape) for weight in model.trainable_weights]
        [(3, 8), (8,), (8, 1), (1,)]
    """

    def __init__(
        self,
        module: AbstractModule | Callable[[], AbstractModule],
        training_argument: str | None = None,
        **kwargs: Any,
    ) -> None:
        if keras.config.backend() != "tensorflow":
            raise NotSupportedError(
                f"Keras runs on {keras.config.backend()!r}, and modules run on TensorFlow. Set the "
                "environment variable KERAS_BACKEND to tensorflow before Keras is imported."
            )
        builder = module if isinstance(module, types.FunctionType) else None
        module = _checked_module(module)
        build_arguments = _arguments_of_build(module)
        if training_argument is None:
            names = (name for name in _TRAINING_ARGUMENTS if name in build_arguments.parameters)
            found = next(names, None)
        else:
            found = _checked_training_argument(training_argument, build_arguments, module)
        # What Keras asks of the layer while its own constructor runs.
        self.__dict__["_call_arguments"] = _arguments_of_call(build_arguments, found, module)
        super().__init__(**kwargs)
        self.module = module
        self.supports_masking = True
        self._builder = builder
        self._given_training_argument = training_argument
        self._training_argument = found
        self._build_arguments = build_arguments
        self._first_inputs: Any = None
        self._weights_of_module: list[Any] = []

    call = _CallOfModule()

    # Connection.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Connects the module, as a layer of Keras."""
        if not self.built:  # `build` is told nothing but the shape of the first input
            given = (args, {**self._masks(args, kwargs), **kwargs})
            self._first_inputs = _Inputs(*keras.tree.map_structure(self._symbol, given))
        return super().__call__(*args, **kwargs)

    def _symbol(self, value: Any) -> Any:
        """Returns the symbol that stands for an input, as Keras will hand it to `call`."""
        if hasattr(value, "__array__") and not hasattr(value, "dtype"):
            value = np.asarray(value)
        if not (hasattr(value, "shape") and hasattr(value, "dtype")):
            return value
        dtype = tf.as_dtype(value.dtype)
        is_cast = self.autocast and dtype.is_floating
        sparse = isinstance(value, tf.SparseTensor) or getattr(value, "sparse", False)
        return keras.KerasTensor(
            value.shape, self.input_dtype if is_cast else dtype.name, sparse=bool(sparse)
        )

    def _masks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Returns the masks of inputs for the arguments that take them, as Keras will add them."""
        parameters = self._call_arguments.parameters
        masks = {}
        for name, value in self._call_arguments.bind_partial(*args, **kwargs).arguments.items():
            argument = "mask" if name == next(iter(parameters)) else f"{name}_mask"
            if argument in parameters:  # Keras' guide on masking names the attribute of a tensor
                masks[argument] = keras.tree.map_structure(
                    lambda tensor: getattr(tensor, "_keras_mask", None), value
                )
        return masks

    def build(self, input_shape: Any = None) -> None:
        """Has the module make its variables, and lists them as weights of the layer.

        Args:
            input_shape: Shape of the first input, or a structure of shapes. What the layer is first
                called with tells more, and counts more.

        Raises:
            NotSupportedError: In the graph of a session.
        """
        if outermost_graph() is not None:
            raise NotSupportedError(
                f"The layer {self.name!r} was called in a graph. Keras 3 is eager, or traces "
                "functions; in graphs, call the module itself."
            )
        if self._first_inputs is None:
            self._first_inputs = _Inputs((_symbols(input_shape, self.input_dtype),), {})
        args, kwargs = self._first_inputs.args, self._first_inputs.kwargs
        if self._training_argument is not None and kwargs.get("training") is None:
            kwargs = {**kwargs, "training": True}
        self.compute_output_spec(*args, **kwargs)
        owned = self.module._snt_state.owned.values()
        weights = as_weights(list(owned), self.module.scope_name, self.path)
        # Keras sorts weights by whether they can be trained when it first sees them. Whether they
        # are trained now is another matter: this layer, or one that shares them, may be frozen.
        trained = [weight.trainable for weight in weights]
        for weight in weights:
            weight.trainable = is_trained(weight.value)
        self._weights_of_module = weights
        for weight, before in zip(weights, trained, strict=True):
            weight.trainable = before and self.trainable

    def _connect(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls the module with the arguments of `call`."""
        given = self._call_arguments.bind(*args, **kwargs).arguments
        name = self._training_argument
        if name is not None:
            training = given.pop("training", None)
            training = False if training is None or not self.trainable else training
            if name in self._build_arguments.parameters:
                given[name] = training
            else:
                *_, rest = self._build_arguments.parameters
                given[rest] = {**given.get(rest, {}), name: training}
        owned = self.module._snt_state.owned
        if any(id(weight.value) not in owned for weight in self._weights_of_module):
            raise NotSupportedError(
                f"The layer {self.name!r} was called with other values in place of its weights, by "
                "stateless_call or the like. A module computes with its own variables."
            )
        bound = inspect.BoundArguments(self._build_arguments, given)
        return self.module(*bound.args, **bound.kwargs)

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """Returns how the layer and its module were constructed.

        Raises:
            NotSupportedError: If the module was not constructed from plain values, and no function
                that constructs it is registered with Keras.
        """
        name = self._builder and name_of_registered(self._builder)
        module = {"function": name} if name else module_config(self.module)
        config = {"module": module, "training_argument": self._given_training_argument}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> KerasLayer:
        """Constructs a layer, and a module for it, from what `get_config` returns.

        Raises:
            ValueError: If a class or function is neither Sonnet's nor registered with Keras.
        """
        arguments = dict(config)
        module = arguments.pop("module")
        name = module.get("function")
        return cls(registered_function(name) if name else module_from_config(module), **arguments)

    def get_build_config(self) -> dict[str, Any] | None:
        """Returns what the layer was first called with, as symbols, for `build_from_config`."""
        inputs = self._first_inputs
        if not self.built or inputs is None:
            return None
        try:
            return {"args": encode(inputs.args), "kwargs": encode(inputs.kwargs)}
        except CannotSaveError:  # the model that is loaded will call the layer
            return None

    def build_from_config(self, config: Mapping[str, Any]) -> None:
        """Has the module of a loaded layer make its variables."""
        self._first_inputs = _Inputs(decode(config["args"]), decode(config["kwargs"]))
        self.build()


class _Inputs:
    """What a layer is called with, as symbols. Keras would wrap a tuple or dictionary of ours."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs


def _checked_module(module: Any) -> AbstractModule:
    if not isinstance(module, AbstractModule) and callable(module):
        try:
            inspect.signature(module).bind()
        except TypeError as error:
            raise TypeError(
                "KerasLayer takes a module, or a function without arguments that constructs one; "
                f"got {module!r}, which wants arguments ({error}). Wrap a function that computes "
                "in snt.Module."
            ) from None
        module = module()
    if not isinstance(module, AbstractModule):
        raise TypeError(
            "KerasLayer takes a module, or a function without arguments that constructs one; got "
            f"{module!r} of type {type(module).__name__}."
        )
    state = module._snt_checked_state()
    if state.graph is not None and not state.is_eager:
        raise DifferentGraphError(
            f"The module {module.scope_name!r} was first used in the graph {state.graph}, and its "
            "variables live there. Keras 3 has no sessions: construct another module, outside "
            "graphs. Its variables can be restored from a checkpoint of the graph."
        )
    return module


def _arguments_of_build(module: AbstractModule) -> inspect.Signature:
    if isinstance(module, Module):
        with contextlib.suppress(ValueError):  # some functions written in C have none
            return inspect.signature(module._function)
    return inspect.signature(module._build)


def _checked_training_argument(
    name: str, arguments: inspect.Signature, module: AbstractModule
) -> str:
    *_, last = [None, *arguments.parameters.values()]
    takes_any = last is not None and last.kind is inspect.Parameter.VAR_KEYWORD
    if name not in arguments.parameters and not takes_any:
        raise ValueError(
            f"training_argument is {name!r}, but the arguments of {module!r} are "
            f"({', '.join(arguments.parameters)})."
        )
    return name


def _arguments_of_call(
    arguments: inspect.Signature, training_argument: str | None, module: AbstractModule
) -> inspect.Signature:
    """Returns the signature of `call`: that of `_build`, and for Keras `training` by its name."""
    parameters = [p for name, p in arguments.parameters.items() if name != training_argument]
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise ValueError(f"A layer of Keras takes at least one input, but {module!r} takes none.")
    if training_argument is not None:
        training = inspect.Parameter("training", inspect.Parameter.KEYWORD_ONLY, default=None)
        last = len(parameters) - (parameters[-1].kind is inspect.Parameter.VAR_KEYWORD)
        parameters.insert(last, training)
    return inspect.Signature(parameters)


def _symbols(shapes: Any, dtype: str) -> Any:
    """Returns a symbol for each shape of a structure of shapes."""
    return keras.tree.map_shape_structure(lambda s: keras.KerasTensor(s, dtype), shapes)
