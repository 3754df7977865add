"""`Module`: functions as modules."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.modes import Mode
from tests.support.modules import ONES, names


def _make_model(inputs: Any, size: int = 2) -> Any:
    w = tf1.get_variable("w", [inputs.shape[-1], size], initializer=tf1.ones_initializer())
    return tf.matmul(inputs, w)


class CallableObject:
    def __call__(self, inputs: Any) -> Any:
        return _make_model(inputs)

    def method(self, inputs: Any) -> Any:
        return _make_model(inputs)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (_make_model, "make_model"),
        (functools.partial(functools.partial(_make_model, size=2), size=3), "make_model"),
        (lambda x: _make_model(x), "module"),
        (CallableObject(), "module"),
        (CallableObject().method, "method"),
    ],
    ids=["function", "partial", "lambda", "object", "method"],
)
def test_default_name_and_sharing(build: Any, name: str, mode: Mode) -> None:
    module = snt.Module(build)
    assert module.module_name == name
    first, second = mode.run(module, ONES), mode.run(module, ONES)
    np.testing.assert_array_equal(first, np.full([2, first.shape[1]], 3.0))
    np.testing.assert_array_equal(first, second)
    assert names(module.get_variables()) == [f"{name}/w:0"]


def test_arguments_are_handed_on(mode: Mode) -> None:
    module = snt.Module(_make_model, name="named")
    assert mode.run(lambda x: module(x, size=5), ONES).shape == (2, 5)
    assert module.name == "named"


def test_build_must_be_callable() -> None:
    with pytest.raises(TypeError, match="Input 'build' must be callable"):
        snt.Module(3)  # type: ignore[arg-type]


def test_custom_getter(mode: Mode) -> None:
    module = snt.Module(_make_model, custom_getter=snt.custom_getters.non_trainable)
    mode.run(module, ONES)
    assert module.get_variables() == ()
    assert names(module.variables) == ["make_model/w:0"]


def test_answers_maybe_to_questions_about_keywords() -> None:
    assert snt.supports_kwargs(snt.Module(_make_model), "size") == "maybe_supported"
