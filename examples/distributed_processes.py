"""Processes on this machine that are started, watched and ended together.

Started as a program, it runs `main(arguments)` of a module, and ends when its parent does:

    python examples/distributed_processes.py MODULE [ARGUMENT ...]
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_heard = threading.Semaphore(0)


def report(**values: Any) -> None:
    """Tells the parent something, in JSON's types, and waits until it has taken note."""
    print(json.dumps(values), file=_reports, flush=True)
    _heard.acquire()


def _run(module: str, arguments: list[str]) -> None:
    """Runs `main` of a module, and ends at once when the parent ends, in whatever way it does."""
    global _reports
    _reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is merely printed goes to the log
    threading.Thread(target=_listen, daemon=True).start()
    try:
        importlib.import_module(module).main(arguments)
    except Exception as error:
        traceback.print_exc()
        report(error=f"{type(error).__name__}: {error}"[:500])
        sys.exit(1)


def _listen() -> None:
    while os.read(0, 1):
        _heard.release()
    os._exit(1)  # nobody holds the other end of the pipe


class Program(NamedTuple):
    """A program to run in a process of its own.

    Attributes:
        module: The module whose `main` is called.
        arguments: Its arguments.
        environment: Environment variables to set.
    """

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]


class Ended(NamedTuple):
    """A process has ended; a negative status says by which signal."""

    status: int


class _Child(NamedTuple):
    process: subprocess.Popen
    listener: threading.Thread


class ProgramError(Exception):
    """A program failed."""


class Processes:
    """Processes by name. Leaving the context kills all that are still there.

    Args:
        logs: Folder for what each writes to its standard error.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, _Child] = {}
        self._errors: dict[str, str] = {}
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(*self._running)

    def start(self, name: str, program: Program) -> None:
        """Starts a program."""
        self._errors.pop(name, None)
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, __file__, program.module, *program.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **program.environment},
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the parent, which ends its children
            )
        listener = threading.Thread(target=self._listen, args=(name, process), daemon=True)
        self._running[name] = _Child(process, listener)
        listener.start()

    def _listen(self, name: str, process: subprocess.Popen) -> None:
        with process.stdout:
            for line in process.stdout:
                self._events.put((name, process, line))
        self._events.put((name, process, Ended(process.wait())))

    def events(self) -> Iterator[tuple[str, Any]]:
        """Gives the name of each process that reports something, and what, or `Ended`.

        A process that reports something waits until the next event is asked for.
        """
        while True:
            name, process, event = self._events.get()
            if name not in self._running or self._running[name].process is not process:
                continue  # it was killed by us, or another one has its place
            if isinstance(event, Ended):
                yield name, event
                continue
            values = json.loads(event)
            if "error" in values:
                self._errors[name] = values["error"]
            else:
                yield name, values
            with contextlib.suppress(BrokenPipeError):  # it has just ended; we shall hear of it
                process.stdin.write(b"\n")

    def kill(self, *names: str) -> None:
        """Kills processes without a chance to clean up, and forgets them."""
        children = [self._running.pop(name) for name in names]
        for child in children:
            child.process.kill()
        for child in children:
            child.listener.join()
            child.process.stdin.close()

    def shoot(self, name: str) -> None:
        """Kills a process behind the back of whoever watches it."""
        self._running[name].process.kill()

    def killed(self) -> list[str]:
        """Returns the names of those that a signal has ended."""
        return [name for name, child in self._running.items() if (child.process.poll() or 0) < 0]

    def lost_connection(self, name: str) -> bool:
        """Tells whether a program failed since it could not reach another process."""
        return self._errors.get(name, "").startswith(("UnavailableError", "AbortedError"))

    def failure(self, name: str, status: int) -> ProgramError:
        """Returns the error that says how a program failed."""
        said = self._errors.get(name, "it did not say why")
        return ProgramError(f"{name} failed with status {status}: {said}\nMore: {self._log(name)}")

    def _log(self, name: str) -> Path:
        return self._logs / f"{name.replace(':', '_')}.log"


@contextlib.contextmanager
def free_addresses(number: int) -> Iterator[list[str]]:
    """Gives addresses of the loopback device with free ports, and keeps them free of strangers.

    A socket is bound to each, and does not listen, so nothing arrives at it. Whoever asks for the
    port with SO_REUSEPORT, and runs as the same user, gets it, again and again.
    """
    with contextlib.ExitStack() as sockets:
        ports = []
        for _ in range(number):
            each = sockets.enter_context(socket.socket())
            if hasattr(socket, "SO_REUSEPORT"):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(("127.0.0.1", 0))
            ports.append(each.getsockname()[1])
        if not hasattr(socket, "SO_REUSEPORT"):
            sockets.close()
        yield [f"127.0.0.1:{port}" for port in ports]


if __name__ == "__main__":
    import distributed_processes  # this very file, under the name that others import it by

    distributed_processes._run(sys.argv[1], sys.argv[2:])
