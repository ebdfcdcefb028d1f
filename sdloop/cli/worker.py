"""``sdloop worker``: control the processes that keep models loaded for the next calls."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from sdloop.cli.options.groups import option
from sdloop.cli.terminal.commands import App
from sdloop.cli.terminal.output import emit, say
from sdloop.errors import SdloopError, SettingError
from sdloop.worker.messages import Ask, BadMessage, Status
from sdloop.worker.options import KEEP_ALIVE, seconds
from sdloop.worker.place import folder, identity
from sdloop.worker.reach import connected

worker = App(no_args_is_help=True)

_STOPPING = 30.0  # seconds


@worker.callback()
def _worker() -> None:
    """Control the process that keeps a model loaded.

    It is a background process that later calls of sdloop use. The flag --worker of the commands
    that make pictures decides whether they use it.

    Example:
      sdloop worker status
    """


@worker.command()
def status() -> None:
    """Print what your workers are doing.

    The exit code is 1 if there are none.
    """
    found = _workers()
    for _, state in found:
        emit(_sentence(state))
    if not found:
        say("no worker is running")
        raise typer.Exit(1)


@worker.command()
def start(
    keep_alive: Annotated[
        str | None,
        option(
            "Options",
            "How long the worker stays after its last call: 90s, 5m, 2h; -1 is for ever.",
            "--keep-alive",
            metavar="TIME",
        ),
    ] = None,
) -> None:
    """Start a worker now, so that the next call finds it ready.

    Example:
      sdloop worker start --keep-alive 1h
    """
    stay = keep_alive or os.environ.get("SDLOOP_KEEP_ALIVE")
    stays = KEEP_ALIVE if stay is None else seconds(stay)
    if stays is None or stays == 0:
        raise SettingError(f"keep_alive must be like 90s, 5m, 2h or -1, got {stay!r}")
    path = _home() / identity(os.environ)
    from sdloop.worker.start import started

    if not started(path, stays) and _ask(path, "status") is None:
        raise SdloopError("the worker did not start")
    state = _ask(path, "status")
    if state is not None:
        emit(_sentence(state))


@worker.command()
def stop() -> None:
    """Stop all your workers and free their memory.

    A call that is running is finished first.
    """
    found = _workers()
    for path, _ in found:
        _ask(path, "stop")
    deadline = time.monotonic() + _STOPPING
    for path, state in found:
        while path.exists() and not state.busy and time.monotonic() < deadline:
            time.sleep(0.02)
        after = " after its current call" if state.busy else ""
        emit(f"stopped worker {state.pid}{after}")
    if not found:
        say("no worker is running")


def _home() -> Path:
    home = folder()
    if home is None:
        raise SdloopError("workers need a private folder for sockets, which this system lacks")
    return home


def _workers() -> list[tuple[Path, Status]]:
    """All workers that answer; removes the sockets of killed ones."""
    found = []
    for path in sorted(_home().iterdir()):
        if not path.is_socket():
            continue
        state = _ask(path, "status")
        if state is not None:
            found.append((path, state))
        elif connected(path) is None:
            path.unlink(missing_ok=True)
    return found


def _ask(path: Path, what: str) -> Status | None:
    line = connected(path)
    if line is None:
        return None
    try:
        line.send(Ask(what=what))
        answer = line.receive()
    except (OSError, BadMessage):
        return None
    finally:
        line.close()
    return answer if isinstance(answer, Status) else None


def _sentence(state: Status) -> str:
    model = f"keeps {state.model}" if state.model else "has no model yet"
    now = f"busy, {state.waiting} waiting" if state.busy else f"idle for {state.idle_seconds:.0f} s"
    left = state.keep_alive - state.idle_seconds
    leaves = "" if state.busy or state.keep_alive < 0 else f", leaves in {max(left, 0):.0f} s"
    return f"worker {state.pid}: {model}, {state.calls} calls, {now}{leaves}"
