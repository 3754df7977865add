"""The namespace `sonnet`: what it gives, what it says of what it cannot give, what it costs."""

import ast
import importlib
import pathlib
import pickle
import re
import subprocess
import sys
import threading

import pytest

import sonnet as snt
import sonnet.python

STUB = pathlib.Path(snt.__file__).with_suffix(".pyi")


def run_python(code, *path):
    """Runs a program in a fresh interpreter, with `path` before this interpreter's own."""
    setup = f"import sys; sys.path[:0] = {[*map(str, path), *sys.path]!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", setup + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A function that adds a package of one module, `thing`, and public names in it."""
    added = []

    def add(package, source, *names):
        added.append(package)
        if source is not None:
            folder = tmp_path / package
            folder.mkdir()
            (folder / "__init__.py").touch()
            (folder / "thing.py").write_text(source)
        for name in names:
            monkeypatch.setitem(snt._OWNERS, name, f"{package}.thing")

    monkeypatch.syspath_prepend(str(tmp_path))
    yield add
    for name in set(vars(snt)) & {"Works", "Broken", "Missing"}:
        delattr(snt, name)
    for package in added:
        sys.modules.pop(package, None)
        sys.modules.pop(f"{package}.thing", None)


# --- What is there ----------------------------------------------------------------------------


def test_importing_sonnet_imports_nothing_big():
    loaded = run_python(
        "before = set(sys.modules); import sonnet\nprint(*(set(sys.modules) - before))"
    )
    packages = {name.partition(".")[0] for name in loaded.split()}
    assert packages <= {"sonnet", "__future__", "importlib", "types", "warnings", "os"}


def test_the_table_has_every_line_of_the_stub():
    """The namespace reads the stub with a simpler eye than Python's parser."""
    imports = [
        node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    for node in imports:
        assert [alias.name for alias in node.names] == [alias.asname for alias in node.names]
    owners = {node.names[0].name: node.module for node in imports if node.level == 0}
    assert owners == snt._OWNERS
    assert len(owners) > 50


@pytest.mark.parametrize("name", sorted(snt._OWNERS))
def test_every_name_is_what_its_owner_has(name):
    value = getattr(snt, name)
    owner = importlib.import_module(snt._OWNERS[name])
    assert value is getattr(owner, name)
    assert vars(snt)[name] is value


def test_dir_and_star_give_every_name_where_all_is_installed():
    assert set(dir(snt)) == {*snt._OWNERS, "python", "__version__"}
    namespace = {}
    exec("from sonnet import *", namespace)
    assert namespace.keys() - {"__builtins__"} == snt._OWNERS.keys()
    assert namespace["AbstractModule"] is snt.AbstractModule


def test_submodules():
    assert snt.experimental.reuse_vars is snt.reuse_variables
    assert snt.nets.MLP is importlib.import_module("snt_nets.nets.mlp").MLP
    assert snt.python is sonnet.python


def test_version_parses_and_goes_on_from_sonnet_1():
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", snt.__version__)
    assert found[1] == "1"
    assert int(found[2]) >= 37


def test_reloading_changes_no_object():
    linear, table = snt.Linear, dict(snt._OWNERS)
    finders = len(sys.meta_path)
    try:
        importlib.reload(snt)
        assert snt.Linear is linear
        assert table == snt._OWNERS
        assert snt.python is sys.modules["sonnet.python"]
    finally:
        del sys.meta_path[finders:]


def test_classes_pickle_by_their_real_place():
    assert pickle.loads(pickle.dumps(snt.NotConnectedError)) is snt.NotConnectedError
    assert b"snt_core.errors" in pickle.dumps(snt.NotConnectedError)


def test_threads_that_ask_at_once_get_one_object(packages):
    packages("snt_slow", "import time; time.sleep(0.05)\nclass Works: pass", "Works")
    barrier = threading.Barrier(8)
    found = []

    def fetch():
        barrier.wait()
        found.append(snt.Works)

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


# --- What is not ------------------------------------------------------------------------------


def test_a_name_of_a_missing_package_says_how_to_install_it(packages):
    packages("snt_extra", None, "Missing")
    with pytest.raises(AttributeError, match="provided by snt-extra, which is not ins") as caught:
        _ = snt.Missing
    assert "pip install snt-extra" in str(caught.value)
    assert "pip install ./packages/snt-extra" in str(caught.value)
    with pytest.raises(ImportError, match="pip install snt-extra"):
        from sonnet import Missing  # noqa: F401
    assert not hasattr(snt, "Missing")
    assert "Missing" not in dir(snt)
    assert "Missing" not in snt.__all__
    assert snt.Linear


def test_a_name_of_a_package_that_lacks_another_one_says_which(packages):
    packages("snt_needy", "import snt_extra.layers\nclass Missing: pass", "Missing")
    with pytest.raises(AttributeError, match="provided by snt-needy, which needs snt-extra") as e:
        _ = snt.Missing
    assert "snt-extra, which is not installed. Install it by `pip install snt-extra`" in str(
        e.value
    )
    assert "pip install ./packages/snt-extra" in str(e.value)
    with pytest.raises(ImportError, match="pip install snt-extra"):
        from sonnet import Missing  # noqa: F401
    assert "Missing" not in dir(snt)


def test_recurrent_cores_without_the_layers():
    """Whichever of the two packages is missing, a core says so, and RNNCore is no layer."""
    program = """
class Hider:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == {hidden!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name.partition(".")[0])

sys.meta_path.insert(0, Hider)
import sonnet as snt
try:
    snt.LSTM
except AttributeError as error:
    print(error)
print(hasattr(snt, "RNNCore"))
"""
    without_nets = run_python(program.format(hidden="snt_nets"))
    assert "LSTM is provided by snt-rnn, which needs snt-nets, which is not inst" in without_nets
    assert "pip install snt-nets" in without_nets
    assert without_nets.endswith("True\n")
    without_rnn = run_python(program.format(hidden="snt_rnn"))
    assert "LSTM is provided by snt-rnn, which is not installed. Install it by" in without_rnn
    assert "pip install snt-rnn" in without_rnn
    assert without_rnn.endswith("False\n")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise OSError('libthing.so: undefined symbol')", "OSError: libthing.so: undefined"),
        ("import not_there_at_all", "No module named 'not_there_at_all'"),
        ("", "has no attribute 'Broken'"),
    ],
)
def test_a_broken_package_costs_its_own_names_only(packages, source, words):
    packages("snt_broken", source, "Broken")
    packages("snt_works", "Works = 1", "Works")
    with pytest.raises(AttributeError, match="snt-broken, which is installed but") as caught:
        _ = snt.Broken
    assert words in str(caught.value)
    assert str(caught.value.__cause__) in str(caught.value)
    with pytest.raises(ImportError, match="snt-broken"):
        from sonnet import Broken  # noqa: F401
    assert snt.Works == 1
    assert "Works" in dir(snt)
    assert "Broken" not in dir(snt)
    namespace = {}
    exec("from sonnet import *", namespace)
    assert namespace["Works"] == 1
    assert "Broken" not in namespace


def test_what_was_broken_is_tried_again(packages, tmp_path):
    packages("snt_broken", "raise OSError", "Broken")
    assert not hasattr(snt, "Broken")
    (tmp_path / "snt_broken" / "thing.py").write_text("Broken = 'mended, and of another length'")
    importlib.invalidate_caches()
    assert snt.Broken.startswith("mended")


def test_an_unknown_name_is_an_ordinary_attribute_error():
    with pytest.raises(AttributeError, match=r"no attribute 'Linaer'. Did you mean: Linear"):
        _ = snt.Linaer
    with pytest.raises(AttributeError, match=r"no attribute 'qqqqqq'$"):
        _ = snt.qqqqqq
    with pytest.raises(ImportError, match="cannot import name 'Linaer'"):
        from sonnet import Linaer  # noqa: F401
    assert not hasattr(snt, "__wrapped__")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("sonnet.nothing")


# --- Old paths --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(sonnet.python._SOURCES))
def test_every_old_path_imports_and_is_reached_by_attributes_too(path):
    module = importlib.import_module(path)
    assert module.__name__ == path
    parent, _, name = path.rpartition(".")
    by_attribute = getattr(importlib.import_module(parent), name)
    # `custom_getters.override_args` is the function there, as it was in Sonnet 1.
    assert by_attribute is module or getattr(snt.custom_getters, name, by_attribute) is by_attribute
    for source in module._sources:
        public = [attribute for attribute in vars(source) if not attribute.startswith("_")]
        assert set(public) <= set(dir(module))


@pytest.mark.parametrize(
    ("path", "name", "owner"),
    [
        ("modules.base", "AbstractModule", "snt_core.module"),
        ("modules.base", "Module", "snt_core.function_module"),
        ("modules.base", "Transposable", "snt_core.transposable"),
        ("modules.base", "NotConnectedError", "snt_core.errors"),
        ("modules.base", "get_connection_stack", "snt_core.connections"),
        ("modules.base", "get_module_stack", "snt_core.scoping"),
        ("modules.base_errors", "ModuleInfoError", "snt_core.errors"),
        ("modules.base_info", "ConnectedSubGraph", "snt_core.connections"),
        ("modules.base_info", "SONNET_COLLECTION_NAME", "snt_core.connections"),
        ("modules.base_info", "_MissingTensor", "snt_core.meta_graph"),
        ("modules.basic", "Linear", "snt_nets.linear"),
        ("modules.basic", "BatchFlatten", "snt_nets.reshape"),
        ("modules.basic", "merge_leading_dims", "snt_nets.batch_apply"),
        ("modules.nets", "MLP", "snt_nets.nets.mlp"),
        ("modules.nets.mlp", "MLP", "snt_nets.nets.mlp"),
        ("modules.basic_rnn", "BidirectionalRNN", "snt_rnn.bidirectional"),
        ("modules.basic_rnn", "DeepRNN", "snt_rnn.deep"),
        ("modules.basic_rnn", "ModelRNN", "snt_rnn.model_rnn"),
        ("modules.basic_rnn", "VanillaRNN", "snt_rnn.vanilla"),
        ("modules.gated_rnn", "BatchNormLSTM", "snt_rnn.batch_norm_lstm"),
        ("modules.gated_rnn", "Conv1DLSTM", "snt_rnn.conv_lstm"),
        ("modules.gated_rnn", "Conv2DLSTM", "snt_rnn.conv_lstm"),
        ("modules.gated_rnn", "ConvLSTM", "snt_rnn.conv_lstm"),
        ("modules.gated_rnn", "GRU", "snt_rnn.gru"),
        ("modules.gated_rnn", "HighwayCore", "snt_rnn.highway"),
        (
            "modules.gated_rnn",
            "highway_core_with_recurrent_dropout",
            "snt_rnn.recurrent_dropout",
        ),
        ("modules.gated_rnn", "LSTM", "snt_rnn.lstm"),
        ("modules.gated_rnn", "LSTMBlockCell", "snt_rnn.lstm_block_cell"),
        ("modules.gated_rnn", "LSTMState", "snt_rnn.lstm"),
        ("modules.gated_rnn", "lstm_with_recurrent_dropout", "snt_rnn.recurrent_dropout"),
        ("modules.gated_rnn", "lstm_with_zoneout", "snt_rnn.zoneout"),
        ("modules.pondering_rnn", "ACTCore", "snt_rnn.act"),
        ("modules.relational_memory", "RelationalMemory", "snt_rnn.relational_memory"),
        ("modules.residual", "Residual", "snt_nets.residual"),
        ("modules.residual", "ResidualCore", "snt_rnn.skip"),
        ("modules.residual", "SkipConnectionCore", "snt_rnn.skip"),
        ("modules.rnn_core", "RNNCellWrapper", "snt_rnn.cell_wrapper"),
        ("modules.rnn_core", "RNNCore", "snt_core.recurrent"),
        ("modules.rnn_core", "trainable_initial_state", "snt_core.recurrent"),
        ("modules.rnn_core", "TrainableInitialState", "snt_rnn.trainable_initial_state"),
        ("modules.util", "SUPPORTED", "snt_core.introspection"),
        ("modules.util", "_get_sliced_variables", "snt_core.variables"),
        ("modules.util", "_is_scope_prefix", "snt_core.variables"),
        ("modules.util", "_num_bytes_to_human_readable", "snt_core.reporting"),
        ("modules.util", "check_initializers", "snt_core.checks"),
        ("modules.util", "convert_gradient_to_tensor", "snt_core.variables"),
        ("modules.util", "custom_getter_router", "snt_core.custom_getters.router"),
        ("modules.util", "deprecation_warning", "snt_core.deprecation"),
        ("modules.util", "get_variable_scope_name", "snt_core.variables"),
        ("modules.util", "name_for_callable", "snt_core.naming"),
        ("modules.util", "notify_about_new_variables", "snt_core.variables"),
        ("modules.util", "reuse_variables", "snt_core.reuse"),
        ("modules.util", "sort_by_name", "snt_core.variables"),
        ("modules.util", "to_snake_case", "snt_core.naming"),
        ("ops.initializers", "restore_initializer", "snt_core.initializers"),
        ("ops.nest", "flatten", "snt_core.nest"),
        ("custom_getters", "Context", "snt_core.custom_getters.context"),
        ("custom_getters.context", "Context", "snt_core.custom_getters.context"),
        ("custom_getters.override_args", "override_args", "snt_core.custom_getters.overrides"),
        ("custom_getters.stop_gradient", "stop_gradient", "snt_core.custom_getters.training"),
        (
            "custom_getters.bayes_by_backprop",
            "bayes_by_backprop_getter",
            "snt_core.custom_getters.bayes_by_backprop",
        ),
    ],
)
def test_old_paths_give_the_same_objects(path, name, owner):
    expected = getattr(importlib.import_module(owner), name)
    assert getattr(importlib.import_module(f"sonnet.python.{path}"), name) is expected


def test_all_ways_to_write_an_old_import():
    program = """
import sonnet as snt
import sonnet.python.custom_getters.override_args
import sonnet.python.modules.util as util
from sonnet.python.custom_getters.override_args import override_args
from sonnet.python.modules import base_errors, util as again
from sonnet.python.modules.base_errors import *
from sonnet.python.modules.nets.mlp import MLP
"""
    names = {}
    exec(program, names)
    assert names["util"] is names["again"] is snt.python.modules.util
    assert names["base_errors"].Error is names["Error"] is snt.Error
    assert names["MLP"] is snt.nets.MLP
    override_args = snt.custom_getters.override_args
    assert names["override_args"] is override_args
    assert names["sonnet"].python.custom_getters.override_args is override_args


def test_old_paths_are_reached_without_importing_them_first():
    run_python(
        "import sonnet as snt\nassert snt.python.modules.base_errors.Error is snt.Error",
    )


def test_pickles_of_sonnet_1_find_their_classes():
    assert pickle.loads(b"csonnet.python.modules.base\nNotConnectedError\n.") is (
        snt.NotConnectedError
    )


def test_an_old_path_can_be_patched(monkeypatch):
    util = snt.python.modules.util
    with monkeypatch.context() as patch:
        patch.setattr(util, "supports_kwargs", None)
        assert util.supports_kwargs is None
    assert util.supports_kwargs is snt.supports_kwargs


def test_what_an_old_path_lacks():
    with pytest.raises(AttributeError, match=r"'sonnet.python.modules.base' has no attribute 'x'"):
        _ = snt.python.modules.base.x
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("sonnet.python.modules.flags")
    with pytest.raises(AttributeError, match=r"sonnet.python' has no attribute 'flags'"):
        _ = snt.python.flags


def test_an_old_path_of_a_missing_package_says_how_to_install_it(monkeypatch):
    path = "sonnet.python.modules.resampler"
    monkeypatch.setitem(sonnet.python._SOURCES, path, ("snt_extra.thing",))
    with pytest.raises(ImportError, match="pip install snt-extra"):
        importlib.import_module(path)


def test_an_old_path_of_two_packages_works_with_the_first_one(monkeypatch):
    path = "sonnet.python.modules.mixed"
    monkeypatch.setitem(sonnet.python._SOURCES, path, ("snt_nets.residual", "snt_extra.thing"))
    module = importlib.import_module(path)
    try:
        assert module.Residual is snt.Residual
        with pytest.raises(
            AttributeError, match="no attribute 'ResidualCore'.*snt-extra, which is"
        ):
            _ = module.ResidualCore
        assert "Residual" in dir(module)
    finally:
        del sys.modules[path]
        delattr(sonnet.python.modules, "mixed")
    monkeypatch.setitem(sonnet.python._SOURCES, path, ("snt_extra.thing", "snt_nets.residual"))
    with pytest.raises(ImportError, match="pip install snt-extra"):
        importlib.import_module(path)
    monkeypatch.setitem(sonnet.python._SOURCES, path, ("snt_nets.residual", "snt_nets.absent"))
    with pytest.raises(ImportError, match="snt-nets, which is installed but"):
        importlib.import_module(path)
