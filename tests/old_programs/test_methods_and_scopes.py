"""Agents and models whose methods, foreign cells and raw variables live in a module's scope."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest
import tensorflow as tf2
import tensorflow.compat.v1 as tf

import sonnet as snt
from tests.support.modes import Mode
from tests.support.variables import names, randomise

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(2, 4)).astype(np.float32)
SEQUENCE = RANDOM.normal(size=(5, 2, 4)).astype(np.float32)


class ForeignCell:
    """A recurrent cell that knows nothing of Sonnet, and makes its variables when first called."""

    def __init__(self, units: int) -> None:
        self._units = units
        self._kernel: Any = None

    def __call__(self, inputs: Any, state: Any) -> Any:
        if self._kernel is None:
            with tf.variable_scope("foreign_cell"):
                size = inputs.shape[-1] + self._units
                self._kernel = tf.get_variable("kernel", [size, self._units])
        state = tf.tanh(tf.matmul(tf.concat([inputs, state], 1), self._kernel))
        return state, state


AgentOutput = collections.namedtuple("AgentOutput", "policy_logits baseline")


class Agent(snt.AbstractModule):
    """An actor-critic that steps when it acts and unrolls when it learns."""

    def __init__(self, num_actions: int, name: str = "agent") -> None:
        super().__init__(name=name)
        self._num_actions = num_actions
        with self._enter_variable_scope():
            self._core = ForeignCell(3)

    def _torso(self, observation: Any, unused_mask: Any) -> Any:
        assert unused_mask is None
        return tf.nn.relu(snt.Linear(6, name="torso")(observation))

    def _head(self, core_output: Any) -> AgentOutput:
        policy_logits = snt.Linear(self._num_actions, name="policy_logits")(core_output)
        baseline = tf.squeeze(snt.Linear(1, name="baseline")(core_output), axis=-1)
        return AgentOutput(policy_logits, baseline)

    def _build(self, observation: Any, state: Any) -> Any:
        outputs, state = self.unroll(tf.expand_dims(observation, 0), state)
        return tf.nest.map_structure(lambda t: tf.squeeze(t, 0), outputs), state

    @snt.reuse_variables
    def unroll(self, observations: Any, state: Any) -> Any:
        torso_outputs = snt.BatchApply(self._torso)(observations, None)
        core_outputs = []
        for torso_output in tf.unstack(torso_outputs):
            core_output, state = self._core(torso_output, state)
            core_outputs.append(core_output)
        return snt.BatchApply(self._head)(tf.stack(core_outputs)), state

    @snt.reuse_variables
    def loss(self, observations: Any, state: Any) -> Any:
        outputs, _ = self.unroll(observations, state)
        weight = tf.get_variable("baseline_cost", [], initializer=tf.ones_initializer())
        return weight * tf.reduce_mean(tf.square(outputs.baseline))


AGENT_VARIABLES = [
    "agent/baseline_cost",
    "agent/batch_apply/torso/b",
    "agent/batch_apply/torso/w",
    "agent/batch_apply_1/baseline/b",
    "agent/batch_apply_1/baseline/w",
    "agent/batch_apply_1/policy_logits/b",
    "agent/batch_apply_1/policy_logits/w",
    "agent/foreign_cell/kernel",
]
AGENT_CALLS = {
    "act": lambda agent: agent(tf.constant(INPUTS), tf.zeros([2, 3])),
    "learn": lambda agent: agent.unroll(tf.constant(SEQUENCE), tf.zeros([2, 3])),
    "loss": lambda agent: agent.loss(tf.constant(SEQUENCE), tf.zeros([2, 3])),
}


@pytest.mark.parametrize(
    "order", ["act learn loss", "learn act loss", "loss learn act", "loss act learn"]
)
def test_agent_has_the_same_variables_whatever_it_does_first(order: str, mode: Mode) -> None:
    agent = Agent(num_actions=4)
    for call in order.split() * 2:
        outputs = mode.run(lambda call=call: AGENT_CALLS[call](agent))
        assert call != "learn" or outputs[0].policy_logits.shape == (5, 2, 4)
    assert names(agent.variables) == AGENT_VARIABLES
    assert sorted(names(agent.get_variables())) == AGENT_VARIABLES


def test_agent_acts_as_it_learns(mode: Mode) -> None:
    agent = Agent(num_actions=4)
    (learnt, _), (acted, _) = mode.run(
        lambda: (
            agent.unroll(tf.constant(SEQUENCE[:1]), tf.zeros([2, 3])),
            agent(tf.constant(SEQUENCE[0]), tf.zeros([2, 3])),
        )
    )
    np.testing.assert_allclose(learnt.policy_logits[0], acted.policy_logits, 1e-5)
    np.testing.assert_allclose(learnt.baseline[0], acted.baseline, 1e-5)


def make_decoder(name: str = "decoder") -> snt.Linear:
    return snt.Linear(4, name=name)


class Model(snt.AbstractModule):
    """Everything that programs put into `_enter_variable_scope`."""

    def __init__(self, encoder: Any, name: str = "model") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._encoder = encoder
            self._decoder = make_decoder()
            self._cell = ForeignCell(3)
            self._dense = tf2.keras.layers.Dense(2, name="dense")
            self._temperature = tf.Variable(2.0, name="temperature")
            self._bias = tf.get_variable("bias", [2])

    def _build(self, inputs: Any) -> Any:
        outputs = self._decoder(self._encoder(inputs))
        outputs, _ = self._cell(outputs, tf.zeros([inputs.shape[0], 3]))
        return (self._dense(outputs) + self._bias) / self._temperature


def test_names_gain_and_lose_no_level(mode: Mode) -> None:
    model = Model(snt.Linear(3, name="encoder"))
    for _ in range(2):
        mode.run(model, INPUTS)
    own = [
        "model/bias",
        "model/decoder/b",
        "model/decoder/w",
        "model/dense/bias",
        "model/dense/kernel",
        "model/foreign_cell/kernel",
        "model/temperature",
    ]
    assert names(model.variables) == ["encoder/b", "encoder/w", *own]
    assert sorted(names(model.get_variables())) == own

    values = randomise(model.variables, mode)
    e_b, e_w, bias, d_b, d_w, dense_b, dense_w, kernel, temperature = values
    decoded = (INPUTS @ e_w + e_b) @ d_w + d_b
    state = np.tanh(np.concatenate([decoded, np.zeros([2, 3])], 1) @ kernel)
    expected = (state @ dense_w + dense_b + bias) / temperature
    np.testing.assert_allclose(mode.run(model, INPUTS), expected, 1e-4, 1e-5)


class Nested(snt.AbstractModule):
    def __init__(self, name: str = "nested") -> None:
        super().__init__(name=name)
        with self._enter_variable_scope():
            self._inner = Model(make_decoder("encoder"))

    def _build(self, inputs: Any) -> Any:
        return self._inner(inputs)


def test_names_of_nested_modules_have_every_level_once(mode: Mode) -> None:
    nested = Nested()
    for _ in range(2):
        mode.run(nested, INPUTS)
    found = names(nested.variables)
    assert len(found) == 9
    assert {"nested/encoder/w", "nested/model/temperature", "nested/model/bias"} < set(found)
    assert {"nested/model/foreign_cell/kernel", "nested/model/dense/kernel"} < set(found)


class Possessive(snt.AbstractModule):
    """Has its own ideas of what attributes are called."""

    def __init__(self, attributes: dict[str, Any], name: str = "possessive") -> None:
        super().__init__(name=name)
        for attribute, value in attributes.items():
            setattr(self, attribute, value)

    @snt.reuse_variables
    def encode(self, inputs: Any) -> Any:
        return inputs * tf.get_variable("scale", [4])

    def _build(self, inputs: Any) -> Any:
        return snt.Linear(3)(self.encode(inputs))


# fmt: off
ATTRIBUTES = [
    "_name", "_graph", "_scope", "_variable_scope", "_template", "_is_connected", "_custom_getter",
    "_all_variables", "_variables", "_original_name", "_unique_name", "_module_name", "_scope_name",
    "_name_scope", "_connected_subgraphs", "_call", "_state", "_store", "_losses", "_layers",
    "submodules", "name_scope", "layers", "losses", "weights", "state", "store", "getter",
]
# fmt: on


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_subclasses_set_attributes_freely(attribute: str, mode: Mode) -> None:
    value = object()
    module = Possessive({attribute: value})
    for _ in range(2):
        mode.run(lambda inputs: module(inputs), INPUTS)
    assert getattr(module, attribute) is value
    assert (module.name, module.scope_name) == ("possessive", "possessive")
    assert module.is_connected
    assert names(module.get_variables()) == [
        "possessive/scale",
        "possessive/linear/w",
        "possessive/linear/b",
    ]


def test_containers_in_attributes_behave_as_containers(mode: Mode) -> None:
    layers: list[Any] = []
    module = Possessive({"_layers": layers, "_cache": {}, "_sizes": (3, 4), "_config": {"a": [1]}})
    layers.append(snt.Linear(3))  # the program still holds the list
    assert len(module._layers) == 1
    assert list(module._layers) == layers
    module._cache[2, "x"] = "by a tuple"
    module._cache[None] = "by None"
    assert dict(module._cache) == {(2, "x"): "by a tuple", None: "by None"}
    assert type(module._sizes) is tuple
    assert type(module._config) is dict
    mode.run(module, INPUTS)
    assert len(module.variables) == 3


def test_attributes_may_be_deleted_and_set_again(mode: Mode) -> None:
    module = Possessive({"_net": [snt.Linear(3)]})
    module._net = (1, 2)
    module._net = snt.Linear(3)
    del module._net
    assert not hasattr(module, "_net")
    mode.run(module, INPUTS)
