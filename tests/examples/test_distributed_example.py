"""`examples/distributed.py`: each way trains, survives the death of a process, and fails loudly.

The processes are real ones, on the loopback device.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

# Where a program finds the files beside it.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

import distributed
from digits import Digits
from distributed import Batches, Settings, Training, Way
from distributed_processes import ProgramError, free_addresses
from distributed_training import fetch

EXAMPLES = pathlib.Path(distributed.__file__).parent
STEPS, EVERY = 80, 20  # an epoch, and its checkpoints
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trains for an epoch, and returns the result and what was said."""

    def train(way: str, kill: tuple[str, int] | None = None, workers: int = 2) -> Any:
        folder = tmp_path_factory.mktemp(way)
        settings = Settings(way, 1, workers, 1, EVERY, str(folder))
        with distributed.console.capture() as capture, time_limit(500):
            result = Training(settings, kill).run(folder / "logs")
        return {**result, "said": capture.get(), "folder": folder}

    return train


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The training in one process, as a person starts it."""
    output = tmp_path_factory.mktemp("single")
    options = ["--epochs", "1", "--checkpoint-every", EVERY, "--output", output]
    command = [sys.executable, EXAMPLES / "distributed.py", "single", *options]
    finished = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=500
    )
    assert finished.returncode == 0, finished.stderr
    result = json.loads((output / "single" / "result.json").read_text())
    return {**result, "said": finished.stdout, "folder": output / "single"}


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Ends what waits for a process that hangs."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check_equal(found: dict[str, Any], single: dict[str, Any]) -> None:
    """The same curve from the first step to the last, and the same network in the end."""
    assert len(found["losses"]) == STEPS
    np.testing.assert_allclose(found["losses"], single["losses"], 1e-4)
    assert found["test_accuracy"] == pytest.approx(single["test_accuracy"], abs=0.0021)


class TestWays:
    def test_single(self, single: dict[str, Any]) -> None:
        losses = np.array(single["losses"])
        assert losses.shape == (STEPS,)
        assert losses[-10:].mean() < 0.4 * losses[:10].mean()
        # A tenth is chance.
        assert 0.8 < single["test_accuracy"] < 1
        said = float(re.search(r"^Test accuracy: (\S+)$", single["said"], re.M)[1])
        assert said == pytest.approx(single["test_accuracy"], abs=0.001)
        picture = (single["folder"] / "report.png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")

    def test_mirrored_is_single(self, run: Run, single: dict[str, Any]) -> None:
        check_equal(run("mirrored"), single)

    def test_multi_worker_is_single_whatever_dies(self, run: Run, single: dict[str, Any]) -> None:
        """From step 20 on some steps are done twice, and none is missed or done in another way."""
        found = run("multi_worker", kill=("worker:1", 25))
        assert "started again: worker:0, worker:1" in found["said"]
        assert "worker:0 goes on from step 20\n" in found["said"]
        check_equal(found, single)

    def test_parameter_server(self, run: Run) -> None:
        """A worker dies, and the others go on without a step back."""
        found = run("parameter_server", kill=("worker:1", 25))
        assert re.search(r"^worker:1 died .*; started again: worker:1$", found["said"], re.M)
        assert "goes on from" not in found["said"]
        check_trained(found)

    def test_one_worker_and_parameter_server_are_single(
        self, run: Run, single: dict[str, Any]
    ) -> None:
        found = run("parameter_server", kill=("ps:0", 25), workers=1)
        assert "started again: ps:0, worker:0, chief:0" in found["said"]
        assert "chief:0 goes on from step 20\n" in found["said"]
        check_equal(found, single)

    def test_sonnet1(self, run: Run) -> None:
        found = run("sonnet1", kill=("worker:1", 25))
        assert re.search(r"^worker:1 died .*; started again: worker:1$", found["said"], re.M)
        check_trained(found)

    def test_one_worker_of_sonnet1_is_single(self, run: Run, single: dict[str, Any]) -> None:
        found = run("sonnet1", kill=("worker:0", 25), workers=1)
        assert "started again: ps:0, ps:1, worker:0" in found["said"]
        assert "worker:0 goes on from step 20\n" in found["said"]
        check_equal(found, single)


def check_trained(found: dict[str, Any]) -> None:
    losses = np.array(found["losses"])
    assert losses.shape == (STEPS,)
    assert (losses > 0).all()  # none was left out
    assert losses[-10:].mean() < 0.4 * losses[:10].mean()
    assert found["test_accuracy"] > 0.8


def test_batches_are_all_digits_in_an_order_of_each_epoch() -> None:
    digits = Digits(np.zeros([200, 1, 1], np.float32), np.arange(200))
    batches, again = Batches(digits, seed=1), Batches(digits, seed=1)
    first, second = ([batches[i].labels for i in numbers] for numbers in (range(4), range(4, 8)))
    for epoch in (first, second):
        assert sorted(np.concatenate(epoch)) == list(range(200))
    assert np.any(first[0] != second[0])
    np.testing.assert_array_equal(again[6].labels, second[2])


class Value:
    """A value that is lost with its worker, and there when another one has computed it."""

    def __init__(self, mended: bool) -> None:
        self._mended, self._joined = mended, False

    def fetch(self) -> float:
        if not self._joined:
            raise tf.errors.UnavailableError(None, None, "socket closed")
        return 0.5

    def join(self) -> None:
        if not self._mended:
            raise tf.errors.InternalError(None, None, "on purpose")
        self._joined = True


def test_a_value_that_is_lost_with_its_worker_is_fetched_from_another() -> None:
    """The real case is in `test_parameter_server`, now and then."""
    value = Value(mended=True)
    assert fetch(value, value) == 0.5


def test_fetch_tells_why_no_worker_can_compute() -> None:
    value = Value(mended=False)
    with pytest.raises(tf.errors.InternalError, match="on purpose"):
        fetch(value, value)


# The processes, with programs that are over at once.


@pytest.fixture
def programs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Training]:
    """Returns trainings whose programs are given as text, by job."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def make(text: str, **way: Any) -> Training:
        (tmp_path / "one_program.py").write_text(
            "import json, os, pathlib, signal, sys, time\n"
            "from distributed_processes import report\n"
            "def main(arguments):\n"
            "    task = json.loads(os.environ['TF_CONFIG'])['task']\n"
            "    name = task['type'], task['index']\n"
            f"    folder = pathlib.Path({str(tmp_path)!r})\n"
            + "".join(f"    {line}\n" for line in text.splitlines())
        )
        way = {"jobs": {"worker": 2}, **way}
        monkeypatch.setitem(distributed.WAYS, "test", Way("one_program", **way))
        return Training(Settings("test", 1, 2, 1, EVERY, str(tmp_path)))

    return make


def test_an_error_of_a_program_is_told(programs: Any, tmp_path: pathlib.Path) -> None:
    training = programs(
        "if name == ('worker', 1):\n    raise ValueError('on purpose')\ntime.sleep(1000)"
    )
    with pytest.raises(ProgramError, match=r"worker:1 failed .*: ValueError: on purpose"):
        training.run(tmp_path / "logs")
    assert "Traceback" in (tmp_path / "logs" / "worker_1.log").read_text()


def test_who_dies_again_and_again_is_given_up(programs: Any, tmp_path: pathlib.Path) -> None:
    training = programs(
        "if name == ('worker', 0):\n"
        "    time.sleep(1000)\n"
        "(folder / f'life{time.time_ns()}').touch()\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        alone="worker",
    )
    with pytest.raises(ProgramError, match=r"worker:1 failed with status -9"):
        training.run(tmp_path / "logs")
    assert len(list(tmp_path.glob("life*"))) == distributed.MAX_RESTARTS + 1


def test_failure_that_another_death_caused_is_no_error(
    programs: Any, tmp_path: pathlib.Path
) -> None:
    """As in a collective job: one is killed, and the other loses its connection."""
    training = programs(
        "pid = folder / 'pid'\n"
        "if pid.exists():\n"
        "    report(result=1)\n"
        "elif name[1] == 1:\n"
        "    (folder / 'new').write_text(str(os.getpid()))\n"
        "    (folder / 'new').rename(folder / 'first')\n"
        "    time.sleep(1000)\n"
        "else:\n"
        "    while not (folder / 'first').exists():\n"
        "        time.sleep(0.01)\n"
        "    (folder / 'first').rename(pid)\n"
        "    os.kill(int(pid.read_text()), signal.SIGKILL)\n"
        "    raise OSError('lost connection')"
    )
    assert training.run(tmp_path / "logs") == {"result": 1}


def test_failure_after_another_was_started_again_is_no_error(
    programs: Any, tmp_path: pathlib.Path
) -> None:
    """The chief hears of the death only when the worker is there again."""
    training = programs(
        "class UnavailableError(Exception): ...\n"
        "if name[0] == 'worker':\n"
        "    life = len(list(folder.glob(f'life_{name[1]}_*')))\n"
        "    (folder / f'life_{name[1]}_{life}').touch()\n"
        "    if name[1] == 1 and life == 0:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    time.sleep(1000)\n"
        "elif (folder / 'lost').exists():\n"
        "    report(result=1)\n"
        "else:\n"
        "    while not (folder / 'life_1_1').exists():\n"
        "        time.sleep(0.01)\n"
        "    (folder / 'lost').touch()\n"
        "    raise UnavailableError('socket closed')",
        jobs={"worker": 2, "chief": 1},
        main="chief:0",
        alone="worker",
    )
    with distributed.console.capture() as capture:
        assert training.run(tmp_path / "logs") == {"result": 1}
    said = capture.get()
    assert re.search(r"^worker:1 died with status -9; started again: worker:1$", said, re.M)
    assert re.search(r"^chief:0 died .*; started again: worker:0, worker:1, chief:0$", said, re.M)


PARENT = """
import os, sys
from distributed_processes import Processes, Program
from pathlib import Path
with Processes(Path(sys.argv[1]) / "logs") as processes:
    processes.start("one", Program("child", sys.argv[1:], {}))
    for name, event in processes.events():
        print(event, flush=True)
"""
CHILD = """
import hashlib, time
from distributed_processes import report
def main(arguments):
    fifo = open(arguments[0] + "/fifo", "w")
    report(ready=True)
    while True:
        hashlib.sha256(bytes(1000))
"""


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_children_end_with_their_parent(how: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "parent.py").write_text(PARENT)
    os.mkfifo(tmp_path / "fifo")  # is at its end when nobody has it open for writing any more
    environment = {**os.environ, "PYTHONPATH": f"{EXAMPLES}{os.pathsep}{tmp_path}"}
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    fifo = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert b"ready" in parent.stdout.readline()
        assert select.select([fifo], [], [], 0) == ([], [], [])
        parent.send_signal(getattr(signal, how))
        assert select.select([fifo], [], [], 100)[0]
        assert os.read(fifo, 1) == b""
    finally:
        parent.kill()
        parent.communicate()
        os.close(fifo)


def test_a_free_address_is_kept_for_who_shares_it() -> None:
    with free_addresses(50) as addresses:
        assert len(set(addresses)) == 50
        host, _, port = addresses[0].partition(":")
        for shares in (False, True, True):
            with socket.socket() as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
                with contextlib.nullcontext() if shares else pytest.raises(OSError, match="in use"):
                    server.bind((host, int(port)))
                    server.listen()
                    socket.create_connection((host, int(port))).close()


def test_settings_survive_the_command_line() -> None:
    settings = Settings("single", 1, 2, 3, 4, "a 'folder'")
    assert Settings.read(settings.write()) == settings
