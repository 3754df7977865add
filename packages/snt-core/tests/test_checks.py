"""One set of rules for the dictionaries of initializers, partitioners and regularizers."""

import collections
import types

import pytest

from snt_core.checks import check_initializers, check_partitioners, check_regularizers

CHECKS = {
    "initializer": check_initializers,
    "partitioner": check_partitioners,
    "regularizer": check_regularizers,
}


@pytest.fixture(params=CHECKS)
def kind(request):
    return request.param


@pytest.fixture
def check(kind):
    return CHECKS[kind]


def function(*_):
    return None


def test_none_is_empty(check):
    assert check(None, keys={"w"}) == {}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"w": function},
        {"w": function, "b": {"inner": {"anything": function}}},
        collections.OrderedDict(b=function),
        types.MappingProxyType({"w": function}),
        collections.UserDict(w=function),
    ],
)
def test_good_dictionaries_pass(check, given):
    assert check(given, keys=("w", "b")) == dict(given)


def test_what_comes_back(kind, check):
    nested = {"inner": function}
    given = collections.OrderedDict(w=nested)
    result = check(given, keys=["w"])
    if kind == "partitioner":
        assert result is given
    else:
        assert type(result) is dict
        assert result["w"] is nested
        result["b"] = function
        assert "b" not in given


def test_unknown_keys(kind, check):
    with pytest.raises(KeyError) as error:
        check({"w": function, "z": function, "y": None}, keys=["w", "b"])
    assert error.value.args[0] == (
        f"Invalid {kind} keys 'y', 'z', {kind}s can only be provided for 'b', 'w'."
    )


@pytest.mark.parametrize("value", [None, 0.1, "zeros", [function]])
def test_values_that_are_no_functions(kind, check, value):
    message = f"{kind.capitalize()} for 'w' is not a callable function or dictionary"
    with pytest.raises(TypeError, match=message):
        check({"b": function, "w": value}, keys={"w", "b"})


def test_nested_values_that_are_no_functions(kind, check):
    message = (
        f"{kind.capitalize()} for 'bad' is not a callable function or dictionary: "
        "received 3 in 'w' / 'in'"
    )
    with pytest.raises(TypeError, match=message):
        check({"w": {"ok": function, "in": {"bad": 3}}}, keys={"w"})


@pytest.mark.parametrize("given", [function, 3, "w", ["w"], [], (), "", {"w"}])
def test_what_is_no_dictionary(check, given):
    message = "Expected a dict-like object with possible keys 'b', 'w', received "
    with pytest.raises(TypeError, match=message):
        check(given, keys={"w", "b"})
