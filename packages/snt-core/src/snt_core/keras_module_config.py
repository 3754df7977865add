"""How a module was constructed, as a dictionary for Keras to write into a `.keras` file, and back.

What is read from a file can only construct public modules of Sonnet and what the program has
registered with Keras, with plain values; nothing is imported by name and no code is read.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.errors import NotSupportedError
from snt_core.module import AbstractModule

_PLAIN = (type(None), bool, int, float, str)


def module_config(module: AbstractModule) -> dict[str, Any]:
    """Returns how a module was constructed, in the form of `keras.saving.serialize_keras_object`.

    Args:
        module: The module.

    Raises:
        NotSupportedError: If it cannot be constructed anew from plain values.
    """
    construction = module._snt_construction
    constructed, args, kwargs = construction.constructed, construction.args, construction.kwargs
    try:
        inspect.signature(constructed).bind(*args, **kwargs)
    except TypeError:  # a class with a `__new__` of its own, which handed on other arguments
        raise NotSupportedError(_cannot_save(module, "its arguments are not known")) from None
    try:
        config = {
            "class": public_name(constructed) or keras.saving.get_registered_name(constructed),
            "args": [encode(value) for value in args],
            "kwargs": {name: encode(value) for name, value in kwargs.items()},
        }
    except CannotSaveError as error:
        raise NotSupportedError(_cannot_save(module, str(error))) from None
    return {
        "module": SavedModule.__module__,
        "class_name": SavedModule.__name__,
        "config": config,
        "registered_name": keras.saving.get_registered_name(SavedModule),
        # Layers that share a module share it again when the model is loaded.
        "shared_object_id": id(module),
    }


def module_from_config(config: Mapping[str, Any]) -> AbstractModule:
    """Constructs a module as `module_config` describes.

    Raises:
        ValueError: If the class or a function is neither of Sonnet nor registered with Keras.
    """
    saved = keras.saving.deserialize_keras_object(config)
    if not isinstance(saved, SavedModule):
        raise ValueError(f"Expected the configuration of a module, got that of {saved!r}.")
    return saved.module


@keras.saving.register_keras_serializable(package="sonnet")
class SavedModule:
    """What Keras constructs for a module, and shares between the layers that have it.

    Args:
        module: The module.
    """

    def __init__(self, module: AbstractModule) -> None:
        self.module = module

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` takes."""
        config: dict[str, Any] = module_config(self.module)["config"]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SavedModule:
        """Constructs the module anew."""
        constructed = _find_class(config["class"])
        args = [decode(value) for value in config["args"]]
        kwargs = {name: decode(value) for name, value in config["kwargs"].items()}
        return cls(constructed(*args, **kwargs))


def registered_function(name: str) -> Callable[..., Any]:
    """Returns the function that is registered with Keras by a name.

    Raises:
        ValueError: If there is none.
    """
    function = keras.saving.get_registered_object(name)
    if not isinstance(function, types.FunctionType):
        raise ValueError(_not_registered("function", name))
    return function


def name_of_registered(thing: Any) -> str | None:
    """Returns the name that a class or function is registered by with Keras, if it is."""
    name: str = keras.saving.get_registered_name(thing)
    return name if keras.saving.get_registered_object(name) is thing else None


def public_name(constructed: type) -> str | None:
    """Returns the name of a public module of Sonnet, such as "snt.Linear", or None."""
    import sonnet as snt  # which imports this file when it is asked to

    name = constructed.__name__
    for prefix, namespace in (("snt", snt), ("snt.nets", getattr(snt, "nets", None))):
        if getattr(namespace, name, None) is constructed:
            return f"{prefix}.{name}"
    return None


def _find_class(name: str) -> type[AbstractModule]:
    import sonnet as snt

    if name.startswith("snt."):
        found: Any = snt
        for part in name.split(".")[1:]:
            found = None if part.startswith("_") else getattr(found, part, None)
    else:
        found = keras.saving.get_registered_object(name)
        if found is None:
            raise ValueError(_not_registered("module class", name))
    is_module = isinstance(found, type) and issubclass(found, AbstractModule)
    if not is_module or (name.startswith("snt.") and public_name(found) != name):
        raise ValueError(f"Cannot load {name!r}: it is no module of Sonnet.")
    return found


class CannotSaveError(Exception):
    """Says what cannot be written."""


def encode(value: Any) -> Any:
    """Returns a value as what JSON can hold; `decode` gives an equal one.

    Args:
        value: A number, string or None; a list, tuple or dictionary of such; a type or shape of
            TensorFlow; a module; a function of `tf.nn` or `tf.math`; an initializer of
            `tf.compat.v1`; an object of Keras; a function that is registered with Keras.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in _PLAIN:
        return value
    if type(value) is list:
        return [encode(item) for item in value]
    if type(value) is tuple:
        return {"tuple": [encode(item) for item in value]}
    if type(value) is dict:
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, tf.DType):
        return {"dtype": value.name}
    if isinstance(value, tf.TensorShape):
        return {"shape": None if value.rank is None else value.as_list()}
    if isinstance(value, keras.KerasTensor):
        return {"tensor": [list(value.shape), value.dtype, bool(value.sparse)]}
    if isinstance(value, AbstractModule):
        return {"module": module_config(value)}
    for tag, name_of in (("tensorflow", _tensorflow_name), ("registered", _function_name)):
        name = name_of(value)
        if name is not None:
            return {tag: name}
    if hasattr(value, "get_config"):
        for name in dir(tf1.initializers):
            if getattr(tf1.initializers, name) is type(value):
                return {"initializer": [name, encode(value.get_config())]}
    of_keras = value if isinstance(value, types.FunctionType) else type(value)
    if of_keras.__module__.startswith("keras.") or name_of_registered(of_keras):
        return {"keras": keras.saving.serialize_keras_object(value)}
    raise CannotSaveError(f"{value!r} of type {type(value).__name__} cannot be written")


def decode(value: Any) -> Any:
    """Returns the value of which `encode` gave `value`.

    Raises:
        ValueError: If it is none of the forms that `encode` gives.
    """
    if type(value) in _PLAIN:
        return value
    if type(value) is list:
        return [decode(item) for item in value]
    if isinstance(value, dict) and len(value) == 1:
        (tag, content), *_ = value.items()
        if tag in _DECODERS:
            return _DECODERS[tag](content)
    raise ValueError(f"Cannot load an argument of a module from {value!r}.")


def _tensorflow_name(value: Any) -> str | None:
    """Returns the name of a public function that computes one tensor from others, or None."""
    if not isinstance(value, types.FunctionType):
        return None
    names = (f"nn.{value.__name__}", f"math.{value.__name__}", "identity")
    return next((name for name in names if _tensorflow_function(name) is value), None)


def _tensorflow_function(name: str) -> Any:
    namespace, _, function = name.rpartition(".")
    if (namespace, function) == ("", "identity"):
        return tf.identity
    if namespace in ("nn", "math") and not function.startswith("_"):
        found = getattr(getattr(tf, namespace), function, None)
        return found if isinstance(found, types.FunctionType) else None
    return None


def _function_name(value: Any) -> str | None:
    return name_of_registered(value) if isinstance(value, types.FunctionType) else None


def _decode_tensorflow(name: str) -> Any:
    function = _tensorflow_function(name)
    if function is None:
        raise ValueError(f"Cannot load the function {name!r}: it is not one of tf.nn or tf.math.")
    return function


def _decode_initializer(content: Any) -> Any:
    name, config = content
    initializer: Any = getattr(tf1.initializers, name, None)
    if not hasattr(initializer, "from_config"):
        raise ValueError(f"Cannot load {name!r}: it is no initializer of tf.compat.v1.")
    return initializer.from_config(decode(config))


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "tuple": lambda items: tuple(decode(item) for item in items),
    "dict": lambda items: {decode(key): decode(item) for key, item in items},
    "dtype": tf.as_dtype,
    "shape": tf.TensorShape,
    "tensor": lambda content: keras.KerasTensor(*content[:2], sparse=content[2]),
    "module": module_from_config,
    "tensorflow": _decode_tensorflow,
    "registered": registered_function,
    "initializer": _decode_initializer,
    "keras": keras.saving.deserialize_keras_object,
}


def _cannot_save(module: AbstractModule, reason: str) -> str:
    return (
        f"Cannot save how {module!r} was constructed: {reason}. Give snt.KerasLayer a function "
        "that constructs the module, decorated with keras.saving.register_keras_serializable(), "
        "in place of the module."
    )


def _not_registered(kind: str, name: str) -> str:
    return (
        f"Cannot load the {kind} {name!r}: Keras does not know it. Give it to load_model, "
        f"custom_objects={{{name!r}: ...}}, or register it with "
        "keras.saving.register_keras_serializable() before."
    )
