"""The process behind ``Nursery``: it imports everything once, and forks for whoever asks.

``forking.py LISTENER LOCK``: each of pytest's workers that connects gets a fork of its own, which
forks the children that it asks for. When the last has gone, the process ends.
"""

import atexit
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.kept import UNCHANGED, keep

_STREAMS = 3


def main(listener: socket.socket, lock: Path) -> None:
    connecting = lock.open("w")  # whoever connects holds it
    _import_all()
    clients: set[int] = set()
    while True:
        if _connects(listener, 0.5):
            line, _ = listener.accept()
            clients.add(_fork(lambda line=line: _serve(line)))
            line.close()
        clients = {pid for pid in clients if os.waitpid(pid, os.WNOHANG)[0] == 0}
        if not clients:
            fcntl.flock(connecting, fcntl.LOCK_EX)
            if not _connects(listener, 0):
                break
            fcntl.flock(connecting, fcntl.LOCK_UN)
    listener.close()


def _connects(listener: socket.socket, seconds: float) -> bool:
    return bool(select.select([listener], [], [], seconds)[0])


def _import_all() -> None:
    """Import what a child would, also what a command imports only when it needs it."""
    import sdloop.cli.make.batch_run
    import sdloop.pipeline.generate  # noqa: F401
    from sdloop.models.checkpoint.find import MINI
    from sdloop.worker.inside import HOST, Host

    HOST.set(Host(load=keep))
    _load(MINI)
    _run_once()
    gc.freeze()


def _run_once() -> None:
    from typer.testing import CliRunner

    from sdloop.cli import app

    with tempfile.TemporaryDirectory() as folder:
        command = ["txt2img", "a frog", "--seed", "1", "--steps", "1", "--outdir", folder]
        made = CliRunner().invoke(app, command)
    assert made.exit_code == 0, made.output


def _fork(work: Callable[[], int]) -> int:
    """The number of a child that does ``work`` and ends with its exit code, whatever happens."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:  # it must not go on as its parent
        os._exit(code)


def _serve(line: socket.socket) -> int:
    with line.makefile("rb", buffering=0) as requests:
        while asked := requests.readline():
            line.sendall(json.dumps(_answer(json.loads(asked), line)).encode() + b"\n")
    return 0


def _answer(request: dict[str, Any], line: socket.socket) -> Any:
    if "keep" in request:
        _load(Path(request["keep"]))
        return True
    if "wait" in request:
        return os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
    _, descriptors, _, _ = socket.recv_fds(line, 1, _STREAMS)
    child = _fork(lambda: _be_child(request, descriptors))
    for descriptor in descriptors:
        os.close(descriptor)
    return child


def _load(model: Path) -> None:
    """Into the memory that the children share."""
    from sdloop.batch.command_settings import CommandSettings
    from sdloop.cli.make.model import loaded
    from sdloop.models.checkpoint.find import find_checkpoint

    UNCHANGED.add(model)
    loaded(find_checkpoint(str(model)), CommandSettings())


def _be_child(request: dict[str, Any], descriptors: list[int]) -> int:
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]  # as -m has it, and PYTHONPATH is the child's
    sys.path.remove(str(Path(__file__).parents[1]))
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    atexit._clear()
    try:
        return _run(request)
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()


def _run(request: dict[str, Any]) -> int:
    sys.argv = [request.get("script", "sdloop"), *request["run"]]
    try:
        if "script" in request:
            sys.path[0] = str(Path(request["script"]).parent)
            runpy.run_path(request["script"], run_name="__main__")
        else:
            from sdloop.__main__ import main as sdloop

            sdloop()
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
