"""The compiled library: found, loaded once, replaced with one warning where it can't be used."""

import json
import os
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf

import snt_ops
from snt_ops import library as library_module
from snt_ops import resampler as resampler_module
from snt_ops.build_info import build_info
from snt_ops.library import Library


@pytest.fixture
def broken(tmp_path):
    """A library that does not load."""
    file = tmp_path / "broken.so"
    file.write_bytes(b"no library")
    return file


def use(monkeypatch, library):
    monkeypatch.setattr(resampler_module, "library", library)
    monkeypatch.delenv(library_module.PATH_VARIABLE, raising=False)


def sample():
    data = tf.constant([[[[1.0], [3.0]]]])
    return resampler_module.resampler(data, tf.constant([[0.5, 0.0]])).numpy().item()


def test_a_broken_library_falls_back_with_one_warning(monkeypatch, broken):
    use(monkeypatch, Library(broken))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert sample() == 2.0
        assert sample() == 2.0
    (warning,) = (entry for entry in caught if entry.category is RuntimeWarning)
    assert "which is slower: the compiled op in" in str(warning.message)
    assert "pip install" in str(warning.message)
    assert not resampler_module.resampler_is_available()


def test_a_missing_library_falls_back(monkeypatch, tmp_path):
    use(monkeypatch, Library(tmp_path / "missing.so"))
    with pytest.warns(RuntimeWarning, match=r"there is no compiled op at .*missing\.so"):
        assert sample() == 2.0


def test_one_that_was_not_built_falls_back(monkeypatch):
    monkeypatch.delenv(library_module.LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(library_module, "find_file", lambda name: None)
    use(monkeypatch, Library())
    with pytest.warns(RuntimeWarning, match="no compiled op with this installation"):
        assert sample() == 2.0


def test_one_for_another_tensorflow_is_not_loaded(monkeypatch, broken):
    monkeypatch.delenv(library_module.LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(library_module, "find_file", lambda name: broken)
    monkeypatch.setattr(
        library_module, "build_info", lambda: snt_ops.BuildInfo(tensorflow="2.20.0")
    )
    use(monkeypatch, Library())
    with pytest.warns(RuntimeWarning, match=r"was built for TensorFlow 2\.20\.0, and this is 2\."):
        assert sample() == 2.0


def test_the_compiled_op_can_be_demanded(monkeypatch, broken):
    use(monkeypatch, Library(broken))
    monkeypatch.setenv(library_module.PATH_VARIABLE, "compiled")
    with pytest.raises(ImportError, match="SNT_RESAMPLER=compiled, but the compiled op in"):
        sample()


def test_the_composite_can_be_demanded(monkeypatch, broken):
    use(monkeypatch, Library(broken))
    monkeypatch.setenv(library_module.PATH_VARIABLE, "composite")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sample() == 2.0


def test_another_wish_is_an_error(monkeypatch):
    monkeypatch.setenv(library_module.PATH_VARIABLE, "fast")
    with pytest.raises(ValueError, match='should be "compiled", "composite" or empty'):
        sample()


def test_importing_the_package_imports_no_tensorflow():
    program = (
        "import sys, snt_ops; snt_ops.build_info(); "
        "assert not [name for name in sys.modules if name.startswith(('tensorflow', 'numpy'))]"
    )
    path = os.pathsep.join(sys.path)
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": path}
    )


def test_build_info_tells_what_was_built(monkeypatch, tmp_path):
    found = {
        "compiler": "GNU 12.2.0",
        "build_type": "Release",
        "processor": "x86_64",
        "simd": "baseline, AVX2",
        "tensorflow": "2.21.0",
        "tensorflow_cxx11_abi": "1",
        "cuda": "",
        "cuda_architectures": "",
    }
    monkeypatch.setattr(snt_ops, "__path__", [str(tmp_path)])
    assert build_info() == snt_ops.BuildInfo()
    (tmp_path / "build_info.json").write_text(json.dumps(found))
    info = build_info()
    assert info.simd == ("baseline", "AVX2")
    assert (info.tensorflow, info.tensorflow_cxx11_abi) == ("2.21.0", True)
    assert info.cuda is None
    assert info.cuda_architectures is None


THREADS = """
import hashlib, sys
import numpy as np, tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
from snt_ops.library import library
random = np.random.default_rng(0)
digest = hashlib.sha256()
for batch, size, channels in ((1, 60, 3), (3, 50, 1), (2, 40, 33)):
    data = random.standard_normal((batch, size, size, channels)).astype("f")
    warp = random.uniform(-2, size + 1, (batch, 40000, 2)).astype("f")
    grad = random.standard_normal((batch, 40000, channels)).astype("f")
    ops = library.ops()
    results = [ops.resampler(data, warp), *ops.resampler_grad(data, warp, grad)]
    for result in results:
        digest.update(result.numpy().tobytes())
print(digest.hexdigest())
"""


def test_the_bits_are_the_same_whatever_the_number_of_threads():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", THREADS]
    digests = {
        subprocess.run(
            [*command, str(threads)], env=environment, check=True, capture_output=True, text=True
        ).stdout
        for threads in (1, 4)
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_old_graphs_load():
    """A graph that another program wrote, with the ops by name and their one attribute."""
    assert library_module.library.ops() is not None
    graph_def = tf.compat.v1.GraphDef()
    for name, dtype in (("data", 1), ("warp", 1)):
        node = graph_def.node.add(name=name, op="Placeholder")
        node.attr["dtype"].type = dtype
    node = graph_def.node.add(name="samples", op="Resampler", input=["data", "warp"])
    node.attr["T"].type = 1
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        samples = graph.get_tensor_by_name("samples:0")
        feed = {"data:0": np.array([[[[1.0], [3.0]]]]), "warp:0": np.array([[0.5, 0.0]])}
        assert session.run(samples, feed) == [[2.0]]


def test_find_tensorflow(tmp_path):
    """The build finds TensorFlow by its folder, or fails where that holds none."""
    program = pathlib.Path(__file__).parents[1] / "cmake" / "find_tensorflow.py"

    def find(root):
        return subprocess.run(
            [sys.executable, program, str(root)], capture_output=True, text=True, check=False
        )

    found = find(pathlib.Path(tf.__file__).parent)
    assert found.stdout.strip().split(";")[1:] == [tf.__version__, "1"]
    missing = find(tmp_path)
    assert missing.returncode == 1
    assert "There is no libtensorflow_framework.so.2" in missing.stderr
