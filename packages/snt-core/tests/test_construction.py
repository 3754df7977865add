"""`repr` of a module: how it was constructed."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

import sonnet as snt


class Layer(snt.AbstractModule):
    def __init__(self, size, activation=None, options=None, inner=None, name="layer"):
        super().__init__(name=name)

    def _build(self, inputs):
        return inputs


class Flexible(snt.AbstractModule):
    def __init__(self, *sizes, name="flexible", **options):
        super().__init__(name=name)

    def _build(self, inputs):
        return inputs


class WithNew(Layer):
    def __new__(cls, size, **kwargs):
        return super().__new__(cls)


def relu(x):
    return x


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Layer(3), "<Layer(size=3) 'layer'>"),
        (lambda: Layer(size=3, activation=relu, name="a"), "<Layer(size=3, activation=relu) 'a'>"),
        (lambda: Layer(3, options={"w": [1, 2]}), "<Layer(size=3, options={'w': [1, 2]}) 'layer'>"),
        (
            lambda: Layer([Layer(1, name="b")], inner=Layer(2)),
            "<Layer(size=[<Layer(size=1) 'b'>], inner=<Layer(size=2) 'layer'>) 'layer_1'>",
        ),
        (lambda: Layer(np.zeros([9, 9])), "<Layer(size=<ndarray of shape (9, 9)>) 'layer'>"),
        (lambda: Layer(list(range(99))), "<Layer(size=[0, 1, 2, 3, 4, 5, 6, 7, ...]) 'layer'>"),
        (lambda: Flexible(1, 2, depth=3), "<Flexible(*sizes=(1, 2), depth=3) 'flexible'>"),
        (lambda: WithNew(3), "<WithNew() 'layer'>"),
    ],
)
def test_repr(make, text):
    with tf.Graph().as_default():
        assert repr(make()) == text


def test_what_is_only_an_argument_is_no_submodule():
    inner = Layer(1, name="inner")
    outer = Layer(2, inner=inner)
    assert list(outer.submodules) == []


def test_before_the_constructor_has_run():
    class Forgetful(snt.AbstractModule):
        def __init__(self, size):
            self.text = repr(self)

        def _build(self):
            pass

    assert Forgetful(3).text == "<Forgetful(size=3) not initialised>"


def test_signatures_are_those_of_the_constructor_and_of_the_call():
    assert list(inspect.signature(Layer).parameters)[:2] == ["size", "activation"]
    assert list(inspect.signature(Flexible).parameters) == ["sizes", "name", "options"]
    assert list(inspect.signature(Layer(3)).parameters) == ["inputs"]
