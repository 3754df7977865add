"""Checks one environment: what is said to be installed there works, the rest says what is wrong.

The nox session `subsets` installs packages in turn and runs this file in between. SNT_EXPECTED
lists what the environment has, for example `snt-core snt-nets:old`; a package is there and works,
or is there and `old` (its version is not that of snt-core), `broken` (it raises OSError when it is
imported) or `alone` (there is no TensorFlow).
"""

import importlib
import importlib.metadata
import importlib.util
import os
import pathlib

import pytest

PACKAGES = ("snt-core", "snt-nets", "snt-rnn", "snt-ops")
# Package -> its state, where it is installed.
STATES = {
    package: state or "works"
    for package, _, state in (
        word.partition(":") for word in os.environ.get("SNT_EXPECTED", "").split()
    )
}
# State of a package, None if it is missing -> words of the error for each of its names.
WORDS = {
    None: "which is not installed",
    "old": "does not fit snt-core",
    "broken": "OSError: broken on purpose",
    "alone": "TensorFlow is not installed",
}

needs_core = pytest.mark.skipif("snt-core" not in STATES, reason="the namespace is in snt-core")


def names():
    """Returns name -> state of its package, for all public names."""
    import sonnet

    return {
        name: STATES.get(module.partition(".")[0].replace("_", "-"))
        for name, module in sonnet._OWNERS.items()
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_is_installed_or_not(package):
    module = package.replace("-", "_")
    if package not in STATES:
        assert importlib.util.find_spec(module) is None
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(package)
        return
    folder = pathlib.Path(importlib.util.find_spec(module).origin).parent
    assert "site-packages" in folder.parts
    assert (folder / "py.typed").exists()
    if package != "snt-ops":
        same = importlib.metadata.version(package) == importlib.metadata.version("snt-core")
        assert same == (STATES[package] != "old")
    if STATES[package] == "works":
        importlib.import_module(module)


def test_tensorflow_is_there_where_snt_core_brings_it():
    wanted = STATES.get("snt-core") == "works"
    assert (importlib.util.find_spec("tensorflow") is not None) == wanted
    if "snt-core" not in STATES:
        assert importlib.util.find_spec("sonnet") is None


@needs_core
def test_every_name_is_there_or_says_why_not():
    import sonnet as snt

    for name, state in names().items():
        if state == "works":
            assert getattr(snt, name) is not None
            continue
        with pytest.raises(AttributeError, match=WORDS[state]):
            getattr(snt, name)
        with pytest.raises(ImportError, match=WORDS[state]):
            exec(f"from sonnet import {name}", {})


@needs_core
def test_dir_and_star_list_what_works():
    import sonnet as snt

    working = {name for name, state in names().items() if state == "works"}
    assert set(dir(snt)) - {"python", "__version__"} == working
    namespace = {}
    exec("from sonnet import *", namespace)
    assert namespace.keys() - {"__builtins__"} == working


@needs_core
def test_the_version_is_that_of_snt_core():
    import sonnet as snt

    assert snt.__version__ == importlib.metadata.version("snt-core")
    assert snt.__version__.startswith("1.")


@needs_core
@pytest.mark.parametrize("package", ["snt-nets", "snt-rnn"])
def test_importing_a_package_itself(package):
    state = STATES.get(package)
    if state == "works":
        importlib.import_module(package.replace("-", "_"))
        return
    expected = {None: ImportError, "old": ImportError, "broken": OSError}[state]
    with pytest.raises(expected):
        importlib.import_module(package.replace("-", "_"))


@pytest.mark.skipif(STATES.get("snt-core") != "works", reason="needs snt-core and TensorFlow")
def test_a_program():
    import tensorflow as tf

    import sonnet as snt

    double = snt.Module(lambda x: 2.0 * x, name="double")
    assert double(tf.constant(3.0)).numpy() == 6.0
    if STATES.get("snt-nets") == "works":
        mlp = snt.nets.MLP([5, 2])
        assert mlp(tf.zeros([3, 4])).shape == [3, 2]
        assert len(mlp.trainable_variables) == 4


@needs_core
def test_old_paths():
    if STATES["snt-core"] == "works":
        util = importlib.import_module("sonnet.python.modules.util")
        assert util.to_snake_case("MyModule") == "my_module"
    if STATES.get("snt-nets") != "works":
        with pytest.raises(ImportError, match=WORDS[STATES.get("snt-nets")]):
            importlib.import_module("sonnet.python.modules.basic")
        return
    residual = importlib.import_module("sonnet.python.modules.residual")
    assert residual.Residual.__module__ == "snt_nets.residual"
    if STATES.get("snt-rnn") == "works":
        assert residual.ResidualCore.__module__ == "snt_rnn.skip"
        return
    with pytest.raises(AttributeError, match=WORDS[STATES.get("snt-rnn")]):
        _ = residual.ResidualCore
    with pytest.raises(ImportError, match=WORDS[STATES.get("snt-rnn")]):
        importlib.import_module("sonnet.python.modules.gated_rnn")
