"""Programs with reference variables, and with variables of both kinds."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import sonnet as snt
from tests.support.processes import run_program

PROGRAM = pathlib.Path(__file__).with_name("tensorflow_1_program.py")
TRAINABLE = [
    "autoencoder/in/b",
    "autoencoder/in/w",
    "autoencoder/out/b",
    "autoencoder/out/w",
]


@pytest.mark.parametrize(
    ("arguments", "kind"), [(["disable_v2_behavior"], "VariableV2"), ([], "VarHandleOp")]
)
def test_a_program_of_tensorflow_1(arguments: list[str], kind: str, tmp_path: Any) -> None:
    found = run_program(PROGRAM, str(tmp_path), *arguments)
    assert found["types"] == [kind]
    assert found["variables"] == [*TRAINABLE, "autoencoder/temperature"]
    assert found["of the scope"] == TRAINABLE
    assert found["in the checkpoint"] == ["in/b", "in/w", "out/b", "out/w", "temperature"]
    assert found["runs of the regularizer"] == found["penalties"] == 1
    assert found["improvement"] < 0.7
    assert max(value for key, value in found.items() if key.startswith("error")) < 1e-5


@pytest.mark.parametrize("use_resource", [True, False])
def test_the_kind_is_that_of_the_scope_around_the_construction(use_resource: bool) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("outer", use_resource=use_resource):
            mlp = snt.nets.MLP([3, 2])
        inputs = np.ones([2, 4], np.float32)
        with tf.variable_scope("elsewhere", use_resource=not use_resource):
            first, second = mlp(tf.constant(inputs)), mlp(tf.constant(inputs))
        kinds = {variable.op.type for variable in mlp.variables}
        assert kinds == {"VarHandleOp" if use_resource else "VariableV2"}
        assert [v.op.name for v in mlp.get_variables()] == [
            f"outer/mlp/linear_{i}/{name}" for i in range(2) for name in "wb"
        ]
        gradients = tf.gradients(tf.reduce_sum(first + second), mlp.trainable_variables)
        session.run(tf.global_variables_initializer())
        a, b, *gradients = session.run([first, second, *gradients])
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(gradients[2], [4, 4])  # of linear_1/b, from both connections


@pytest.mark.parametrize("use_resource", [True, False])
def test_checkpoints_do_not_know_the_kind(use_resource: bool, tmp_path: Any) -> None:
    values = []
    for kind in (use_resource, not use_resource):
        with tf.Graph().as_default(), tf.Session() as session:
            with tf.variable_scope("model", use_resource=kind):
                linear = snt.Linear(3)
            outputs = linear(tf.ones([2, 4]))
            saver = tf.train.Saver(linear.variables)
            if not values:
                session.run(tf.global_variables_initializer())
                saver.save(session, str(tmp_path / "model"))
            else:
                saver.restore(session, str(tmp_path / "model"))
            values.append(session.run(outputs))
    np.testing.assert_array_equal(*values)


@pytest.mark.parametrize("use_resource", [True, False])
def test_regularizers_run_once_a_variable(use_resource: bool) -> None:
    runs: list[str] = []

    def regularizer(weights: Any) -> Any:
        runs.append(weights.op.name)
        return tf.reduce_sum(weights)

    with tf.Graph().as_default():
        with tf.variable_scope("", use_resource=use_resource, regularizer=regularizer):
            mlp = snt.nets.MLP([3, 2], name="mlp")
        for _ in range(3):
            mlp(tf.ones([2, 4]))
        assert len(runs) == len(mlp.variables) == 4
        assert len(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)) == 4
