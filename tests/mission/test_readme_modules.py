"""The README's programs that define modules of their own."""
# ruff: noqa: UP008 - the constructors are as they stand in the README

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import sonnet as snt
from tests.support.modes import Mode
from tests.support.variables import names, randomise

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(6, 4)).astype(np.float32)


class MyMLP(snt.AbstractModule):
    """Docstring for MyMLP."""

    def __init__(self, hidden_size, output_size, nonlinearity=tf.tanh, name="my_mlp"):
        """Docstring explaining __init__ args, including types and defaults."""
        super(MyMLP, self).__init__(name=name)
        self._hidden_size = hidden_size
        self._output_size = output_size
        self._nonlinearity = nonlinearity

    def _build(self, inputs):
        """Compute output Tensor from input Tensor."""
        lin_x_to_h = snt.Linear(output_size=self._hidden_size, name="x_to_h")
        lin_h_to_o = snt.Linear(output_size=self._output_size, name="h_to_o")
        return lin_h_to_o(self._nonlinearity(lin_x_to_h(inputs)))


class MyMLPAsWritten(MyMLP):
    def __init__(self, hidden_size, output_size, nonlinearity=tf.tanh, name="my_mlp"):
        super(MyMLP, self).__init__(name)


def test_a_positional_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"without named arguments.*name=name"):
        MyMLPAsWritten(5, 3)


def test_my_mlp_has_four_variables_however_often_it_is_connected(mode: Mode) -> None:
    my_mlp = MyMLP(hidden_size=5, output_size=3)
    for _ in range(3):
        mode.run(my_mlp, INPUTS)
    variables = my_mlp.get_variables()
    assert names(variables) == [
        "my_mlp/x_to_h/w",
        "my_mlp/x_to_h/b",
        "my_mlp/h_to_o/w",
        "my_mlp/h_to_o/b",
    ]
    if mode.in_graph:
        assert len(tf.global_variables()) == 4
    w1, b1, w2, b2 = randomise(variables, mode)
    expected = np.tanh(INPUTS @ w1 + b1) @ w2 + b2
    np.testing.assert_allclose(mode.run(my_mlp, INPUTS), expected, 1e-5, 1e-5)


def test_a_module_as_the_nonlinearity(mode: Mode) -> None:
    my_mlp = MyMLP(5, 3, nonlinearity=snt.Linear(5, name="between"))
    mode.run(my_mlp, INPUTS)
    assert len(my_mlp.get_variables()) == 4
    assert names(my_mlp.variables)[:2] == ["between/b", "between/w"]


class ParentModule(snt.AbstractModule):
    def __init__(self, hidden_size, name="parent_module"):
        super(ParentModule, self).__init__(name=name)
        self._hidden_size = hidden_size

    def _build(self, inputs):
        lin_mod = snt.Linear(self._hidden_size)  # Construct submodule...
        return tf.nn.relu(lin_mod(inputs))  # then connect it.


class OtherParentModule(snt.AbstractModule):
    def __init__(self, hidden_size, name="other_parent_module"):
        super(OtherParentModule, self).__init__(name=name)
        self._hidden_size = hidden_size
        with self._enter_variable_scope():  # This line is crucial!
            self._lin_mod = snt.Linear(self._hidden_size)  # Construct submodule here.

    def _build(self, inputs):
        return tf.nn.relu(self._lin_mod(inputs))  # Connect previously constructed mod.


class WrongModule(snt.AbstractModule):
    def __init__(self, hidden_size, name="wrong_module"):
        super(WrongModule, self).__init__(name=name)
        self._hidden_size = hidden_size
        self._lin_mod = snt.Linear(self._hidden_size)  # Construct submodule here.

    def _build(self, inputs):
        return tf.nn.relu(self._lin_mod(inputs))  # Connect previously constructed mod.


@pytest.mark.parametrize(
    ("module_class", "scope", "in_scope"),
    [
        (ParentModule, "parent_module/linear", True),
        (OtherParentModule, "other_parent_module/linear", True),
        (WrongModule, "linear", False),
    ],
)
def test_where_submodules_are_declared(
    module_class: Any, scope: str, in_scope: bool, mode: Mode
) -> None:
    module = module_class(hidden_size=5)
    for _ in range(2):
        mode.run(module, INPUTS)
    assert names(module.variables) == [f"{scope}/b", f"{scope}/w"]
    assert names(module.get_variables()) == ([f"{scope}/w", f"{scope}/b"] if in_scope else [])
    b, w = randomise(module.variables, mode)
    expected = np.maximum(INPUTS @ w + b, 0)
    np.testing.assert_allclose(mode.run(module, INPUTS), expected, 1e-5, 1e-5)


def test_both_ways_to_declare_submodules_give_the_same_names(mode: Mode) -> None:
    names_inside = []
    for module_class in (ParentModule, OtherParentModule):
        module = module_class(hidden_size=5)
        mode.run(module, INPUTS)
        names_inside.append([v.removeprefix(module.scope_name) for v in names(module.variables)])
    assert names_inside[0] == names_inside[1] == ["/linear/b", "/linear/w"]


def test_transposed_module_may_be_made_before_the_original_is_connected(mode: Mode) -> None:
    linear = snt.Linear(output_size=3)
    transposed = linear.transpose()
    with pytest.raises(snt.Error, match="linear not instantiated yet"):
        mode.run(transposed, INPUTS[:, :3])
    mode.run(linear, INPUTS)
    outputs = mode.run(transposed, INPUTS[:, :3])
    assert outputs.shape == (6, 4)
    assert [v.shape.as_list() for v in transposed.variables] == [[4], [3, 4]]


def test_batch_apply_merges_and_splits_leading_dimensions(mode: Mode) -> None:
    sequences = RANDOM.normal(size=(2, 6, 4)).astype(np.float32)
    linear = snt.Linear(3)
    outputs = mode.run(snt.BatchApply(linear), sequences)
    w, b = mode.values(linear.get_variables())
    np.testing.assert_allclose(outputs, sequences @ w + b, 1e-5, 1e-5)


def scaled_and_shifted(inputs):
    scale = tf.get_variable("scale", [4], initializer=tf.ones_initializer())
    shift = snt.AddBias(name="shift")
    return shift(inputs * scale)


def test_module_wraps_a_function(mode: Mode) -> None:
    module = snt.Module(scaled_and_shifted)
    for _ in range(2):
        mode.run(module, INPUTS)
    variables = module.get_variables()
    assert names(variables) == ["scaled_and_shifted/scale", "scaled_and_shifted/shift/b"]
    scale, b = randomise(variables, mode)
    np.testing.assert_allclose(mode.run(module, INPUTS), INPUTS * scale + b, 1e-5, 1e-5)


class CosineWeights(snt.AbstractModule):
    def __init__(self, word_size, num_heads, name="cosine_weights"):
        super(CosineWeights, self).__init__(name=name)
        self._word_size = word_size
        self._num_heads = num_heads

    def param_size(self):
        """Returns the size the 2nd dimension of `cos_params` is required to be."""
        return self._num_heads * (1 + self._word_size)

    def _build(self, memory, cos_params):
        """cos_params must be `[batch_size, self.param_size()]` shape."""
        params = tf.reshape(cos_params, [-1, self._num_heads, 1 + self._word_size])
        keys, strengths = params[..., 1:], tf.nn.softplus(params[..., :1])
        similarity = tf.matmul(
            tf.nn.l2_normalize(keys, -1), tf.nn.l2_normalize(memory, -1), transpose_b=True
        )
        return tf.nn.softmax(strengths * similarity)


def test_a_module_tells_the_size_of_its_parameters(mode: Mode) -> None:
    memory = RANDOM.normal(size=(6, 7, 32)).astype(np.float32)
    # Construct the module, then work out the right input size
    cos_weights_mod = CosineWeights(word_size=32, num_heads=3)
    cosine_params_mod = snt.Linear(output_size=cos_weights_mod.param_size())

    def connect(inputs, memory):
        cos_params = cosine_params_mod(inputs)  # We know this is now the right shape.
        return cos_params, cos_weights_mod(memory, cos_params)

    cos_params, weights = mode.run(connect, INPUTS, memory)
    assert cos_params.shape == (6, 99)
    assert cos_weights_mod.variables == ()
    for example in range(6):
        for head in range(3):
            strength, *key = cos_params[example].reshape(3, 33)[head]
            norms = np.linalg.norm(memory[example], axis=1) * np.linalg.norm(key)
            powers = np.exp(np.log1p(np.exp(strength)) * (memory[example] @ key) / norms)
            np.testing.assert_allclose(weights[example, head], powers / powers.sum(), 1e-4)


def useful_op(input_a, input_b, use_clipping=True, remove_nans=False, solve_agi="maybe"):
    total = input_a + input_b
    if remove_nans:
        total = tf.where(tf.is_nan(total), tf.zeros_like(total), total)
    if use_clipping:
        total = tf.clip_by_value(total, -1.0, 1.0)
    return total if solve_agi != "definitely" else total * 42.0


class UsefulModule(snt.AbstractModule):
    def __init__(
        self, use_clipping=True, remove_nans=False, solve_agi="maybe", name="useful_module"
    ):
        super(UsefulModule, self).__init__(name=name)
        self._use_clipping = use_clipping
        self._remove_nans = remove_nans
        self._solve_agi = solve_agi

    def _build(self, input_a, input_b):
        return useful_op(input_a, input_b, self._use_clipping, self._remove_nans, self._solve_agi)


def test_configuration_by_a_partial_or_by_a_module(mode: Mode) -> None:
    a, b = np.float32([3, np.nan, -2]), np.float32([1, 2, 3])
    op_kwargs = {"use_clipping": False, "remove_nans": True, "solve_agi": "definitely"}
    for configured in (
        functools.partial(useful_op, **op_kwargs),
        snt.Module(functools.partial(useful_op, **op_kwargs)),
        UsefulModule(**op_kwargs),
    ):
        np.testing.assert_array_equal(mode.run(configured, a, b), [168, 0, 42])
    np.testing.assert_array_equal(mode.run(UsefulModule(), a, b), [1, np.nan, 1])
