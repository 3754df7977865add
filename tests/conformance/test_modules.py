"""What every module must do, in every mode; driven by the table of descriptors."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.descriptors import DESCRIPTORS, Descriptor
from tests.support.modes import Mode


def each(suits: Callable[[Descriptor], bool] = lambda descriptor: True) -> Any:
    """Runs a test for each module that a condition holds for."""
    modules = [descriptor for descriptor in DESCRIPTORS if suits(descriptor)]
    return pytest.mark.parametrize("descriptor", modules, ids=lambda descriptor: descriptor.name)


each_module = each()
each_repeatable_module = each(lambda d: not d.random)
each_dtype = pytest.mark.parametrize(
    ("descriptor", "dtype"),
    [(d, dtype) for d in DESCRIPTORS for dtype in d.dtypes],
    ids=lambda value: getattr(value, "name", value),
)

EAGER = Mode("eager")


def variables_by_name(module: Any, descriptor: Descriptor) -> dict[str, Any]:
    prefix = f"{module.scope_name}/" if descriptor.own_scope else ""
    assert all(variable.name.startswith(prefix) for variable in module.variables)
    return {v.name.removesuffix(":0").removeprefix(prefix): v for v in module.variables}


def relative_shapes(module: Any, descriptor: Descriptor) -> dict[str, tuple[int, ...]]:
    variables = variables_by_name(module, descriptor)
    return {name: tuple(variable.shape.as_list()) for name, variable in variables.items()}


def scalar_loss(outputs: Any) -> Any:
    floating = [x for x in tf.nest.flatten(outputs) if x.dtype.is_floating]
    return tf.add_n([tf.reduce_sum(tf.sin(tf.cast(x, tf.float64))) for x in floating])


def caller(descriptor: Descriptor, module: Any) -> Callable[..., Any]:
    """Returns a function of inputs alone."""
    return functools.partial(descriptor.connect, module)


def keeper(descriptor: Descriptor, module: Any, mode: Mode) -> Callable[[], None]:
    """Returns a function that gives the variables the values that they have now."""
    variables = list(module.variables) if descriptor.stateful else []
    values = mode.values(variables)

    def put_back() -> None:
        for variable, value in zip(variables, values, strict=True):
            mode.assign(variable, value)

    return put_back


def assert_close(
    actual: Any, expected: Any, tolerance: float = 1e-5, absolute: float = 1e-6
) -> None:
    """Compares structures of arrays or tensors."""
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(
            np.asarray(a), np.asarray(b), tolerance, min(tolerance, absolute)
        ),
        actual,
        expected,
    )


@each_module
def test_makes_its_variables_once(descriptor: Descriptor, mode: Mode) -> None:
    module = descriptor.make()
    with pytest.raises(snt.NotConnectedError, match="not instantiated yet"):
        _ = module.variables
    mode.run(caller(descriptor, module), *descriptor.inputs())
    variables = module.variables
    assert relative_shapes(module, descriptor) == descriptor.variables
    mode.run(caller(descriptor, module), *descriptor.inputs())
    assert [id(v) for v in module.variables] == [id(v) for v in variables]


@each_repeatable_module
def test_computes_the_same_again(descriptor: Descriptor, mode: Mode) -> None:
    module = descriptor.make()
    inputs = descriptor.inputs()
    first = mode.run(caller(descriptor, module), *inputs)
    if descriptor.stateful:  # the first call began with other variables
        put_back = keeper(descriptor, module, mode)
        first = mode.run(caller(descriptor, module), *inputs)
        put_back()
    second = mode.run(caller(descriptor, module), *inputs)
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


@each(lambda d: d.stateful)
def test_a_call_changes_its_variables(descriptor: Descriptor) -> None:
    module = descriptor.make()
    descriptor.connect(module, *map(tf.constant, descriptor.inputs()))
    before = EAGER.values(list(module.variables))
    descriptor.connect(module, *map(tf.constant, descriptor.inputs(seed=1)))
    after = EAGER.values(list(module.variables))
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


@each_repeatable_module
def test_modes_agree(descriptor: Descriptor) -> None:
    tf1.reset_default_graph()
    module = descriptor.make()
    inputs = descriptor.inputs()
    function = tf.function(caller(descriptor, module))
    function(*map(tf.constant, inputs))  # the first call
    put_back = keeper(descriptor, module, EAGER)
    values = {name: v.numpy() for name, v in variables_by_name(module, descriptor).items()}
    traced = function(*map(tf.constant, inputs))
    put_back()
    eager = descriptor.connect(module, *map(tf.constant, inputs))
    with tf.Graph().as_default(), tf1.Session() as session:
        twin = descriptor.make()
        outputs = descriptor.connect(twin, *map(tf.constant, inputs))
        for name, variable in variables_by_name(twin, descriptor).items():
            variable.load(values[name], session)
        graph = session.run(tf.nest.map_structure(tf.convert_to_tensor, outputs))
    assert_close(traced, eager)
    assert_close(graph, eager)


@each(lambda d: d.unknown_batch and not d.random)
def test_takes_an_unknown_batch_size(descriptor: Descriptor, mode: Mode) -> None:
    module = descriptor.make()
    inputs = descriptor.inputs()
    call = mode.prepared(caller(descriptor, module), *inputs, unknown_batch=True)
    call(*inputs)
    put_back = keeper(descriptor, module, mode)
    outputs = call(*inputs)
    put_back()
    same = mode.run(caller(descriptor, module), *inputs)
    assert_close(outputs, same, 1e-6)


@each(lambda d: d.unknown_batch and d.per_example and not d.random)
def test_examples_do_not_see_one_another(descriptor: Descriptor, mode: Mode) -> None:
    module = descriptor.make()
    inputs = descriptor.inputs()
    call = mode.prepared(caller(descriptor, module), *inputs, unknown_batch=True)
    call(*inputs)
    put_back = keeper(descriptor, module, mode)
    outputs = call(*inputs)
    put_back()
    fewer = call(*(x[:2] for x in inputs))
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a[:2] if inputs and a.ndim else a, b, 1e-5, 1e-6),
        outputs,
        fewer,
    )


@each(lambda d: bool(d.variables) and d.smooth and not d.random)
def test_gradients_are_right(descriptor: Descriptor, mode: Mode) -> None:
    module = descriptor.make()
    dtype = "float64" if "float64" in descriptor.dtypes else "float32"
    inputs = descriptor.inputs(dtype)

    def loss(*inputs: Any) -> Any:
        return scalar_loss(descriptor.connect(module, *inputs))

    mode.run(loss, *inputs)  # makes the variables
    gradients = mode.run(
        lambda *x: _gradients(lambda: loss(*x), module.trainable_variables, mode), *inputs
    )
    loss_of = mode.prepared(loss, *inputs)
    put_back = keeper(descriptor, module, mode)
    step = 1e-6 if dtype == "float64" else 1e-2
    for variable, gradient in zip(module.trainable_variables, gradients, strict=True):
        value = mode.values(variable)
        direction = np.random.default_rng(1).normal(size=value.shape)
        losses = []
        for sign in (1, -1):
            put_back()
            mode.assign(variable, value + sign * step * direction)
            losses.append(loss_of(*inputs))
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
    outputs = mode.run(caller(descriptor, module), *descriptor.inputs(dtype))
    expected = tf.as_dtype(dtype)
    dtypes = {tf.as_dtype(x.dtype) for x in tf.nest.flatten(outputs)}
    assert {t for t in dtypes if t.is_floating} == {expected}
    of_variables = {variable.dtype.base_dtype for variable in module.variables}
    assert {t for t in of_variables if t.is_floating} <= {expected}


@each(lambda d: bool(d.variables) and not d.random)
@pytest.mark.parametrize("first_call", ["eager", "function"])
def test_checkpoint_restores_before_and_after_the_variables_exist(
    descriptor: Descriptor, first_call: str, tmp_path: Any
) -> None:
    inputs = tuple(map(tf.constant, descriptor.inputs()))
    module = descriptor.make()
    descriptor.connect(module, *inputs)
    path = tf.train.Checkpoint(module=module).save(str(tmp_path / "checkpoint"))
    expected = descriptor.connect(module, *inputs)
    for connected_first in (True, False):
        twin = descriptor.make()
        call = caller(descriptor, twin)
        call = tf.function(call) if first_call == "function" else call
        if connected_first:
            call(*inputs)
        status = tf.train.Checkpoint(module=twin).restore(path)
        outputs = call(*inputs)
        status.assert_consumed()
        assert_close(outputs, expected, 1e-6)


@each(lambda d: bool(d.variables) and not d.random)
def test_saver_restores_by_name(descriptor: Descriptor, tmp_path: Any) -> None:
    inputs, values = descriptor.inputs(), []
    for restore in (False, True):
        with tf.Graph().as_default(), tf1.Session() as session:
            outputs = descriptor.connect(descriptor.make(), *map(tf.constant, inputs))
            outputs = tf.nest.map_structure(tf.convert_to_tensor, outputs)
            saver = tf1.train.Saver()
            if restore:
                saver.restore(session, str(tmp_path / "model"))
            else:
                session.run(tf1.global_variables_initializer())
                saver.save(session, str(tmp_path / "model"))
            values.append(session.run(outputs))
    tf.nest.map_structure(np.testing.assert_array_equal, *values)


@each_repeatable_module
def test_saved_model_computes_the_same(descriptor: Descriptor, tmp_path: Any) -> None:
    inputs = tuple(map(tf.constant, descriptor.inputs()))
    module = descriptor.make()
    batch = [None] if descriptor.unknown_batch else [x.shape[0] for x in inputs[:1]]
    specs = [tf.TensorSpec([*batch, *x.shape[1:]], x.dtype) for x in inputs]
    exported = tf.Module()
    exported.module = module
    exported.call = tf.function(caller(descriptor, module), input_signature=specs)
    exported.call(*inputs)
    tf.saved_model.save(exported, str(tmp_path / "saved"))
    expected = exported.call(*inputs)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    outputs = loaded.call(*inputs)  # in other types of sequences, perhaps
    for one, other in zip(tf.nest.flatten(expected), tf.nest.flatten(outputs), strict=True):
        np.testing.assert_array_equal(tf.convert_to_tensor(one), other)


@each_repeatable_module
def test_compiles_with_xla(descriptor: Descriptor) -> None:
    inputs = tuple(map(tf.constant, descriptor.inputs()))
    module = descriptor.make()
    function = tf.function(caller(descriptor, module), jit_compile=True)
    compiled = function(*inputs)  # the first call of the module
    if descriptor.stateful:
        put_back = keeper(descriptor, module, EAGER)
        compiled = function(*inputs)
        put_back()
    # XLA sums in another order, which costs small outputs as much as large ones.
    for actual, expected in zip(
        tf.nest.flatten(compiled),
        tf.nest.flatten(descriptor.connect(module, *inputs)),
        strict=True,
    ):
        largest = np.max(np.abs(expected), initial=0.0)
        rounding = descriptor.rounding
        np.testing.assert_allclose(actual, expected, rounding, rounding * largest + 1e-9)


@each_repeatable_module
def test_runs_once_a_signature_after_defun(descriptor: Descriptor) -> None:
    module = descriptor.make()
    inputs = tuple(map(tf.constant, descriptor.inputs()))
    descriptor.connect(module, *inputs)
    put_back = keeper(descriptor, module, EAGER)
    expected = descriptor.connect(module, *inputs)
    put_back()
    module.defun()
    module.defun()
    assert module.defun_wrapped
    assert_close(descriptor.connect(module, *inputs), expected)


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
    with tf.Graph().as_default():
        module = descriptor.make()
        descriptor.connect(module, *map(tf.constant, inputs))
    with tf.Graph().as_default(), pytest.raises(snt.DifferentGraphError, match="multiple Graphs"):
        descriptor.connect(module, *map(tf.constant, inputs))
    with pytest.raises(snt.DifferentGraphError, match="eagerly"):
        descriptor.connect(module, *map(tf.constant, inputs))


@each(lambda d: not d.bound_when_made)
def test_may_be_made_elsewhere_than_it_is_connected(descriptor: Descriptor) -> None:
    module = descriptor.make()
    with tf.Graph().as_default() as graph:
        descriptor.connect(module, *map(tf.constant, descriptor.inputs()))
        assert all(variable.graph is graph for variable in module.variables)


@each(lambda d: not d.takes_any_argument)
def test_refuses_arguments_that_build_does_not_take(descriptor: Descriptor, mode: Mode) -> None:
    module = descriptor.make()
    with pytest.raises(TypeError):
        mode.run(lambda: module(no_such_argument=1))
    assert not module.is_connected
