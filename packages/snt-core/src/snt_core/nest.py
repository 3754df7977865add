"""Nested structures. Deprecated: new programs use `tf.nest`.

Each name logs one warning, the first time that it is used, with the name to use instead if there
is one.

What is nested, and in which order, is what `tf.nest` says: dictionaries go by their sorted keys;
strings and arrays are leaves, and a leaf by itself is a structure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from snt_core.deprecation import deprecation_warning


def assert_same_structure(
    nest1: Any, nest2: Any, check_types: bool = True, expand_composites: bool = False
) -> None:
    """Checks that two structures are nested in the same way.

    Args:
        nest1: A structure.
        nest2: A structure.
        check_types: Whether the types of lists, tuples and dictionaries must agree too.
        expand_composites: Whether to take composite tensors, such as sparse ones, apart too.

    Raises:
        TypeError: If the types differ.
        ValueError: If the structures differ.
    """
    _warn("assert_same_structure", "tf.nest.assert_same_structure")
    tf.nest.assert_same_structure(nest1, nest2, check_types, expand_composites)


def flatten(structure: Any, expand_composites: bool = False) -> list[Any]:
    """Returns the list of the leaves of `structure`.

    Args:
        structure: A structure.
        expand_composites: Whether to take composite tensors, such as sparse ones, apart too.
    """
    _warn("flatten", "tf.nest.flatten")
    return tf.nest.flatten(structure, expand_composites)


def flatten_iterable(structure: Any, expand_composites: bool = False) -> list[Any]:
    """Returns the list of the leaves of `structure`.

    Args:
        structure: A structure.
        expand_composites: Whether to take composite tensors, such as sparse ones, apart too.
    """
    _warn("flatten_iterable", "tf.nest.flatten")
    return tf.nest.flatten(structure, expand_composites)


def is_sequence(structure: Any) -> bool:
    """Tells whether `structure` is nested rather than a leaf.

    Args:
        structure: Any object.
    """
    _warn("is_sequence", "tf.nest.is_nested")
    return tf.nest.is_nested(structure)


def is_iterable(structure: Any) -> bool:
    """Tells whether `structure` is nested rather than a leaf.

    Args:
        structure: Any object.
    """
    _warn("is_iterable", "tf.nest.is_nested")
    return tf.nest.is_nested(structure)


def pack_sequence_as(structure: Any, flat_sequence: Any, expand_composites: bool = False) -> Any:
    """Returns the elements of `flat_sequence` nested as those of `structure` are.

    Args:
        structure: A structure.
        flat_sequence: As many elements as `structure` has leaves.
        expand_composites: Whether to take composite tensors, such as sparse ones, apart too.

    Raises:
        TypeError: If `flat_sequence` is no sequence.
        ValueError: If the numbers differ.
    """
    _warn("pack_sequence_as", "tf.nest.pack_sequence_as")
    return tf.nest.pack_sequence_as(structure, flat_sequence, expand_composites)


def pack_iterable_as(structure: Any, flat_iterable: Any, expand_composites: bool = False) -> Any:
    """Returns the elements of `flat_iterable` nested as those of `structure` are.

    Args:
        structure: A structure.
        flat_iterable: As many elements as `structure` has leaves.
        expand_composites: Whether to take composite tensors, such as sparse ones, apart too.

    Raises:
        TypeError: If `flat_iterable` is no sequence.
        ValueError: If the numbers differ.
    """
    _warn("pack_iterable_as", "tf.nest.pack_sequence_as")
    return tf.nest.pack_sequence_as(structure, flat_iterable, expand_composites)


def map(
    func: Callable[..., Any],
    *structure: Any,
    check_types: bool = True,
    expand_composites: bool = False,
) -> Any:
    """Applies `func` to the leaves of structures that are nested in the same way.

    Args:
        func: Takes as many arguments as there are structures.
        *structure: The structures.
        check_types: Whether the types of lists, tuples and dictionaries must agree too.
        expand_composites: Whether to take composite tensors, such as sparse ones, apart too.

    Returns:
        The results, nested as the first structure is.

    Raises:
        TypeError: If the types differ.
        ValueError: If there is no structure, or if the structures differ.
    """
    _warn("map", "tf.nest.map_structure")
    return tf.nest.map_structure(
        func, *structure, check_types=check_types, expand_composites=expand_composites
    )


def assert_shallow_structure(shallow_tree: Any, input_tree: Any, check_types: bool = True) -> None:
    """Checks that `input_tree` is nested as `shallow_tree` is, down to the leaves of the latter.

    Args:
        shallow_tree: A structure.
        input_tree: A structure of at least that depth.
        check_types: Whether the types of lists, tuples and dictionaries must agree too.

    Raises:
        TypeError: If types differ, or if `input_tree` has a leaf where `shallow_tree` is nested.
        ValueError: If lengths or keys differ.
    """
    _warn("assert_shallow_structure", None)
    for _ in _leaves_up_to(shallow_tree, input_tree, check_types):
        pass


def flatten_up_to(shallow_tree: Any, input_tree: Any, check_types: bool = True) -> list[Any]:
    """Returns what stands in `input_tree` in the places of the leaves of `shallow_tree`.

    Args:
        shallow_tree: A structure.
        input_tree: A structure of at least that depth.
        check_types: Whether the types of lists, tuples and dictionaries must agree too.

    Raises:
        TypeError: If types differ, or if `input_tree` has a leaf where `shallow_tree` is nested.
        ValueError: If lengths or keys differ.

    Example:
        >>> flatten_up_to([None, (None, None)], [{"a": 1}, (2, [3, 4])])
        [{'a': 1}, 2, [3, 4]]
    """
    _warn("flatten_up_to", None)
    return list(_leaves_up_to(shallow_tree, input_tree, check_types))


def map_up_to(
    shallow_tree: Any, func: Callable[..., Any], *inputs: Any, check_types: bool = True
) -> Any:
    """Applies `func` to what stands in `inputs` in the places of the leaves of `shallow_tree`.

    Args:
        shallow_tree: A structure.
        func: Takes as many arguments as there are inputs.
        *inputs: Structures of at least that depth.
        check_types: Whether the types of lists, tuples and dictionaries must agree too.

    Returns:
        The results, nested as `shallow_tree` is.

    Raises:
        TypeError: If types differ, or if an input has a leaf where `shallow_tree` is nested.
        ValueError: If there is no input, or if lengths or keys differ.

    Example:
        >>> map_up_to({"a": None, "b": None}, len, {"a": [1, 2], "b": (3,)})
        {'a': 2, 'b': 1}
    """
    _warn("map_up_to", None)
    if not inputs:
        raise ValueError("Must provide at least one structure to map over.")
    columns = [list(_leaves_up_to(shallow_tree, each, check_types)) for each in inputs]
    results = [func(*row) for row in zip(*columns, strict=True)]
    return tf.nest.pack_sequence_as(shallow_tree, results)


def flatten_dict_items(dictionary: Mapping[Any, Any]) -> dict[Any, Any]:
    """Returns a dictionary whose nested keys are taken apart together with their values.

    Args:
        dictionary: Each key is a leaf, or nested and of as many leaves as its value.

    Raises:
        TypeError: If `dictionary` is not a dictionary.
        ValueError: If a nested key has more or fewer leaves than its value, or if a key comes
            twice.

    Example:
        >>> flatten_dict_items({(4, (5, 6)): ("a", ("b", "c")), 7: ["d", "e"]})
        {4: 'a', 5: 'b', 6: 'c', 7: ['d', 'e']}
    """
    _warn("flatten_dict_items", None)
    if not isinstance(dictionary, Mapping):
        raise TypeError(f"Expected a dictionary, received {dictionary!r}.")
    flat: dict[Any, Any] = {}
    for key, value in dictionary.items():
        nested = tf.nest.is_nested(key)
        keys, values = (
            (tf.nest.flatten(key), tf.nest.flatten(value)) if nested else ([key], [value])
        )
        if len(keys) != len(values):
            raise ValueError(
                f"Could not flatten dictionary. Key had {len(keys)} elements, but value had "
                f"{len(values)} elements. Key: {key!r}, value: {value!r}."
            )
        for flat_key, flat_value in zip(keys, values, strict=True):
            if flat_key in flat:
                raise ValueError(
                    f"Cannot flatten dict because this key is not unique: {flat_key!r}"
                )
            flat[flat_key] = flat_value
    return flat


def _warn(name: str, replacement: str | None) -> None:
    advice = f"use {replacement}" if replacement else "there is no public replacement in tf.nest"
    deprecation_warning(f"snt.nest.{name} is deprecated; {advice}.")


def _leaves_up_to(shallow: Any, tree: Any, check_types: bool) -> Iterator[Any]:
    """Yields what stands in `tree` in the places of the leaves of `shallow`."""
    if not tf.nest.is_nested(shallow):
        yield tree
        return
    if not tf.nest.is_nested(tree):
        raise TypeError(
            "If shallow structure is a sequence, input must also be a sequence. "
            f"Input has type: {type(tree)}."
        )
    if check_types and not (isinstance(tree, type(shallow)) or _kind(tree) == _kind(shallow)):
        raise TypeError(
            "The two structures don't have the same sequence type. Input structure has type "
            f"{type(tree)}, while shallow structure has type {type(shallow)}."
        )
    branches, subtrees = _children(shallow), _children(tree)
    if len(branches) != len(subtrees):
        raise ValueError(
            "The two structures don't have the same sequence length. Input structure has length "
            f"{len(subtrees)}, while shallow structure has length {len(branches)}."
        )
    both_dictionaries = isinstance(shallow, Mapping) and isinstance(tree, Mapping)
    if both_dictionaries and shallow.keys() != tree.keys():
        raise ValueError(
            "The two structures don't have the same keys. Input structure has keys "
            f"{list(tree)}, while shallow structure has keys {list(shallow)}."
        )
    for branch, subtree in zip(branches, subtrees, strict=True):
        yield from _leaves_up_to(branch, subtree, check_types)


def _children(structure: Any) -> list[Any]:
    """Returns what a nested structure holds directly, in the order in which `tf.nest` goes."""
    if isinstance(structure, Mapping):
        return [structure[key] for key in sorted(structure)]
    if hasattr(structure, "__attrs_attrs__"):
        return [getattr(structure, attribute.name) for attribute in structure.__attrs_attrs__]
    if hasattr(structure, "__tf_flatten__"):
        _, components = structure.__tf_flatten__()
        return list(components)
    return list(structure)


def _kind(structure: Any) -> Any:
    """Returns what two structures of different classes, but for us of one type, have in common."""
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure).__name__, structure._fields
    # The lists and dictionaries of tf.Module are of classes of their own.
    bases = (Mapping, list, tuple)
    return next((base for base in bases if isinstance(structure, base)), type(structure))
