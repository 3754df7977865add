"""Checkpoints of old programs, restored by name into modules in every mode."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt


@pytest.fixture(autouse=True)
def first_of_its_name():
    tf1.reset_default_graph()  # which counts the names of scopes, in eager mode too


INPUTS = np.arange(8, dtype=np.float32).reshape(2, 4) / 8


class Layer(snt.AbstractModule):
    def __init__(self, size, partitioner=None, name="layer"):
        super().__init__(name=name)
        self._size = size
        self._partitioner = partitioner

    def _build(self, inputs):
        shape = [inputs.shape[-1], self._size]
        w = tf1.get_variable("w", shape, partitioner=self._partitioner)
        b = tf1.get_variable("b", [1, self._size])
        return tf.matmul(inputs, tf.convert_to_tensor(w)) + b


class Net(snt.AbstractModule):
    """Two layers made anew at each connection; a counter that savers leave out."""

    def __init__(self, partitioner=None, name="net"):
        super().__init__(name=name)
        self._partitioner = partitioner

    def _build(self, inputs):
        tf1.get_variable(
            "count",
            [],
            tf.int64,
            tf1.zeros_initializer(),
            trainable=False,
            collections=[tf1.GraphKeys.LOCAL_VARIABLES],
        )
        hidden = tf.nn.relu(Layer(5, self._partitioner)(inputs))
        return Layer(3)(hidden)


SHAPES = {"layer/w": (4, 5), "layer/b": (1, 5), "layer_1/w": (5, 3), "layer_1/b": (1, 3)}
RANDOM = np.random.default_rng(7)
VALUES = {name: RANDOM.normal(size=s).astype(np.float32) for name, s in SHAPES.items()}


def expected():
    hidden = np.maximum(INPUTS @ VALUES["layer/w"] + VALUES["layer/b"], 0)
    return hidden @ VALUES["layer_1/w"] + VALUES["layer_1/b"]


def write(prefix, values, **saver_kwargs):
    """Saves values as an old program does."""
    with tf.Graph().as_default(), tf1.Session() as session:
        variables = {name: tf1.Variable(value, name="v") for name, value in values.items()}
        session.run(tf1.global_variables_initializer())
        return tf1.train.Saver(variables, **saver_kwargs).save(session, str(prefix))


def scoped(scope, values=VALUES):
    return {f"{scope}/{name}": value for name, value in values.items()}


def old_program(directory, saver, partitioner=None):
    """Connects, trains and saves the net in a graph; returns the path and the values."""
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("agent"):
            net = Net(partitioner, name="policy")
            loss = tf.reduce_sum(net(tf.constant(INPUTS)) ** 2)
        step = tf1.train.AdamOptimizer(0.1).minimize(loss)
        session.run([tf1.global_variables_initializer(), tf1.local_variables_initializer()])
        session.run(step)
        outputs = session.run(net(tf.constant(INPUTS)))
        return saver(net).save(session, str(directory / "model.ckpt"), global_step=1), outputs


def connected(mode, **kwargs):
    net = Net(**kwargs)
    mode.run(net, INPUTS)
    return net


def outputs_of(net, mode):
    return mode.run(net, INPUTS)


def values_of(net, mode):
    return {
        v.name: value for v, value in zip(net.variables, mode.values(net.variables), strict=True)
    }


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "model.ckpt", scoped("net"))


@pytest.mark.parametrize("old_parts", [None, 2])
@pytest.mark.parametrize("new_parts", [None, 3])
def test_an_old_program_goes_on_in_any_mode(tmp_path, mode, old_parts, new_parts):
    old, new = (n and tf1.fixed_size_partitioner(n) for n in (old_parts, new_parts))
    path, outputs = old_program(tmp_path, lambda net: tf1.train.Saver(), old)
    net = connected(mode, partitioner=new)
    report = snt.restore_from_checkpoint(net, path, prefix="agent/policy")
    assert report.fits
    np.testing.assert_allclose(outputs_of(net, mode), outputs, rtol=1e-5)
    statuses = {row.entry: row.status for row in report.rows}
    assert statuses["agent/policy/layer_1/w"] == "matches"
    assert statuses["agent/policy/layer_1/w/Adam"] == statuses["beta1_power"] == "unused"


def test_names_of_get_saver(tmp_path, mode):
    path, outputs = old_program(tmp_path, snt.get_saver)
    net = connected(mode)
    snt.restore_from_checkpoint(net, path, prefix="")
    np.testing.assert_allclose(outputs_of(net, mode), outputs, rtol=1e-5)


def test_without_prefix_names_are_those_of_the_variables(path, mode):
    net = connected(mode)
    snt.restore_from_checkpoint(net, path)
    np.testing.assert_allclose(outputs_of(net, mode), expected(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["directory", "index", "data"])
def test_what_names_a_checkpoint(path, kind):
    named = {"directory": pathlib.Path(path).parent, "index": f"{path}.index"}
    net = Net()
    net(INPUTS)
    report = snt.restore_from_checkpoint(net, named.get(kind, f"{path}.data-00000-of-00001"))
    assert report.path == path
    np.testing.assert_allclose(net(INPUTS), expected(), rtol=1e-5)


def test_variables_that_the_module_has_from_elsewhere_keep_their_names(tmp_path):
    class Outer(snt.AbstractModule):
        def __init__(self, inner, name="outer"):
            super().__init__(name=name)
            self._inner = inner

        def _build(self, inputs):
            return self._inner(inputs) * tf1.get_variable("scale", [])

    values = {"old/scale": np.float32(2), **scoped("net"), "outer/scale": np.float32(7)}
    path = write(tmp_path / "model", values)
    outer = Outer(Net())
    outer(INPUTS)
    snt.restore_from_checkpoint(outer, path, prefix="old/")
    np.testing.assert_allclose(outer(INPUTS), 2 * expected(), rtol=1e-5)


def test_renames_by_regular_expressions(tmp_path, mode):
    values = {
        "net/hidden/weights:0": VALUES["layer/w"],
        "net/hidden/biases:0": VALUES["layer/b"],
        "net/out/weights": VALUES["layer_1/w"],
        "net/out/biases": VALUES["layer_1/b"],
    }
    path = write(tmp_path / "model", values)
    renames = {
        "weights$": "w",
        "biases$": "b",
        r"^net/hidden/(\w)": r"net/layer/\1",
        "out/": "layer_1/",
    }
    net = connected(mode)
    report = snt.restore_from_checkpoint(net, path, renames=renames)
    np.testing.assert_allclose(outputs_of(net, mode), expected(), rtol=1e-5)
    assert not report.having("unused")
    assert report.rows[2][:3] == ("net/layer/w", "float32 [4, 5]", "net/hidden/weights:0")


def test_a_function_renames_and_converts(tmp_path):
    values = {name: value.T.astype(np.float64) for name, value in scoped("net").items()}
    path = write(tmp_path / "model", {**values, "net/odd": np.zeros(3)})

    def change(name, value):
        return (None, value) if name.endswith("odd") else (name, value.T.astype(np.float32))

    net = Net()
    net(INPUTS)
    with pytest.raises(snt.CheckpointMismatchError, match="Another dtype: a function"):
        snt.restore_from_checkpoint(net, path)
    snt.restore_from_checkpoint(net, path, renames=change)
    np.testing.assert_allclose(net(INPUTS), expected(), rtol=1e-5)


def test_two_names_for_one(tmp_path):
    path = write(tmp_path / "model", {**scoped("net"), "net/layer/w:0": VALUES["layer/w"]})
    net = Net()
    net(INPUTS)
    with pytest.raises(ValueError, match="would be called 'net/layer/w'"):
        snt.restore_from_checkpoint(net, path)
    with pytest.raises(ValueError, match="no regular expression"):
        snt.restore_from_checkpoint(net, path, renames={"(": ""})


@pytest.mark.parametrize("axis", [0, 1])
def test_parts_that_were_saved_one_by_one(tmp_path, axis):
    values = scoped("net")
    for i, part in enumerate(np.array_split(values.pop("net/layer/w"), 2, axis)):
        values[f"net/layer/w/part_{i}"] = part
    path = write(tmp_path / "model", values)
    net = Net()
    net(INPUTS)
    report = snt.restore_from_checkpoint(net, path)
    assert not report.having("unused")
    np.testing.assert_allclose(net(INPUTS), expected(), rtol=1e-5)


def test_parts_that_do_not_make_the_whole(tmp_path):
    values = scoped("net")
    values["net/layer/w/part_0"] = values.pop("net/layer/w")[:3]
    net = Net()
    net(INPUTS)
    with pytest.raises(snt.CheckpointMismatchError, match=r"part_0 .*float32 \[3, 5\] .*other"):
        snt.restore_from_checkpoint(net, write(tmp_path / "model", values))


def test_flat_shapes_only_where_asked_for(tmp_path, mode):
    values = {name: np.squeeze(value) for name, value in scoped("net").items()}
    path = write(tmp_path / "model", values)
    net = connected(mode)
    before = values_of(net, mode)
    with pytest.raises(snt.CheckpointMismatchError, match="reshape=True accepts shapes"):
        snt.restore_from_checkpoint(net, path)
    np.testing.assert_equal(values_of(net, mode), before)
    report = snt.restore_from_checkpoint(net, path, reshape=True)
    assert {row.variable for row in report.having("reshaped")} == {"net/layer/b", "net/layer_1/b"}
    np.testing.assert_allclose(outputs_of(net, mode), expected(), rtol=1e-5)


def test_reshape_does_not_mix_up_dimensions(tmp_path):
    values = {**scoped("net"), "net/layer/w": VALUES["layer/w"].T}
    net = Net()
    net(INPUTS)
    with pytest.raises(snt.CheckpointMismatchError, match="configured as it was"):
        snt.restore_from_checkpoint(net, write(tmp_path / "m", values), reshape=True)


@pytest.fixture
def misfit(tmp_path):
    values = scoped("net")
    del values["net/layer/b"]
    values["net/layer_1/w"] = np.zeros((6, 3), np.float32)
    values["net/layer_1/b"] = np.zeros((1, 3), np.float64)
    values["global_step"] = np.int64(3)
    return write(tmp_path / "model", values)


STATUSES = {
    "net/count": "not needed",
    "net/layer/b": "missing",
    "net/layer/w": "matches",
    "net/layer_1/b": "other dtype",
    "net/layer_1/w": "other shape",
    "": "unused",
}


def test_what_does_not_fit_changes_nothing(misfit, mode):
    net = connected(mode)
    before = values_of(net, mode)
    for strict in (True, False):
        with pytest.raises(snt.CheckpointMismatchError) as error:
            snt.restore_from_checkpoint(net, misfit, strict=strict)
        assert {row.variable: row.status for row in error.value.report.rows} == STATUSES
    assert isinstance(error.value, (ValueError, snt.Error))
    message = str(error.value)
    assert "does not fit the module 'net'; no variable was changed" in message
    assert str(error.value.report) in message
    line = r"net/layer_1/w +float32 \[5, 3\] +net/layer_1/w +float32 \[6, 3\] +other shape"
    assert re.search(line, message)
    np.testing.assert_equal(values_of(net, mode), before)


def test_dry_run_reports_and_changes_nothing(misfit, path, mode):
    net = connected(mode)
    before = values_of(net, mode)
    report = snt.restore_from_checkpoint(net, misfit, dry_run=True)
    assert not report.fits
    assert {row.variable: row.status for row in report.rows} == STATUSES
    assert repr(report) == str(report)
    assert "<td>net/layer_1/w</td><td>float32 [5, 3]</td>" in report._repr_html_()
    assert snt.restore_from_checkpoint(net, path, dry_run=True).fits
    np.testing.assert_equal(values_of(net, mode), before)


def test_missing_variables_may_keep_their_values(tmp_path, mode):
    values = scoped("net")
    del values["net/layer/b"]
    path = write(tmp_path / "model", values)
    net = connected(mode)
    before = values_of(net, mode)
    with pytest.raises(snt.CheckpointMismatchError, match="strict=False"):
        snt.restore_from_checkpoint(net, path)
    np.testing.assert_equal(values_of(net, mode), before)
    report = snt.restore_from_checkpoint(net, path, strict=False)
    assert [row.variable for row in report.having("missing")] == ["net/layer/b"]
    after = values_of(net, mode)
    np.testing.assert_array_equal(after["net/layer/b:0"], before["net/layer/b:0"])
    np.testing.assert_array_equal(after["net/layer/w:0"], VALUES["layer/w"])


def test_a_local_variable_is_restored_if_it_is_there(tmp_path, mode):
    path = write(tmp_path / "model", {**scoped("net"), "net/count": np.int64(12)})
    net = connected(mode)
    snt.restore_from_checkpoint(net, path)
    assert values_of(net, mode)["net/count:0"] == 12


def test_hints(tmp_path):
    net = Net(name="other")
    net(INPUTS)
    for scope, hint in (("agent/policy", "prefix='agent/policy'"), ("", "prefix=''")):
        path = write(tmp_path / "model", scoped(scope) if scope else VALUES)
        with pytest.raises(snt.CheckpointMismatchError, match=f"are there with {hint}") as error:
            snt.restore_from_checkpoint(net, path, strict=False)
        assert len(error.value.report.having("missing")) == 4
        assert snt.restore_from_checkpoint(net, path, prefix=scope).fits
    saved = tf.train.Checkpoint(net).write(str(tmp_path / "objects"))
    with pytest.raises(snt.CheckpointMismatchError, match=r"restore it with tf.train.Checkpoint"):
        snt.restore_from_checkpoint(net, saved)


def damaged(data, kind):
    middle = len(data) // 2
    return {
        "empty": b"",
        "truncated": data[:-9],
        "half": data[:middle],
        "changed": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "grown at the start": b"x" + data,
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "truncated", "half", "changed", "grown at the start"])
@pytest.mark.parametrize("file", ["index", "data-00000-of-00001"])
def test_damaged_files(path, file, kind):
    net = Net()
    net(INPUTS)
    before = [variable.numpy() for variable in net.variables]
    name = pathlib.Path(f"{path}.{file}")
    name.write_bytes(damaged(name.read_bytes(), kind))
    with pytest.raises(snt.DamagedCheckpointError, match="is damaged: .* cannot be read") as error:
        snt.restore_from_checkpoint(net, path)
    assert isinstance(error.value, OSError)
    for variable, value in zip(net.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize("file", ["index", "data-00000-of-00001"])
def test_files_that_are_not_there(path, file):
    pathlib.Path(f"{path}.{file}").unlink()
    net = Net()
    net(INPUTS)
    error = FileNotFoundError if file == "index" else snt.DamagedCheckpointError
    with pytest.raises(error, match="checkpoint"):
        snt.restore_from_checkpoint(net, path)


def test_a_graph_stays_as_it_is_and_needs_no_initialisation(path):
    with tf.Graph().as_default() as graph:
        net = Net()
        outputs = net(tf.constant(INPUTS))
        graph.finalize()
    with tf1.Session(graph=graph) as session:
        snt.restore_from_checkpoint(net, path, session=session)
        np.testing.assert_allclose(session.run(outputs), expected(), rtol=1e-5)


def test_reference_variables(path):
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("", use_resource=False):
            net = Net()
        outputs = net(tf.constant(INPUTS))
        snt.restore_from_checkpoint(net, path)
        np.testing.assert_allclose(session.run(outputs), expected(), rtol=1e-5)


def test_a_session_is_needed_in_a_graph(path):
    with tf.Graph().as_default():
        net = Net()
        net(tf.constant(INPUTS))
        with pytest.raises(ValueError, match=r"give the tf.compat.v1.Session"):
            snt.restore_from_checkpoint(net, path)
        assert snt.restore_from_checkpoint(net, path, dry_run=True).fits
    with tf1.Session(graph=tf.Graph()) as session, pytest.raises(snt.DifferentGraphError):
        snt.restore_from_checkpoint(net, path, session=session)


def test_what_cannot_be_restored(path):
    with pytest.raises(TypeError, match="takes a module"):
        snt.restore_from_checkpoint([tf.Variable(1.0)], path)
    net = Net()
    with pytest.raises(snt.NotConnectedError):
        snt.restore_from_checkpoint(net, path)
    net(INPUTS)
    with tf.Graph().as_default(), pytest.raises(snt.NotSupportedError, match="outside graphs"):
        snt.restore_from_checkpoint(net, path)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        snt.restore_from_checkpoint(net, f"{path}-other")
