"""The command that renames the variables of old checkpoints, run as a user runs it."""

import hashlib
import pathlib
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1

from snt_core import migrate_checkpoint

VALUES = {
    "net/w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "net/b:0": np.array([0.5], np.float64),
    "step:0": np.array(12, np.int64),
    "half": np.array([1.5, -2.0], ml_dtypes.bfloat16),
    "mask:0": np.array([True, False]),
    "vocabulary": np.array([b"a", b"", b"\xff"], dtype=object),
    "nothing": np.zeros((0, 4), np.float32),
}
MAPPING = {name: name.removesuffix(":0") for name in VALUES}


def write_checkpoint(prefix, values, **saver_kwargs):
    with tf.Graph().as_default(), tf1.Session() as session:
        variables = {}
        for name, value in values.items():
            dtype = tf.string if value.dtype == object else value.dtype
            variables[name] = tf1.Variable(tf.constant(value, dtype))
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(variables, **saver_kwargs)
        return saver.save(session, str(prefix), write_meta_graph=False)


def read_checkpoint(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def contents(directory):
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def migrate(source, target, *arguments):
    return migrate_checkpoint.main([f"--source={source}", "--target", str(target), *arguments])


@pytest.fixture
def source(tmp_path):
    return write_checkpoint(tmp_path / "old" / "model.ckpt-100", VALUES)


def test_values_and_types_are_kept_and_names_lose_the_ending(source, tmp_path):
    before = contents(tmp_path)
    target = tmp_path / "new" / "model.ckpt"
    assert migrate(source, target) == MAPPING
    migrated = read_checkpoint(target)
    assert migrated.keys() == set(MAPPING.values())
    for name, value in VALUES.items():
        new_value = np.asarray(migrated[MAPPING[name]])
        assert new_value.dtype == value.dtype
        np.testing.assert_array_equal(new_value, value)
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    assert tf.train.latest_checkpoint(str(target.parent)) == str(target)


def test_the_result_restores_into_a_graph(source, tmp_path):
    migrate(source, tmp_path / "new")
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("net/w", [2, 3])
        b = tf1.get_variable("net/b", [1], tf.float64)
        tf1.train.Saver().restore(session, str(tmp_path / "new"))
        np.testing.assert_array_equal(session.run(w), VALUES["net/w"])
        np.testing.assert_array_equal(session.run(b), VALUES["net/b:0"])


def test_partitioned_variables_come_out_whole(tmp_path):
    value = np.arange(10, dtype=np.float32).reshape(5, 2)

    def rows(shape, dtype, partition_info):
        first = partition_info.var_offset[0]
        return tf.constant(value[first : first + shape[0]], dtype)

    with tf.Graph().as_default(), tf1.Session() as session:
        partitioner = tf1.fixed_size_partitioner(3)
        tf1.get_variable("w", [5, 2], initializer=rows, partitioner=partitioner)
        session.run(tf1.global_variables_initializer())
        source = tf1.train.Saver().save(session, str(tmp_path / "parts"))
    assert migrate(source, tmp_path / "whole") == {"w": "w"}
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "whole")["w"], value)


def test_the_first_checkpoint_format_is_read(tmp_path):
    values = {"w:0": np.ones([2], np.float32)}
    write_checkpoint(tmp_path / "old", values, write_version=tf1.train.SaverDef.V1, sharded=True)
    assert migrate(tmp_path / "old", tmp_path / "new") == {"w:0": "w"}
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "new")["w"], values["w:0"])
    with pytest.raises(FileExistsError):
        migrate(tmp_path / "new", tmp_path / "old")


@pytest.mark.parametrize("flag", ["--dry_run", "--dry_run=true", "--dry_run=1"])
def test_dry_run_writes_nothing(source, tmp_path, flag):
    before = contents(tmp_path)
    assert migrate(source, tmp_path / "new" / "model", flag) == MAPPING
    assert contents(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_dry_run_can_be_false(source, tmp_path):
    migrate(source, tmp_path / "new", "--dry_run=false")
    assert (tmp_path / "new.index").exists()


def test_the_latest_checkpoint_of_a_directory_stays(source, tmp_path):
    target = pathlib.Path(source).parent / "migrated"
    migrate(source, target)
    assert target.with_suffix(".index").exists()
    assert tf.train.latest_checkpoint(str(target.parent)) == source


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--source, --target"),
        (["--source=a"], "--target"),
        (["--target=a"], "--source"),
        (["--source=a", "--target=b", "--dry_run=maybe"], "expected true or false"),
    ],
)
def test_bad_flags(arguments, words, capsys):
    with pytest.raises(SystemExit) as error:
        migrate_checkpoint.main(arguments)
    assert error.value.code == 2
    assert words in capsys.readouterr().err


def test_missing_source(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*missing"):
        migrate(tmp_path / "missing", tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        migrate(tmp_path, tmp_path / "new")
    assert not contents(tmp_path)


def test_source_as_target(source, tmp_path, monkeypatch):
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    for same in (source, "old/model.ckpt-100", f"{tmp_path}/old/../old/model.ckpt-100"):
        with pytest.raises(ValueError, match="same checkpoint"):
            migrate(source, same)
    assert contents(tmp_path) == before


def test_another_checkpoint_is_not_overwritten(source, tmp_path):
    other = write_checkpoint(tmp_path / "other", {"precious": np.ones([3])})
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=r"There is a checkpoint at .*other"):
        migrate(source, other)
    assert contents(tmp_path) == before


def test_two_names_for_one(tmp_path):
    source = write_checkpoint(tmp_path / "old", {"w": np.ones([2]), "w:0": np.zeros([2])})
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="Both 'w' and 'w:0' would be called 'w'"):
        migrate(source, tmp_path / "new")
    assert contents(tmp_path) == before


def test_damaged_source(source, tmp_path):
    data = pathlib.Path(f"{source}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-10])
    with pytest.raises(OSError, match=r"damaged: .* cannot be read"):
        migrate(source, tmp_path / "new")
    assert not list(tmp_path.glob("new*"))


def test_building_variables_from_changed_contents(source):
    def change(name, value):
        if name == "net/w":
            return "twice", 2 * value
        return (None, value) if name != "step:0" else ("step", value + 1)

    reader = tf.train.load_checkpoint(source)
    with tf.Graph().as_default(), tf1.Session() as session:
        variables, renamed = migrate_checkpoint.build_migrated_variables(reader, change)
        assert renamed == {"net/w": "twice", "step:0": "step"}
        assert all(isinstance(variable, tf.Variable) for variable in variables.values())
        session.run(tf1.global_variables_initializer())
        values = session.run(variables)
    np.testing.assert_array_equal(values["twice"], 2 * VALUES["net/w"])
    assert values["step"] == 13


def test_the_command(source, tmp_path):
    command = [sys.executable, "-m", "snt_core.migrate_checkpoint", "--source", source]
    target = f"--target={tmp_path / 'new'}"
    done = subprocess.run([*command, target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{old} -> {MAPPING[old]}" for old in sorted(MAPPING)]
    again = subprocess.run([*command, target], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "migrate_checkpoint: There is a checkpoint at" in again.stderr
    assert "Traceback" not in again.stderr
