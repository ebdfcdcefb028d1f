"""Run a call as if in the client's process: with its streams, folder, environment and umask."""

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sdloop.errors import INTERRUPTED
from sdloop.worker.inside import HOST, Host
from sdloop.worker.messages import Call
from sdloop.worker.place import PACKAGE

_STREAMS = ("stdin", "stdout", "stderr")


def run(call: Call, descriptors: Sequence[int], host: Host, stopped: Callable[[], bool]) -> int:
    """Run a command line as if in the client's process, and return its exit code.

    ``stopped`` says whether the client cancelled the call before signals were handled.
    """
    with _client(call, descriptors), _heard_by(host):
        return _command(call.argv, stopped)


def _command(argv: Sequence[str], stopped: Callable[[], bool]) -> int:
    from sdloop.cli import main

    sys.argv = ["sdloop", *argv]
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if stopped():
            return INTERRUPTED
        main()
    except SystemExit as ending:
        return _code(ending)
    except KeyboardInterrupt:  # before the command line could handle it itself
        return INTERRUPTED
    except BaseException:
        # The outermost frame of what the client sees as its process: ends as Python would.
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        ignore_signals()
    return 0


def _code(ending: SystemExit) -> int:
    if isinstance(ending.code, str):
        print(ending.code, file=sys.stderr)
        return 1
    return 0 if ending.code is None else int(ending.code)


@contextmanager
def _heard_by(host: Host) -> Iterator[None]:
    token = HOST.set(host)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        HOST.reset(token)


@contextmanager
def _client(call: Call, descriptors: Sequence[int]) -> Iterator[None]:
    """Take on the client's folder, environment and streams. Safe: one call runs at a time."""
    before, argv, modules = dict(os.environ), sys.argv, set(sys.modules)
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.fchdir(descriptors[3])
    os.umask(call.umask)
    os.environ.clear()
    os.environ.update(call.environment)
    with _new_streams():
        try:
            yield
        finally:
            sys.argv = argv
            _forget_modules(set(sys.modules) - modules)
            os.environ.clear()
            os.environ.update(before)
            os.umask(0o077)
            os.chdir("/")


def _forget_modules(names: set[str]) -> None:
    """Forget modules imported from the client's own files, which may change until the next call.

    Installed packages stay, wherever they are installed: torch cannot be imported twice.
    """
    for name in names:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and not _is_installed(Path(file)):
            del sys.modules[name]


def _is_installed(file: Path) -> bool:
    """Whether a module belongs to Python, to sdloop or to a folder of installed packages."""
    if not {"site-packages", "dist-packages"}.isdisjoint(file.parts):
        return True
    return any(file.is_relative_to(home) for home in (sys.prefix, sys.base_prefix, PACKAGE))


@contextmanager
def _new_streams() -> Iterator[None]:
    """New ``sys.stdin``, ``stdout`` and ``stderr``: the old ones keep state of the last client."""
    before = {name: getattr(sys, name) for name in _STREAMS}
    for number, name in enumerate(_STREAMS):
        setattr(sys, name, _stream(number))
    try:
        yield
    finally:
        for number, (name, old) in enumerate(before.items()):
            _give_up(getattr(sys, name), number)
            setattr(sys, name, old)


def _stream(number: int) -> io.TextIOWrapper:
    """A stream as Python opens it at its start: stderr escapes what it cannot encode."""
    original = sys.__stderr__ if number == 2 else sys.__stdout__
    encoding = "utf-8" if original is None else original.encoding
    terminal = os.isatty(number)
    raw = open(number, "rb" if number == 0 else "wb", closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(
        raw,
        encoding=encoding,
        errors="backslashreplace" if number == 2 else "surrogateescape",
        line_buffering=terminal or number == 2,
    )


def _give_up(stream: io.TextIOWrapper, number: int) -> None:
    """Flush and detach the client's stream; the client may have disconnected."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    with suppress(OSError, ValueError):
        stream.flush()
    os.dup2(nowhere, number)
    os.close(nowhere)
    with suppress(OSError, ValueError):
        stream.detach()


def ignore_signals() -> None:
    """Ignore signals: they came too late for the call that they were meant for."""
    while True:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, _ignore)
        except KeyboardInterrupt:
            continue
        return


def _ignore(*_: object) -> None: ...
