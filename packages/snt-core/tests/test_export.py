"""Modules and graphs as SavedModels, loaded by programs that know nothing of Sonnet."""

import collections
import contextlib
import functools
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_core.atomic_folder import atomic_folder

State = collections.namedtuple("State", ["hidden", "cell"])
BATCH = tf.TensorSpec([None, 4])


@pytest.fixture(autouse=True)
def first_of_its_name():
    tf1.reset_default_graph()  # which counts the names of scopes, in eager mode too


class Affine(snt.AbstractModule):
    """`inputs @ w`, and in training twice that; its step counter is not trained."""

    def __init__(self, size=3, name="affine"):
        super().__init__(name=name)
        self._size = size

    def _build(self, inputs, is_training=True):
        w = tf1.get_variable("w", [inputs.shape[-1], self._size])
        tf1.get_variable("step", [], tf.int64, tf1.zeros_initializer(), trainable=False)
        return (2.0 if is_training else 1.0) * tf.matmul(inputs, w)

    @snt.reuse_variables
    def scale(self, inputs, state):
        factor = tf1.get_variable("factor", [], initializer=tf1.constant_initializer(3.0))
        return inputs * factor, State(state.hidden + 1, {"deep": state.cell})


class Holder(snt.AbstractModule):
    """Calls a module that was made elsewhere."""

    def __init__(self, held, name="holder"):
        super().__init__(name=name)
        self._held = [held]

    def _build(self, *inputs):
        return {"sum": tf.add_n([self._held[0](x, is_training=False) for x in inputs])}


def inputs_of(batch, seed=0):
    return np.random.default_rng(seed).normal(size=[batch, 4]).astype(np.float32)


@pytest.mark.parametrize("connect", [None, "eager", "function", "defun"])
def test_the_loaded_object_is_called_as_the_module_is(tmp_path, connect):
    affine = Affine()
    if connect == "defun":
        affine.defun()
    if connect is not None:
        (tf.function(affine) if connect == "function" else affine)(tf.zeros([2, 4]))
    assert snt.export(affine, tmp_path / "model", BATCH) == str(tmp_path / "model")
    w = next(v for v in affine.variables if v.name == "affine/w:0").numpy()
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    for batch in (1, 5):
        inputs = inputs_of(batch)
        for outputs in (
            loaded(inputs),
            loaded(inputs=inputs, is_training=True),
            loaded.signatures["serving_default"](inputs=tf.constant(inputs))["output_0"],
        ):
            np.testing.assert_allclose(outputs, 2 * inputs @ w, rtol=1e-5)
    assert [v.name for v in loaded.variables] == ["affine/step:0", "affine/w:0"]
    assert [v.name for v in loaded.trainable_variables] == ["affine/w:0"]
    assert os.listdir(tmp_path) == ["model"]


def test_loaded_variables_are_those_of_the_computation(tmp_path):
    snt.export(Affine(), tmp_path / "model", BATCH)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    (w,) = loaded.trainable_variables
    w.assign(tf.ones_like(w))
    inputs = inputs_of(2)
    with tf.GradientTape() as tape:
        outputs = loaded(inputs)
    np.testing.assert_allclose(outputs, 2 * inputs @ np.ones([4, 3]), rtol=1e-5)
    expected = 2 * np.tile(inputs.sum(0)[:, None], [1, 3])
    np.testing.assert_allclose(tape.gradient(outputs, w), expected, rtol=1e-5)


def test_arguments_that_are_no_tensors_are_fixed(tmp_path):
    affine = Affine()
    training = functools.partial(affine, BATCH, True)
    snt.export(affine, tmp_path / "model", BATCH, is_training=False, signatures={"train": training})
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    inputs = inputs_of(2)
    once = inputs @ loaded.trainable_variables[0].numpy()
    np.testing.assert_allclose(loaded(inputs, is_training=False), once, rtol=1e-5)
    np.testing.assert_allclose(loaded(inputs), 2 * once, rtol=1e-5)
    for name, factor in (("serving_default", 1), ("train", 2)):
        outputs = loaded.signatures[name](inputs=tf.constant(inputs))
        np.testing.assert_allclose(outputs["output_0"], factor * once, rtol=1e-5)


def test_methods_and_nested_structures(tmp_path):
    affine = Affine()
    state = State(tf.TensorSpec([None, 2]), tf.TensorSpec([None, 2], name="memory"))
    scale = functools.partial(affine.scale, BATCH, state=state)
    snt.export(
        affine, tmp_path / "model", BATCH, signature_name="call", signatures={"scale": scale}
    )
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    inputs, hidden, cell = inputs_of(3), np.ones([3, 2], np.float32), np.zeros([3, 2], np.float32)
    outputs, new = loaded.scale(inputs, state=State(tf.constant(hidden), tf.constant(cell)))
    np.testing.assert_allclose(outputs, 3 * inputs)
    np.testing.assert_allclose(new[0], hidden + 1)
    outputs = loaded.signatures["scale"](
        inputs=tf.constant(inputs), state_hidden=tf.constant(hidden), memory=tf.constant(cell)
    )
    assert outputs.keys() == {"output_0", "output_1_hidden", "output_1_cell_deep"}
    np.testing.assert_allclose(outputs["output_0"], 3 * inputs)
    np.testing.assert_allclose(outputs["output_1_hidden"], hidden + 1)
    np.testing.assert_allclose(outputs["output_1_cell_deep"], cell)
    assert set(loaded.signatures) == {"call", "scale"}


def test_modules_from_elsewhere_and_one_specification_for_two_inputs(tmp_path):
    affine = Affine()
    snt.export(Holder(affine), tmp_path / "model", BATCH, BATCH)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    one, two = inputs_of(2, seed=1), inputs_of(2, seed=2)
    expected = (one + two) @ affine.trainable_variables[0].numpy()
    np.testing.assert_allclose(loaded(one, two)["sum"], expected, rtol=1e-5)
    outputs = loaded.signatures["serving_default"](
        inputs_0=tf.constant(one), inputs_1=tf.constant(two)
    )
    np.testing.assert_allclose(outputs["sum"], expected, rtol=1e-5)
    assert [v.name for v in loaded.variables] == ["affine/step:0", "affine/w:0"]
    assert loaded.module._held[0] is not None


def test_a_program_without_sonnet_loads_it(tmp_path):
    snt.export(Affine(), tmp_path / "eager", BATCH)
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 4])
        y = Affine()(x)
        session.run(tf1.global_variables_initializer())
        snt.export_graph(session, tmp_path / "graph", {"inputs": x}, {"output_0": y})
    program = (
        "import sys; import tensorflow as tf\n"
        "for folder in sys.argv[1:]:\n"
        "    loaded = tf.saved_model.load(folder)\n"
        "    outputs = loaded.signatures['serving_default'](inputs=tf.ones([3, 4]))\n"
        "    assert outputs['output_0'].shape == (3, 3), outputs\n"
        "    assert len(loaded.variables) == 2, loaded.variables\n"
        "assert not any(name.startswith(('sonnet', 'snt')) for name in sys.modules)\n"
    )
    folders = [str(tmp_path / "eager"), str(tmp_path / "graph")]
    done = subprocess.run(
        [sys.executable, "-c", program, *folders], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_failed_export_leaves_the_former_one(tmp_path):
    affine = Affine()
    snt.export(affine, tmp_path / "model", BATCH)
    affine._table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1], [2]), 0)

    class Untracked(snt.AbstractModule):
        def _build(self, inputs):
            return inputs * tf.cast(hidden[0].lookup(tf.constant(1)), tf.float32)

    hidden = [affine._table]
    with pytest.raises(AssertionError, match="untracked"):
        snt.export(Untracked(name="untracked"), tmp_path / "model", BATCH)
    assert os.listdir(tmp_path) == ["model"]
    assert tf.saved_model.load(str(tmp_path / "model"))(inputs_of(2)).shape == (2, 3)


def test_what_cannot_be_exported(tmp_path):
    affine, folder = Affine(), tmp_path / "model"
    with pytest.raises(TypeError, match="takes a module"):
        snt.export(tf.Module(), folder, BATCH)
    with pytest.raises(TypeError, match=r"give a tf.TensorSpec"):
        snt.export(affine, folder, tf.ones([2, 4]))
    with pytest.raises(TypeError, match=r"give a tf.TensorSpec"):
        snt.export(affine, folder, inputs_of(2))
    with pytest.raises(TypeError):
        snt.export(affine, folder, BATCH, no_such_argument=1)
    with pytest.raises(ValueError, match="must be a functools.partial of the module"):
        snt.export(affine, folder, BATCH, signatures={"s": functools.partial(Affine(), BATCH)})
    call = functools.partial(affine, BATCH)
    with pytest.raises(ValueError, match="two signatures"):
        snt.export(affine, folder, BATCH, signatures={"serving_default": call})
    with pytest.raises(ValueError, match="local folder"):
        snt.export(affine, "gs://bucket/model", BATCH)
    with tf.Graph().as_default(), pytest.raises(snt.NotSupportedError, match="export_graph"):
        snt.export(Affine(), folder, BATCH)
    folder.write_text("a file")
    with pytest.raises(NotADirectoryError):
        snt.export(affine, folder, BATCH)
    assert folder.read_text() == "a file"
    assert os.listdir(tmp_path) == ["model"]


@pytest.fixture
def served():
    """A finalised graph with a module, a table, a local variable and training; its session.

    The module is on a device that exists only where the session says so.
    """
    with tf.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None, 4], name="x")
        keys = tf1.placeholder(tf.int64, [None], name="keys")
        partitioner = tf1.fixed_size_partitioner(2)
        with tf1.variable_scope("", partitioner=partitioner), tf.device("/device:GPU:7"):
            y = Affine(name="net")(x, is_training=False)
        mean = tf1.get_variable(
            "mean",
            [],
            initializer=tf1.zeros_initializer(),
            collections=[tf1.GraphKeys.LOCAL_VARIABLES],
            trainable=False,
        )
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant([7], tf.int64), tf.constant([8.0])), 0.0
        )
        outputs = {"y": y + mean, "found": table.lookup(keys)}
        tf1.train.AdamOptimizer().minimize(tf.reduce_sum(y))
        add = mean.assign_add(5.0)
        graph.finalize()
        variables = tf1.global_variables() + tf1.local_variables()
        w = np.zeros([4, 3], np.float32)
    config = tf1.ConfigProto(allow_soft_placement=True)
    with contextlib.closing(tf1.Session(graph=graph, config=config)) as session:
        for variable in variables:
            value = np.zeros(variable.shape, variable.dtype.base_dtype.as_numpy_dtype)
            if "/w/part_" in variable.name and "Adam" not in variable.name:
                part = int(variable.name[-3])
                value = inputs_of(4, seed=5)[2 * part : 2 * part + 2, :3]
                w[2 * part : 2 * part + 2] = value
            session.run(variable.initializer, {variable.initializer.inputs[1]: value})
        session.run(add)
        yield session, {"x": x, "keys": keys}, outputs, w


def test_a_graph(tmp_path, served):
    session, inputs, outputs, w = served
    before = session.graph.as_graph_def().ByteSize()
    for _ in range(2):
        path = snt.export_graph(session, tmp_path / "model", inputs, outputs)
    assert session.graph.as_graph_def().ByteSize() == before
    assert os.listdir(tmp_path) == ["model"]
    x = inputs_of(6)
    loaded = tf.saved_model.load(path)
    found = loaded.signatures["serving_default"](
        x=tf.constant(x), keys=tf.constant([7, 8], tf.int64)
    )
    np.testing.assert_allclose(found["y"], x @ w + 5, rtol=1e-5)
    np.testing.assert_array_equal(found["found"], [8.0, 0.0])
    assert {v.name for v in loaded.variables} >= {"net/w/part_0:0", "net/w/part_1:0"}
    with tf.Graph().as_default(), tf1.Session() as other:  # as programs of TensorFlow 1 load it
        meta_graph = tf1.saved_model.load(other, [tf.saved_model.SERVING], path)
        signature = meta_graph.signature_def["serving_default"]
        y = other.run(signature.outputs["y"].name, {signature.inputs["x"].name: x})
    np.testing.assert_allclose(y, x @ w + 5, rtol=1e-5)


def test_graphs_that_cannot_be_exported(tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 4])
        y = Affine()(x)
        with pytest.raises(tf.errors.FailedPreconditionError):
            snt.export_graph(session, tmp_path / "model", {"x": x}, {"y": y})
        with pytest.raises(ValueError, match="Expected outputs"):
            snt.export_graph(session, tmp_path / "model", {"x": x}, {})
    with tf1.Session(graph=tf.Graph()) as other, pytest.raises(ValueError, match="other graphs"):
        snt.export_graph(other, tmp_path / "model", {"x": x}, {"y": y})
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_is_replaced_whole(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr("snt_core.atomic_folder._exchange", lambda one, other: False)
    target = tmp_path / "new" / "folder"
    for content in ("first", "second"):
        with atomic_folder(target) as written:
            pathlib.Path(written, content).touch()
            assert content == "first" or os.listdir(target) == ["first"]
        assert os.listdir(target) == [content]
    with pytest.raises(ZeroDivisionError), atomic_folder(target) as written:
        pathlib.Path(written, "third").write_text(str(1 / 0))
    assert os.listdir(target) == ["second"]
    assert os.listdir(target.parent) == ["folder"]
