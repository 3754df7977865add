"""Names of classes and callables, against the table of names that checkpoints of Sonnet 1 hold."""

import functools
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snt_core.naming import name_for_callable, to_snake_case

KNOWN_NAMES = {
    "UpperCamelCase": "upper_camel_case",
    "lowerCamelCase": "lower_camel_case",
    "endsWithXYZ": "ends_with_xyz",
    "already_snake_case": "already_snake_case",
    "__private__": "private",
    "version123p56vfxObject": "version_123p56vfx_object",
    "version123P56VFXObject": "version_123p56vfx_object",
    "versionVFX123P56Object": "version_vfx123p56_object",
    "versionVfx123P56Object": "version_vfx_123p56_object",
    "lstm1": "lstm_1",
    "LSTM1": "lstm1",
    "LSTMModule": "lstm_module",
    "LSTMBlockCell": "lstm_block_cell",
    "Conv2D": "conv_2d",
    "Conv1DLSTM": "conv_1dlstm",
    "BatchNormV2": "batch_norm_v2",
    "InPlaneConv2D": "in_plane_conv_2d",
    "ConvNet2DTranspose": "conv_net_2d_transpose",
    "RNNCore": "rnn_core",
    "MLP": "mlp",
    "v1_w2_x3": "v_1_w_2_x_3",
    "_": "",
}

identifiers = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)


@pytest.mark.parametrize(("camel_case", "expected"), KNOWN_NAMES.items())
def test_known_names(camel_case, expected):
    assert to_snake_case(camel_case) == expected


@given(identifiers)
def test_only_underscores_and_case_change(name):
    snake = to_snake_case(name)
    assert snake.replace("_", "") == name.replace("_", "").lower()
    assert snake == snake.strip("_")


@given(st.lists(st.text(string.ascii_lowercase, min_size=2), min_size=1))
def test_words_with_a_capital_come_apart(words):
    assert to_snake_case("".join(word.capitalize() for word in words)) == "_".join(words)


@pytest.mark.parametrize("name", ["", "1st", "two words", "a-b", "a.b", "é", "line\n", "<lambda>"])
def test_what_is_no_identifier_is_refused(name):
    with pytest.raises(ValueError, match="not a valid Python identifier"):
        to_snake_case(name)


def double_it(x):
    return 2 * x


class Callable:
    def __call__(self, x):
        return x

    def boundMethod(self, x):  # noqa: N802
        return x


@pytest.mark.parametrize(
    ("func", "expected"),
    [
        (double_it, "double_it"),
        (functools.partial(double_it, 1), "double_it"),
        (functools.partial(functools.partial(double_it), x=1), "double_it"),
        (Callable().boundMethod, "bound_method"),
        (Callable, "callable"),
        (len, "len"),
        (re.compile, "compile"),
        (lambda x: x, None),
        (functools.partial(lambda x: x), None),
        (functools.partial(functools.partial(Callable())), None),
        (Callable(), None),
    ],
)
def test_names_of_callables(func, expected):
    assert name_for_callable(func) == expected
