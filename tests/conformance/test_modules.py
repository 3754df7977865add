"""What every module must do, in every mode; driven by the table of descriptors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.descriptors import DESCRIPTORS, Descriptor
from tests.support.modes import Mode

each_module = pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=lambda d: d.name)
each_module_with_variables = pytest.mark.parametrize(
    "descriptor", [d for d in DESCRIPTORS if d.variables], ids=lambda d: d.name
)
each_dtype = pytest.mark.parametrize(
    ("descriptor", "dtype"),
    [(d, dtype) for d in DESCRIPTORS for dtype in d.dtypes],
    ids=lambda value: getattr(value, "name", value),
)


def variables_by_name(module: Any, descriptor: Descriptor) -> dict[str, Any]:
    prefix = f"{module.scope_name}/" if descriptor.own_scope else ""
    assert all(variable.name.startswith(prefix) for variable in module.variables)
    return {v.name.removesuffix(":0").removeprefix(prefix): v for v in module.variables}


def relative_shapes(module: Any, descriptor: Descriptor) -> dict[str, tuple[int, ...]]:
    variables = variables_by_name(module, descriptor)
    return {name: tuple(variable.shape.as_list()) for name, variable in variables.items()}


def scalar_loss(outputs: Any) -> Any:
    return tf.add_n(
        [tf.reduce_sum(tf.sin(tf.cast(x, tf.float64))) for x in tf.nest.flatten(outputs)]
    )


@each_module
def test_makes_its_variables_once(descriptor: Descriptor, mode: Mode) -> None:
    module = descriptor.make()
    with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
        _ = module.variables
    first = mode.run(module, *descriptor.inputs())
    variables = module.variables
    assert relative_shapes(module, descriptor) == descriptor.variables
    second = mode.run(module, *descriptor.inputs())
    assert [id(v) for v in module.variables] == [id(v) for v in variables]
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


@each_module
def test_modes_agree(descriptor: Descriptor) -> None:
    tf1.reset_default_graph()
    module = descriptor.make()
    inputs = descriptor.inputs()
    traced = tf.function(module)(*map(tf.constant, inputs))
    eager = module(*map(tf.constant, inputs))
    values = {name: v.numpy() for name, v in variables_by_name(module, descriptor).items()}
    with tf.Graph().as_default(), tf1.Session() as session:
        twin = descriptor.make()
        outputs = twin(*map(tf.constant, inputs))
        for name, variable in variables_by_name(twin, descriptor).items():
            variable.load(values[name], session)
        graph = session.run(tf.nest.map_structure(tf.convert_to_tensor, outputs))
    for other in (traced, graph):
        tf.nest.map_structure(
            lambda a, b: np.testing.assert_allclose(
                np.asarray(tf.convert_to_tensor(a)), b, 1e-5, 1e-6
            ),
            eager,
            other,
        )


@each_module
def test_takes_an_unknown_batch_size(descriptor: Descriptor, mode: Mode) -> None:
    module = descriptor.make()
    inputs = descriptor.inputs()
    outputs = mode.run(module, *inputs, unknown_batch=True)
    same = mode.run(module, *inputs)
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, 1e-6, 1e-6), outputs, same)
    fewer = mode.run(module, *(x[:2] for x in inputs), unknown_batch=True)
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a[:2] if inputs else a, b, 1e-5, 1e-6),
        outputs,
        fewer,
    )


@each_module_with_variables
def test_gradients_are_right(descriptor: Descriptor, mode: Mode) -> None:
    module = descriptor.make()
    dtype = "float64" if "float64" in descriptor.dtypes else "float32"
    inputs = descriptor.inputs(dtype)
    mode.run(module, *inputs)  # makes the variables
    gradients = mode.run(
        lambda *x: _gradients(lambda: scalar_loss(module(*x)), module.trainable_variables, mode),
        *inputs,
    )
    step = 1e-6 if dtype == "float64" else 1e-2
    for variable, gradient in zip(module.trainable_variables, gradients, strict=True):
        value = mode.values(variable)
        direction = np.random.default_rng(1).normal(size=value.shape)
        losses = []
        for sign in (1, -1):
            mode.assign(variable, value + sign * step * direction)
            losses.append(mode.run(lambda *x: scalar_loss(module(*x)), *inputs))
        mode.assign(variable, value)
        slope = (losses[0] - losses[1]) / (2 * step)
        tolerance = 1e-6 if dtype == "float64" else 1e-2
        np.testing.assert_allclose(np.sum(gradient * direction), slope, tolerance, tolerance)


def _gradients(loss: Any, variables: Any, mode: Mode) -> Any:
    if mode.in_graph:
        return tf1.gradients(loss(), list(variables))
    with tf.GradientTape() as tape:
        value = loss()
    return tape.gradient(value, list(variables))


@each_dtype
def test_variables_and_outputs_have_the_dtype_of_the_input(
    descriptor: Descriptor, dtype: str, mode: Mode
) -> None:
    module = descriptor.make()
    outputs = mode.run(module, *descriptor.inputs(dtype))
    expected = tf.as_dtype(dtype)
    assert {tf.as_dtype(x.dtype) for x in tf.nest.flatten(outputs)} == {expected}
    assert all(variable.dtype.base_dtype == expected for variable in module.variables)


@each_module_with_variables
@pytest.mark.parametrize("first_call", ["eager", "function"])
def test_checkpoint_restores_before_and_after_the_variables_exist(
    descriptor: Descriptor, first_call: str, tmp_path: Any
) -> None:
    inputs = tuple(map(tf.constant, descriptor.inputs()))
    module = descriptor.make()
    expected = module(*inputs)
    path = tf.train.Checkpoint(module=module).save(str(tmp_path / "checkpoint"))
    for connected_first in (True, False):
        twin = descriptor.make()
        call = tf.function(twin) if first_call == "function" else twin
        if connected_first:
            call(*inputs)
        status = tf.train.Checkpoint(module=twin).restore(path)
        outputs = call(*inputs)
        status.assert_consumed()
        tf.nest.map_structure(
            lambda a, b: np.testing.assert_allclose(tf.convert_to_tensor(a), b, 1e-6, 1e-6),
            expected,
            outputs,
        )


@each_module_with_variables
def test_saver_restores_by_name(descriptor: Descriptor, tmp_path: Any) -> None:
    inputs, values = descriptor.inputs(), []
    for restore in (False, True):
        with tf.Graph().as_default(), tf1.Session() as session:
            module = descriptor.make()
            outputs = tf.nest.map_structure(tf.convert_to_tensor, module(*map(tf.constant, inputs)))
            saver = tf1.train.Saver()
            if restore:
                saver.restore(session, str(tmp_path / "model"))
            else:
                session.run(tf1.global_variables_initializer())
                saver.save(session, str(tmp_path / "model"))
            values.append(session.run(outputs))
    tf.nest.map_structure(np.testing.assert_array_equal, *values)


@each_module
def test_saved_model_computes_the_same(descriptor: Descriptor, tmp_path: Any) -> None:
    inputs = tuple(map(tf.constant, descriptor.inputs()))
    module = descriptor.make()
    specs = [tf.TensorSpec([None, *x.shape[1:]], x.dtype) for x in inputs]
    exported = tf.Module()
    exported.module = module
    exported.call = tf.function(module, input_signature=specs)
    expected = exported.call(*inputs)
    tf.saved_model.save(exported, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_array_equal(tf.convert_to_tensor(a), b),
        expected,
        loaded.call(*inputs),
    )


@each_module
def test_compiles_with_xla(descriptor: Descriptor) -> None:
    inputs = tuple(map(tf.constant, descriptor.inputs()))
    module = descriptor.make()
    compiled = tf.function(module, jit_compile=True)(*inputs)  # the first call of the module
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(tf.convert_to_tensor(a), b, 1e-5, 1e-6),
        module(*inputs),
        compiled,
    )


@each_module
def test_runs_once_a_signature_after_defun(descriptor: Descriptor) -> None:
    module = descriptor.make()
    inputs = tuple(map(tf.constant, descriptor.inputs()))
    expected = module(*inputs)
    module.defun()
    module.defun()
    assert module.defun_wrapped
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(tf.convert_to_tensor(a), b, 1e-5, 1e-6),
        expected,
        module(*inputs),
    )


@each_module
def test_refuses_to_be_copied(descriptor: Descriptor) -> None:
    module = descriptor.make()
    for copy_of in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(snt.NotSupportedError, match="cannot be serialized"):
            copy_of(module)
        with pytest.raises(snt.NotSupportedError, match="cannot be serialized"):
            copy.deepcopy({"config": [module]})


@each_module
def test_shows_its_class_and_scope(descriptor: Descriptor) -> None:
    module = descriptor.make()
    assert repr(module).startswith(f"<{type(module).__name__}(")
    assert repr(module).endswith(f") {module.scope_name!r}>")


@each_module
def test_is_bound_to_one_graph(descriptor: Descriptor) -> None:
    inputs = descriptor.inputs()
    module = descriptor.make()
    with tf.Graph().as_default():
        module(*map(tf.constant, inputs))
    with tf.Graph().as_default(), pytest.raises(snt.DifferentGraphError, match="multiple Graphs"):
        module(*map(tf.constant, inputs))
    with pytest.raises(snt.DifferentGraphError, match="eagerly"):
        module(*map(tf.constant, inputs))


@each_module
def test_refuses_arguments_that_build_does_not_take(descriptor: Descriptor, mode: Mode) -> None:
    module = descriptor.make()
    if descriptor.name in ("BatchApply", "Module"):
        pytest.skip("hands any argument on to what it wraps")
    with pytest.raises(TypeError):
        mode.run(lambda: module(no_such_argument=1))
    assert not module.is_connected
