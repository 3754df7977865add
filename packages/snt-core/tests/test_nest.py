"""The deprecated names for nested structures."""

import collections
import logging
import types

import attr
import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from snt_core import deprecation, nest

Pair = collections.namedtuple("Pair", "first second")
OtherPair = type("Pair", (Pair,), {})


@attr.s
class Point:
    y = attr.ib()
    x = attr.ib()


def trees(leaves):
    keys = st.text(max_size=2)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.builds(Pair, inner, inner),
            st.builds(Point, inner, inner),
            st.dictionaries(keys, inner, max_size=3),
            st.dictionaries(keys, inner, max_size=3).map(
                lambda tree: collections.OrderedDict(reversed(tree.items()))
            ),
        ),
        max_leaves=8,
    )


def replace_leaves(tree, replacements):
    """Replaces the leaves by the next replacements: what packing means, in the plainest words."""
    if isinstance(tree, dict):
        replaced = {key: replace_leaves(tree[key], replacements) for key in sorted(tree)}
        return type(tree)((key, replaced[key]) for key in tree)
    if isinstance(tree, Pair):
        return Pair(*(replace_leaves(branch, replacements) for branch in tree))
    if isinstance(tree, Point):
        return Point(replace_leaves(tree.y, replacements), replace_leaves(tree.x, replacements))
    if isinstance(tree, (list, tuple)):
        return type(tree)(replace_leaves(branch, replacements) for branch in tree)
    return next(replacements)


integers = st.integers(-9, 9)


@hypothesis.given(trees(integers))
def test_packing_undoes_flattening(tree):
    leaves = nest.flatten(tree)
    assert all(isinstance(leaf, int) for leaf in leaves)
    assert nest.pack_sequence_as(tree, leaves) == tree
    assert nest.pack_iterable_as(tree, nest.flatten_iterable(tree)) == tree
    assert nest.map(lambda x: x, tree) == tree


@hypothesis.given(trees(st.none()), st.data())
def test_flattening_up_to_gives_what_stands_there(shallow, data):
    number = len(tf.nest.flatten(shallow))
    subtrees = data.draw(st.lists(trees(integers), min_size=number, max_size=number))
    tree = replace_leaves(shallow, iter(subtrees))
    nest.assert_shallow_structure(shallow, tree)
    assert nest.flatten_up_to(shallow, tree) == subtrees
    assert nest.map_up_to(shallow, lambda x: x, tree) == tree
    mapped = nest.map_up_to(shallow, lambda x, y: [x, y], tree, tree)
    assert mapped == replace_leaves(shallow, iter([x, x] for x in subtrees))


@hypothesis.given(trees(integers))
def test_flattening_up_to_the_whole_depth_is_flattening(tree):
    assert nest.flatten_up_to(tree, tree) == tf.nest.flatten(tree)


def test_order_of_dictionaries():
    ordered = collections.OrderedDict([("b", 1), ("a", 2)])
    assert nest.flatten(ordered) == [2, 1]
    packed = nest.pack_sequence_as(ordered, [3, 4])
    assert list(packed.items()) == [("b", 4), ("a", 3)]
    assert nest.flatten_up_to({"a": None, "b": None}, ordered) == [2, 1]
    mapped = nest.map_up_to(ordered, lambda x: -x, {"a": 2, "b": 1})
    assert list(mapped.items()) == [("b", -1), ("a", -2)]


@pytest.mark.parametrize("leaf", ["text", b"bytes", 1, None, np.zeros([2]), tf.constant([1, 2])])
def test_leaves(leaf):
    assert not nest.is_sequence(leaf)
    assert not nest.is_iterable(leaf)
    assert nest.flatten(leaf)[0] is leaf
    assert nest.flatten_up_to(None, leaf)[0] is leaf
    nest.assert_same_structure(leaf, 3)


@pytest.mark.parametrize("nested", [[], (), {}, [1], Pair(1, 2), {"a": 1}, Point(1, 2)])
def test_nested(nested):
    assert nest.is_sequence(nested)
    assert nest.is_iterable(nested)


def test_composite_tensors_are_leaves_unless_taken_apart():
    sparse = tf.sparse.from_dense([0, 1])
    assert nest.flatten([sparse])[0] is sparse
    parts = nest.flatten([sparse], expand_composites=True)
    assert len(parts) == 3
    rebuilt = nest.pack_sequence_as([sparse], parts, expand_composites=True)[0]
    assert tf.sparse.to_dense(rebuilt).numpy().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nest.map(abs), ValueError, "Must provide at least one structure"),
        (
            lambda: nest.map(max, (1, 2), (1,)),
            ValueError,
            "don't have the same number of elements",
        ),
        (lambda: nest.map(max, [1], (1,)), TypeError, "type"),
        (lambda: nest.assert_same_structure([1], (1,)), TypeError, "type"),
        (lambda: nest.assert_same_structure([[1], 2], [1, [2]]), ValueError, "structure"),
        (lambda: nest.pack_sequence_as((1, 2), 3), TypeError, "3"),
        (lambda: nest.pack_sequence_as((1, 2), "text"), TypeError, "text"),
        (lambda: nest.pack_sequence_as(1, [3, 4]), ValueError, "length 2"),
        (lambda: nest.pack_sequence_as((1, 2), [3, 4, 5]), ValueError, "Structure had 2"),
        (lambda: nest.pack_iterable_as([1, 2], [3]), ValueError, "Structure had 2"),
        (lambda: nest.map_up_to([None], abs), ValueError, "Must provide at least one structure"),
        (lambda: nest.map_up_to([None], max, [1], [1, 2]), ValueError, "same sequence length"),
        (lambda: nest.flatten_up_to([1, 2], 3), TypeError, "input must also be a sequence"),
        (lambda: nest.flatten_up_to([[1], 2], [3, 4]), TypeError, "must also be a sequence"),
        (lambda: nest.flatten_up_to([1, 2], [1, 2, 3]), ValueError, "same sequence length"),
        (lambda: nest.flatten_up_to([1], (1,)), TypeError, "same sequence type"),
        (lambda: nest.flatten_up_to(Pair(1, 2), (1, 2)), TypeError, "same sequence type"),
        (lambda: nest.flatten_up_to({"a": 1}, [1]), TypeError, "same sequence type"),
        (lambda: nest.flatten_up_to({"a": 1}, {"b": 1}), ValueError, "same keys"),
        (lambda: nest.assert_shallow_structure([1], [1, 2]), ValueError, "sequence length"),
        (lambda: nest.flatten_dict_items([1]), TypeError, "Expected a dictionary"),
        (lambda: nest.flatten_dict_items({(4, 5): [1]}), ValueError, "Key had 2 elements"),
        (lambda: nest.flatten_dict_items({(4, 5): 1}), ValueError, "value had 1 elements"),
        (lambda: nest.flatten_dict_items({4: 1, (4, 5): [1, 2]}), ValueError, "not unique: 4"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_types_need_not_agree_if_so_asked():
    nest.assert_same_structure([1, (2,)], (1, [2]), check_types=False)
    assert nest.map(max, [1, 5], (3, 4), check_types=False) == [3, 5]
    assert nest.flatten_up_to([1, 2], (3, [4]), check_types=False) == [3, [4]]
    nest.assert_shallow_structure([1], (1,), check_types=False)
    assert nest.map_up_to([0, 0], max, (1, 5), [3, 4], check_types=False) == [3, 5]


def test_classes_that_count_as_one_type():
    nest.assert_shallow_structure(Pair(1, 2), OtherPair(1, 2))
    nest.assert_shallow_structure(OtherPair(1, 2), Pair(1, 2))
    nest.assert_shallow_structure((1, 2), Pair(1, 2))
    nest.assert_shallow_structure({"a": 1}, collections.OrderedDict(a=2))
    nest.assert_shallow_structure(collections.OrderedDict(a=2), types.MappingProxyType({"a": 1}))
    holder = tf.Module()
    holder.tree = [1, {"a": 2}]
    nest.assert_shallow_structure(holder.tree, [1, {"a": 2}])
    nest.assert_shallow_structure([1, {"a": 2}], holder.tree)


def test_flattening_dictionary_items():
    given = {(4, 5, (6, 8)): ("a", "b", ("c", ["d"])), "key": [1, 2]}
    assert nest.flatten_dict_items(given) == {4: "a", 5: "b", 6: "c", 8: "d", "key": [1, 2]}
    assert nest.flatten_dict_items({}) == {}


def test_one_warning_a_name(monkeypatch, caplog):
    monkeypatch.setattr(deprecation, "_seen", set())
    with caplog.at_level(logging.WARNING, "tensorflow"):
        for _ in range(3):
            nest.flatten([1])
            nest.map(abs, [1])
            nest.flatten_up_to([1], [1])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    assert "snt.nest.flatten is deprecated; use tf.nest.flatten." in messages
    assert "snt.nest.map is deprecated; use tf.nest.map_structure." in messages


def test_deprecation_warnings_come_once_a_message(monkeypatch, caplog):
    monkeypatch.setattr(deprecation, "_seen", set())
    with caplog.at_level(logging.WARNING, "tensorflow"):
        for message in ("old 100%", "older", "old 100%", "older"):
            deprecation.deprecation_warning(message)
    assert [record.getMessage() for record in caplog.records] == ["old 100%", "older"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
