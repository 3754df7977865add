"""What callables accept by keyword, and constructors found by name."""

import collections
import functools
import inspect
import sys
import types

import pytest
import tensorflow as tf

from snt_core.introspection import (
    MAYBE_SUPPORTED,
    NOT_SUPPORTED,
    SUPPORTED,
    parse_string_to_constructor,
    remove_unsupported_kwargs,
    supports_kwargs,
)
from snt_core.module import AbstractModule
from snt_core.reuse import reuse_variables


def plain(x, is_training, rate=0.1):
    return x


def keyword_only(x, *, is_training=True):
    return x


def open_ended(x, **kwargs):
    return x


def positional(*args):
    return args


def positional_only(x, is_training, /):
    return x


@functools.wraps(plain)
def decorated(*args, **kwargs):
    return plain(*args, **kwargs)


class Layer:
    def __init__(self, size, is_training=False):
        pass

    def __call__(self, x, rate):
        return x

    def method(self, x, is_training):
        return x

    @classmethod
    def class_method(cls, is_training):
        return cls

    @staticmethod
    def static_method(is_training):
        return is_training


class Net(AbstractModule):
    def _build(self, x, is_training, test_local_stats=True):
        return x

    @reuse_variables
    def loss(self, x, is_training=None):
        return x


class SequentialNet(AbstractModule):
    def _build(self, *args):
        return args


class OpenNet(Net):
    def _build(self, x, **kwargs):
        return x

    @reuse_variables
    def loss(self, x):
        return x


CASES = [
    (plain, SUPPORTED),
    (decorated, SUPPORTED),
    (keyword_only, SUPPORTED),
    (open_ended, MAYBE_SUPPORTED),
    (positional, NOT_SUPPORTED),
    (positional_only, NOT_SUPPORTED),
    (lambda is_training: is_training, SUPPORTED),
    (lambda x: x, NOT_SUPPORTED),
    (Layer, SUPPORTED),
    (Layer(1), NOT_SUPPORTED),
    (Layer(1).method, SUPPORTED),
    (Layer.class_method, SUPPORTED),
    (Layer.static_method, SUPPORTED),
    (functools.partial(plain, 1), SUPPORTED),
    (functools.partial(plain, 1, True), NOT_SUPPORTED),
    (functools.partial(plain, is_training=False), SUPPORTED),
    (functools.partial(functools.partial(Layer(1).method)), SUPPORTED),
    (Net, NOT_SUPPORTED),
    (Net(), SUPPORTED),
    (Net().loss, SUPPORTED),
    (functools.partial(Net(), 1), SUPPORTED),
    (SequentialNet(), NOT_SUPPORTED),
    (OpenNet(), MAYBE_SUPPORTED),
    (OpenNet().loss, NOT_SUPPORTED),
    (tf.function(plain), SUPPORTED),
    (tf.function(positional), NOT_SUPPORTED),
    (tf.nn.relu, NOT_SUPPORTED),
    (dict, MAYBE_SUPPORTED),
]


@pytest.mark.parametrize(("callable_", "expected"), CASES)
def test_is_training(callable_, expected):
    assert supports_kwargs(callable_, "is_training") == expected
    assert supports_kwargs(callable_, ["is_training"]) == expected


@pytest.mark.parametrize("callable_", [case[0] for case in CASES])
def test_no_names_are_supported(callable_):
    assert supports_kwargs(callable_, []) == SUPPORTED


def test_all_names_must_be_parameters():
    assert supports_kwargs(plain, ["is_training", "rate"]) == SUPPORTED
    assert supports_kwargs(plain, ("rate", "unknown")) == NOT_SUPPORTED
    assert supports_kwargs(open_ended, iter(["x", "unknown"])) == MAYBE_SUPPORTED
    assert supports_kwargs(Net(), ["x", "is_training", "test_local_stats"]) == SUPPORTED
    assert supports_kwargs(Net(), ["x", "self"]) == NOT_SUPPORTED


def test_the_constants_are_the_documented_words():
    assert (SUPPORTED, NOT_SUPPORTED, MAYBE_SUPPORTED) == (
        "supported",
        "not_supported",
        "maybe_supported",
    )


@pytest.mark.parametrize("names", [[1], ["x", None], [["x"]]])
def test_names_must_be_strings(names):
    with pytest.raises(ValueError, match="kwargs should be strings"):
        supports_kwargs(plain, names)


def test_removing_what_is_refused():
    given = {"is_training": True, "rate": 1, "unknown": 2}
    assert remove_unsupported_kwargs(plain, given) == {"is_training": True, "rate": 1}
    assert remove_unsupported_kwargs(Net(), given) == {"is_training": True}
    assert remove_unsupported_kwargs(SequentialNet(), given) == {}
    everything = remove_unsupported_kwargs(open_ended, given)
    assert everything == given
    assert everything is not given
    assert remove_unsupported_kwargs(plain, None) == {}
    assert remove_unsupported_kwargs(plain, collections.OrderedDict(rate=3)) == {"rate": 3}


@pytest.mark.parametrize("given", [[], "rate", 0, [("rate", 1)]])
def test_what_is_no_dictionary(given):
    with pytest.raises(ValueError, match="must be a dict"):
        remove_unsupported_kwargs(plain, given)


@pytest.fixture
def namespace(monkeypatch):
    """A `sonnet` with a class, a submodule, and what a package that is not installed leaves."""

    def missing(name):
        raise AttributeError(f"sonnet.{name} is in the package snt-rnn: pip install snt-rnn")

    sonnet = types.ModuleType("sonnet")
    sonnet.LayerNorm = Layer
    sonnet.nets = types.SimpleNamespace(ConvNet2D=Net)
    sonnet.__getattr__ = missing
    inner = types.ModuleType("sonnet.python")
    inner.modules = types.SimpleNamespace(ConvNet2D=Net)
    monkeypatch.setitem(sys.modules, "sonnet", sonnet)
    monkeypatch.setitem(sys.modules, "sonnet.python", inner)


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LayerNorm", Layer),
        ("snt.LayerNorm", Layer),
        ("sonnet.LayerNorm", Layer),
        ("snt.nets.ConvNet2D", Net),
        ("sonnet.nets.ConvNet2D", Net),
        ("sonnet.python.modules.ConvNet2D", Net),
        ("collections.OrderedDict", collections.OrderedDict),
        ("inspect.Signature.bind", inspect.Signature.bind),
        ("tensorflow.nn.relu", tf.nn.relu),
    ],
)
def test_constructors_by_name(name, expected):
    assert parse_string_to_constructor(name) is expected


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "snt.",
        ".LayerNorm",
        "Unknown",
        "snt.Unknown",
        "snt.nets.Unknown",
        "snt.LayerNorm.unknown",
        "no_such_package.Unknown",
        "collections.Unknown",
        "collections.abc.Unknown.more",
    ],
)
def test_names_of_nothing(name):
    with pytest.raises(ValueError, match="could not find"):
        parse_string_to_constructor(name)


@pytest.mark.usefixtures("namespace")
def test_a_name_of_a_missing_package_says_how_to_get_it():
    with pytest.raises(ValueError, match="pip install snt-rnn"):
        parse_string_to_constructor("snt.LSTM")
