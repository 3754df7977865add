"""Programs that look at nets from outside: observers, the collection "sonnet", private imports."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import sonnet as snt
from tests.support.modes import Mode

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(6, 2, 2)).astype(np.float32)


def record(network: Any, *inputs: Any) -> list[Any]:
    connections: list[Any] = []
    with snt.observe_connections(connections.append):
        network(*inputs)
    return connections


def propagate_bounds(connections: list[Any], lower: Any, upper: Any) -> tuple[Any, Any]:
    """Rebuilds a net for intervals, from the connections that its layers made."""
    for connection in connections:
        module = connection.module
        if isinstance(module, snt.BatchFlatten):
            lower, upper = module(lower), module(upper)
        elif isinstance(module, snt.Linear):
            assert list(connection.inputs) == ["inputs"]
            centre, radius = (lower + upper) / 2, (upper - lower) / 2
            centre = tf.matmul(centre, module.w) + (module.b if module.has_bias else 0.0)
            radius = tf.matmul(radius, tf.abs(module.w))
            lower, upper = tf.nn.relu(centre - radius), tf.nn.relu(centre + radius)
    return lower, upper


def test_bounds_are_propagated_through_observed_layers() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        network = snt.Sequential(
            [snt.BatchFlatten(), snt.Linear(5), tf.nn.relu, snt.Linear(3, use_bias=False)]
        )
        inputs = tf.constant(INPUTS)
        connections = record(network, inputs)
        assert [type(c.module).__name__ for c in connections] == [
            "BatchFlatten",
            "Linear",
            "Linear",
            "Sequential",
        ]
        assert connections[1].inputs["inputs"] is connections[0].outputs
        assert connections[-1].outputs is connections[-2].outputs
        count = len(tf.global_variables())
        lower, upper = propagate_bounds(connections, inputs - 0.1, inputs + 0.1)
        noisy = [
            tf.nn.relu(network(inputs + RANDOM.uniform(-0.1, 0.1, INPUTS.shape))) for _ in range(5)
        ]
        assert len(tf.global_variables()) == count
        session.run(tf.global_variables_initializer())
        lower, upper, noisy = session.run([lower, upper, noisy])
        assert np.all(lower <= np.array(noisy) + 1e-6)
        assert np.all(np.array(noisy) <= upper + 1e-6)
        assert np.all(upper - lower < 2)


def test_connections_are_repeated_from_their_records() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        mlp = snt.nets.MLP([5, 3], use_dropout=True)
        (*_, connection) = record(mlp, tf.constant(INPUTS[:, 0]), False)
        assert connection.module is mlp
        assert connection.inputs["is_training"] is False  # given by position
        assert connection.inputs["dropout_keep_prob"] == 0.5  # by default
        repeated = connection.module(**connection.inputs)
        session.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(*session.run([connection.outputs, repeated]))


def test_an_observer_may_connect_modules_itself() -> None:
    seen: list[str] = []
    with tf.Graph().as_default():
        twin = snt.Linear(3, name="twin")

        def observer(connection: Any) -> None:
            seen.append(connection.module.name)
            if connection.module is not twin:
                twin(connection.inputs["inputs"])

        with snt.observe_connections(observer):
            snt.Linear(3)(tf.ones([2, 4]))
        assert seen == ["linear", "twin"]
        assert len(tf.global_variables()) == 4


def test_all_modules_of_a_graph_are_listed() -> None:
    with tf.Graph().as_default() as graph:
        network = snt.Sequential([snt.BatchFlatten(), snt.nets.MLP([5, 3], name="mlp")])
        for _ in range(2):
            network(tf.constant(INPUTS))
        infos = graph.get_collection(snt.SONNET_COLLECTION_NAME)
        by_scope = {info.scope_name: info for info in infos}
        assert {"sequential", "batch_flatten", "mlp", "mlp/linear_0"} <= set(by_scope)
        assert len(by_scope["mlp"].connected_subgraphs) == 2
        assert by_scope["mlp"].class_name.endswith(".MLP")
        assert by_scope["mlp"].connected_subgraphs[0].name_scope == "sequential/mlp"


@pytest.mark.parametrize("clear", ["clear_collection", "delete entries", "clear everything"])
def test_the_collection_may_be_cleared(clear: str, tmp_path: Any) -> None:
    with tf.Graph().as_default() as graph, tf.Session() as session:
        mlp = snt.nets.MLP([5, 3])
        outputs = mlp(tf.ones([2, 4]))
        if clear == "clear_collection":
            graph.clear_collection("sonnet")
        elif clear == "delete entries":
            del graph.get_collection_ref(snt.SONNET_COLLECTION_NAME)[:]
        else:
            for name in graph.get_all_collection_keys():
                if name != tf.GraphKeys.GLOBAL_VARIABLES:
                    graph.clear_collection(name)
        again = mlp(tf.ones([2, 4]))
        assert len(mlp.variables) == 4
        assert len(mlp.connected_subgraphs) == 2
        snt.Linear(2)(outputs)
        tf.train.export_meta_graph(str(tmp_path / "model.meta"))
        session.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(*session.run([outputs, again]))


def counting(inputs: Any) -> Any:
    count = tf.get_variable("count", [], initializer=tf.zeros_initializer(), trainable=False)
    # What this gives is an instance of tf.Variable too, though without an initialiser.
    tf.add_to_collection(tf.GraphKeys.GLOBAL_VARIABLES, tf.assign_add(count, 1.0))
    return inputs + count


def test_updates_in_a_collection_are_no_variables(tmp_path: Any) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        module = snt.Module(counting)
        module(tf.ones([2]))
        module(tf.ones([2]))
        count = module.variables
        assert [v.op.name for v in count] == ["counting/count"]
        assert list(module.get_variables(tf.GraphKeys.GLOBAL_VARIABLES)) == list(count)
        assert list(module.get_all_variables(tf.GraphKeys.GLOBAL_VARIABLES)) == list(count)
        assert snt.get_normalized_variable_map(module) == {"count": count[0]}
        session.run(count[0].initializer)
        assert snt.get_saver(module).save(session, str(tmp_path / "model"))


def test_a_program_with_private_imports(mode: Mode) -> None:
    from sonnet.python.modules import base, basic, util
    from sonnet.python.modules.nets import mlp as mlp_module
    from sonnet.python.ops import nest

    class Twice(base.AbstractModule, base.Transposable):
        def __init__(self, initializers: Any = None, name: str = "twice") -> None:
            super().__init__(name=name)
            self._initializers = util.check_initializers(initializers, {"w", "b"})

        @util.reuse_variables
        def once(self, inputs: Any) -> Any:
            return basic.Linear(3, initializers=self._initializers)(inputs)

        def _build(self, inputs: Any) -> Any:
            return nest.map(tf.abs, (self.once(inputs), mlp_module.MLP([3])(inputs)))

        @property
        def input_shape(self) -> Any:
            return self.once.__name__

        def transpose(self, name: str | None = None) -> Twice:
            return Twice(name=name)

    module = Twice({"w": tf.ones_initializer()})
    once, _ = mode.run(module, INPUTS[:, 0])
    np.testing.assert_allclose(once, np.abs(INPUTS[:, 0].sum(1, keepdims=True) + np.zeros(3)), 1e-5)
    assert isinstance(module, snt.Transposable)
    assert len(util.get_variables_in_module(module)) == 4
    assert snt.python.modules.util.has_variable_scope(module)
    with pytest.raises(base.NotConnectedError):
        _ = basic.Linear(3).w
