"""The command that lists, checks and converts checkpoints, run as a user runs it."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from snt_core import checkpoints

PROGRAM = """
import tensorflow as tf
import tensorflow.compat.v1 as tf1
import sonnet as snt


class Net(snt.AbstractModule):
    def __init__(self, name="net"):
        super().__init__(name=name)

    def _build(self, inputs, twice=False):
        w = tf1.get_variable("w", [inputs.shape[-1], 2])
        return (2 if twice else 1) * tf.matmul(inputs, w)


def make():
    return Net()


def make_connected():
    net = Net(name="connected")
    net(tf.zeros([1, 3]), twice=True)
    return net


def make_nothing():
    pass
"""
W = np.arange(6, dtype=np.float32).reshape(3, 2)
INPUT = ["--input", "float32[?,3]"]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The name of a Python module, in the current directory, with the user's own module."""
    (tmp_path / "my_nets.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    tf1.reset_default_graph()
    return "my_nets"


@pytest.fixture
def path(tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("agent/net/weights", initializer=W)
        tf1.get_variable("step", initializer=np.int64(5))
        loss = tf.reduce_sum(w**2)
        tf1.train.MomentumOptimizer(0.0, 0.9).minimize(loss)
        session.run(tf1.global_variables_initializer())
        return tf1.train.Saver().save(session, str(tmp_path / "old" / "model.ckpt"), global_step=5)


RULES = ["--prefix", "agent/net", "--rename", "weights$", "w"]


def test_list(path, capsys):
    checkpoints.main(["list", path])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["Name", "Type", "Shape", "Parameters"],
        ["agent/net/weights", "float32", "[3,", "2]", "6"],
        ["agent/net/weights/Momentum", "float32", "[3,", "2]", "6"],
        ["step", "int64", "[]", "1"],
    ]


def test_check_of_the_files(path, capsys):
    checkpoints.main(["check", path])
    assert "all 3 entries can be read" in capsys.readouterr().out
    data = f"{path}.data-00000-of-00001"
    os.truncate(data, os.path.getsize(data) - 1)
    with pytest.raises(snt.DamagedCheckpointError):
        checkpoints.main(["check", path])


def test_check_against_a_module(program, path, capsys):
    module = ["--module", f"{program}:make", *INPUT]
    checkpoints.main(["check", path, *module, *RULES])
    assert "agent/net/weights" in capsys.readouterr().out
    with pytest.raises(snt.CheckpointMismatchError, match=r"\(net_1/w\) +missing"):
        checkpoints.main(["check", path, *module])
    data = f"{path}.data-00000-of-00001"
    os.truncate(data, 10)
    with pytest.raises(snt.DamagedCheckpointError):
        checkpoints.main(["check", path, *module, *RULES])


@pytest.mark.parametrize("key", [None, "net"])
@pytest.mark.parametrize("function", ["make", "make_connected"])
def test_convert(program, path, tmp_path, function, key):
    inputs = INPUT if function == "make" else []
    target = str(tmp_path / "new" / "model")
    arguments = ["convert", path, target, "--module", f"{program}:{function}", *inputs, *RULES]
    checkpoints.main([*arguments, *(["--key", key] if key else [])])
    net = sys.modules[program].make()
    checkpoint = tf.train.Checkpoint(**({key: net} if key else {"root": net}))
    status = checkpoint.restore(target)
    np.testing.assert_array_equal(net(tf.eye(3)), W)  # restored as it is made
    status.assert_consumed()
    with pytest.raises(FileExistsError):
        checkpoints.main(arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--module", "my_nets:make"], ValueError, "not connected"),
        (["--module", "my_nets:no", *INPUT], ValueError, "package.module:function"),
        (["--module", "my_nets", *INPUT], ValueError, "package.module:function"),
        (["--module", "no_such_module:make"], ImportError, "no_such_module"),
        (["--module", "my_nets:make_nothing"], TypeError, "should return a module"),
        (["--module", "my_nets:make", "--input", "float32"], ValueError, "Expected an input like"),
        (["--module", "my_nets:make", "--input", "f[3]"], ValueError, "Expected an input like"),
    ],
)
def test_wrong_arguments(program, path, arguments, error, words):
    with pytest.raises(error, match=words):
        checkpoints.main(["check", path, *arguments])


def test_the_command(program, path):
    """Run as a module, which finds the user's program in the current directory."""
    module = ["--module", f"{program}:make", *INPUT]
    done = subprocess.run(
        [sys.executable, "-m", "snt_core.checkpoints", "convert", path, "new", *module, *RULES],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Written: new"


def test_failure_of_the_command(program, path, monkeypatch):
    arguments = ["snt-checkpoints", "check", path, "--module", f"{program}:make", *INPUT]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as error:
        checkpoints.run()
    assert str(error.value).startswith("snt-checkpoints: The checkpoint does not fit.")
    sys.path.remove(os.getcwd())
