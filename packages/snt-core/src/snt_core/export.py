"""`export`: a module as a SavedModel, and `export_graph`: what a session computes as one."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core.atomic_folder import atomic_folder
from snt_core.errors import NotSupportedError
from snt_core.module import AbstractModule

DEFAULT_SIGNATURE = "serving_default"

_NOT_IN_NAMES = re.compile(r"\W", re.ASCII)


class _Exported(tf.Module):
    """What is saved; its attributes are those of the object that is loaded."""

    # Attributes in place of the properties of tf.Module, which a loaded object would not have.
    variables: Any = None
    trainable_variables: Any = None


def export(
    module: AbstractModule,
    folder: str | os.PathLike[str],
    *input_specs: Any,
    signature_name: str = DEFAULT_SIGNATURE,
    signatures: Mapping[str, functools.partial[Any]] | None = None,
    **call_kwargs: Any,
) -> str:
    """Writes a module as a SavedModel: its computation, its variables and its signatures.

    `loaded = tf.saved_model.load(folder)` needs neither Sonnet nor the program. It is called as the
    module is, and has `variables`, `trainable_variables`, `signatures`, the exported methods, and
    `module` with what the module holds.

    The folder is written beside its place and put there when it is whole: a process that is killed
    while it exports leaves the last good one.

    Args:
        module: A module outside graphs, connected or not.
        folder: Path of the folder; one that is there is replaced.
        *input_specs: The arguments of a call: `tf.TensorSpec`s, or nested structures of them, for
            tensors, with None for sizes that are unknown, as that of the batch; whatever else is
            fixed.
        signature_name: Name of the signature for the call.
        signatures: Further calls, by name of the signature: each a `functools.partial` of the
            module or of a method of its with such arguments. A method is exported under its own
            name too.
        **call_kwargs: Arguments of the call by name, as `is_training=False`.

    Returns:
        The path of the folder.

    Raises:
        NotADirectoryError: If there is something else at `folder`.
        NotSupportedError: If the module lives in a graph, or this is called inside one: see
            `export_graph`.
        TypeError: If `module` is not a module, an argument is a tensor or array, or the arguments
            are not those of the module.
        ValueError: If a signature is not a partial of the module or of a method of its, or its
            name is taken.

    Example:
        >>> import functools, os, tempfile
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> folder = os.path.join(tempfile.mkdtemp(), "linear")
        >>> linear = snt.Linear(3, name="exported")
        >>> path = snt.export(linear, folder, tf.TensorSpec([None, 2]))
        >>> loaded = tf.saved_model.load(folder)
        >>> loaded(tf.ones([4, 2])).shape
        TensorShape([4, 3])
        >>> [variable.shape.as_list() for variable in loaded.trainable_variables]
        [[3], [2, 3]]
        >>> list(loaded.signatures["serving_default"](inputs=tf.ones([4, 2])))
        ['output_0']
    """
    if not isinstance(module, AbstractModule):
        raise TypeError(f"export takes a module, got {module!r} of type {type(module).__name__}.")
    if not tf.executing_eagerly() or (module.graph is not None and not module._snt_state.is_eager):
        raise NotSupportedError(
            f"The module {module.scope_name!r} is in a graph, or this is called inside of one: "
            "snt.export_graph(session, folder, inputs, outputs) exports graphs."
        )
    calls = {signature_name: functools.partial(module, *input_specs, **call_kwargs)}
    for name, call in (signatures or {}).items():
        if name in calls:
            raise ValueError(f"There are two signatures called {name!r}: give one another name.")
        calls[name] = call
    exported = _Exported()
    functions: dict[str, Any] = {}
    served = {}
    for name, call in calls.items():
        attribute = _attribute_of(call, module, name)
        _check_no_tensors(call, name)
        if attribute not in functions:
            # The attribute rather than the module: it has the signature of `_build`.
            functions[attribute] = tf.function(getattr(module, attribute))
        functions[attribute].get_concrete_function(*call.args, **call.keywords)
        served[name] = _signature_function(functions[attribute], call)
    for attribute, function in functions.items():
        setattr(exported, attribute, function)
    exported.variables = list(module.variables)
    exported.trainable_variables = list(module.trainable_variables)
    exported.module = module
    with atomic_folder(folder) as written:
        tf.saved_model.save(exported, written, signatures=served)
    return os.fspath(folder)


def export_graph(
    session: Any,
    folder: str | os.PathLike[str],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    signature_name: str = DEFAULT_SIGNATURE,
) -> str:
    """Writes the graph of a session as a SavedModel, with the values that its variables have.

    The graph stays as it is, and may be finalised. All its variables must be initialised. Devices
    are left out of the copy. Local variables, such as moving averages, are saved too.

    Args:
        session: A `tf.compat.v1.Session`.
        folder: Path of the folder; one that is there is replaced, as by `export`.
        inputs: Dictionary from names to placeholders.
        outputs: Dictionary from names to tensors.
        signature_name: Name of the signature.

    Returns:
        The path of the folder.

    Raises:
        NotADirectoryError: If there is something else at `folder`.
        tf.errors.FailedPreconditionError: If a variable is not initialised.
        ValueError: If a tensor is of another graph, or there are no outputs.

    Example:
        >>> import os, tempfile
        >>> import sonnet as snt
        >>> import tensorflow as tf
        >>> import tensorflow.compat.v1 as tf1
        >>> folder = os.path.join(tempfile.mkdtemp(), "linear")
        >>> with tf.Graph().as_default(), tf1.Session() as session:
        ...     x = tf1.placeholder(tf.float32, [None, 2])
        ...     y = snt.Linear(3)(x)
        ...     session.run(tf1.global_variables_initializer())
        ...     path = snt.export_graph(session, folder, {"x": x}, {"y": y})
        >>> serve = tf.saved_model.load(folder).signatures["serving_default"]
        >>> serve(x=tf.ones([4, 2]))["y"].shape
        TensorShape([4, 3])
    """
    graph = session.graph
    tensors = [*inputs.values(), *outputs.values()]
    foreign = [tensor for tensor in tensors if tensor.graph is not graph]
    if foreign or not outputs:
        raise ValueError(
            f"Expected outputs, and only tensors of the graph of the session; got outputs "
            f"{dict(outputs)!r}, and of other graphs {foreign!r}."
        )
    with graph.as_default():
        variables = {v.name: v for v in tf1.global_variables() + tf1.local_variables()}
        values = session.run(variables)
        meta_graph = tf1.train.export_meta_graph(graph=graph)
    cpu_only = tf1.ConfigProto(device_count={"GPU": 0})
    with tf.Graph().as_default(), tf1.Session(config=cpu_only) as copied:
        tf1.train.import_meta_graph(meta_graph, clear_devices=True)
        copies = [v for v in tf1.global_variables() + tf1.local_variables() if v.name in values]
        for variable in copies:
            initializer = variable.initializer
            copied.run(initializer, {initializer.inputs[1]: values[variable.name]})
        signature = tf1.saved_model.build_signature_def(
            _tensor_infos(inputs), _tensor_infos(outputs), tf.saved_model.PREDICT_METHOD_NAME
        )
        with atomic_folder(folder) as written:
            builder = tf1.saved_model.Builder(written)
            builder.add_meta_graph_and_variables(
                copied,
                [tf.saved_model.SERVING],
                {signature_name: signature},
                main_op=tf1.tables_initializer(),
                strip_default_attrs=True,
                saver=tf1.train.Saver(copies) if copies else None,
            )
            builder.save()
    return os.fspath(folder)


def _tensor_infos(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Returns descriptions of tensors, which a copy of their graph has under the same names."""
    return {
        name: tf1.TensorInfo(
            name=tensor.name,
            dtype=tensor.dtype.as_datatype_enum,
            tensor_shape=tensor.shape.as_proto(),
        )
        for name, tensor in tensors.items()
    }


def _attribute_of(call: Any, module: AbstractModule, name: str) -> str:
    """Returns the attribute of the loaded object that does what `call` does."""
    if isinstance(call, functools.partial):
        if call.func is module:
            return "__call__"
        if getattr(call.func, "__self__", None) is module:
            attribute = str(call.func.__name__)
            if not hasattr(_Exported, attribute) and attribute not in ("module", "signatures"):
                return attribute
            raise ValueError(
                f"A method called {attribute!r} cannot be exported: name it otherwise."
            )
    raise ValueError(
        f"The signature {name!r} must be a functools.partial of the module or of a method of its, "
        f"with tf.TensorSpecs for tensors; got {call!r}."
    )


def _check_no_tensors(call: functools.partial[Any], name: str) -> None:
    for leaf in tf.nest.flatten((call.args, call.keywords)):
        if tf.is_tensor(leaf) or hasattr(leaf, "__array__"):
            raise TypeError(
                f"The signature {name!r} got the value {leaf!r}: give a tf.TensorSpec with the "
                "shape and dtype of what is to be fed."
            )


class _Leaf:
    """One place in the arguments of a call; each is an object of its own."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.name = ""


def _signature_function(function: Any, call: functools.partial[Any]) -> Any:
    """Returns a function of named tensors that gives a dictionary of named tensors."""
    arguments = tf.nest.map_structure(_Leaf, (call.args, call.keywords))
    bound = inspect.signature(call.func).bind(*arguments[0], **arguments[1])
    specs: dict[str, tf.TensorSpec] = {}
    for path, leaf in _named_leaves(bound.arguments):
        if isinstance(leaf.value, tf.TensorSpec):
            name = leaf.value.name
            leaf.name = _NOT_IN_NAMES.sub("_", path if name is None or name in specs else name)
            specs[leaf.name] = tf.TensorSpec(leaf.value.shape, leaf.value.dtype, leaf.name)

    def serve(**tensors: Any) -> dict[str, Any]:
        args, kwargs = tf.nest.map_structure(
            lambda leaf: tensors[leaf.name] if leaf.name else leaf.value, arguments
        )
        outputs = function(*args, **kwargs)
        if not isinstance(outputs, (tuple, list, Mapping)):
            outputs = [outputs]
        has_names = isinstance(outputs, Mapping) or hasattr(outputs, "_asdict")
        leaves = _named_leaves(outputs, "" if has_names else "output")
        return {name: tf.convert_to_tensor(leaf) for name, leaf in leaves if leaf is not None}

    return tf.function(serve, autograph=False).get_concrete_function(**specs)


def _named_leaves(structure: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    """Yields the leaves of a structure with names made of the keys that lead to them."""
    if hasattr(structure, "_asdict"):
        structure = structure._asdict()
    elif isinstance(structure, (tuple, list)):
        structure = dict(enumerate(structure))
    if not isinstance(structure, Mapping):
        yield name, structure
        return
    for key, value in structure.items():
        yield from _named_leaves(value, f"{name}_{key}" if name else str(key))
