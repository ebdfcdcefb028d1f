"""Run a plan in one process per GPU; the processes share the work through claims.

The processes are forked before anything heavy is imported, and inherit the plan: so all have the
same random seeds, and each imports torch for its own device. They do not communicate, so there is
no process group in which a dead process would block the others, and no launcher that ends all of
them if one fails. Under ``accelerate launch`` each process is one of these.
"""

import json
import os
import re
import selectors
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from sdloop.errors import INTERRUPTED, BatchError, SdloopError, SettingError

# What happened ("begun", "there", "made", "failed"), the picture's key, and the line to print;
# "taken back" withdraws an earlier message about the picture.
Message = tuple[str, str, str]


def devices_of(text: str) -> list[str]:
    """The devices in ``--gpus``: "all", numbers, or "cpu", which may be repeated.

    Raises ``SettingError`` if there is no GPU, or on Windows, which cannot fork.
    """
    if not hasattr(os, "fork"):
        raise SettingError(f"gpus needs Linux or macOS, got {text}: use --device and --shard there")
    if text == "all":
        count = _count_gpus()
        if count == 0:
            raise SettingError("gpus must be there for 'all', and torch sees none")
        return [f"cuda:{number}" for number in range(count)]
    names = text.split(",")
    if not all(re.fullmatch("[0-9]{1,4}|cpu", name, re.ASCII) for name in names):
        raise SettingError(f"gpus must be all, or numbers as in 0,1,3, got {text!r}")
    return [name if name == "cpu" else f"cuda:{name}" for name in names]


def local_device(device: str) -> str:
    """``device``, or under ``accelerate launch`` the GPU of this process."""
    rank = os.environ.get("LOCAL_RANK")
    if device != "auto" or rank is None or os.environ.get("LOCAL_WORLD_SIZE", "1") == "1":
        return device
    return "cpu" if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" else f"cuda:{rank}"


def spread(
    devices: Sequence[str], work: Callable[[str], Iterable[Message]], stopping: Callable[[], bool]
) -> Generator[Message, None, None]:
    """Run ``work`` in a process for each device; yields its messages, once for each picture.

    The processes inherit the signal handlers, and get the signals that this one gets. Raises
    ``BatchError`` if all have failed; if only some fail, the others make their pictures.
    """
    children = [_fork(device, work) for device in devices]
    hurry = True
    try:
        yield from _once(_heard(children, stopping))
        hurry = False
    finally:
        for child in children:
            child.end(hurry=hurry)
    errors = list(dict.fromkeys(child.error for child in children if child.error))
    if all(child.error for child in children):
        raise BatchError("; ".join(errors))
    for error in errors:
        warnings.warn(
            f"{error}: the other processes have made its pictures", RuntimeWarning, stacklevel=2
        )


@dataclass(kw_only=True, slots=True)
class _Child:
    """A child process."""

    number: int
    device: str
    pipe: int
    error: str = ""
    asked: bool = False
    unread: bytes = b""

    def ask(self) -> None:
        """Ask it to stop after the pictures that it has begun."""
        if not self.asked:
            self.asked = True
            os.kill(self.number, signal.SIGTERM)

    def read(self) -> list[list[str]] | None:
        """The messages that have arrived; None if there will be no more."""
        data = os.read(self.pipe, 1 << 16)
        *lines, self.unread = (self.unread + data).split(b"\n")
        return [json.loads(line) for line in lines] if data else None

    def end(self, *, hurry: bool) -> None:
        """Wait until it ends; with ``hurry`` it stops at once, as after a second signal."""
        if hurry:
            self.ask()
            os.kill(self.number, signal.SIGINT)
        os.close(self.pipe)
        code = os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])
        if code < 0:
            self.error = f"the process on {self.device} was killed by signal {-code}"
        elif code == 1:
            self.error = f"the process on {self.device} crashed"


def _heard(children: Sequence[_Child], stopping: Callable[[], bool]) -> Iterator[Message]:
    """The messages of all processes as they arrive, until all have ended."""
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.pipe, selectors.EVENT_READ, child)
        while working := [key.data for key in selector.get_map().values()]:
            for key, _ in selector.select(timeout=0.2):
                messages = key.data.read()
                if messages is None:
                    selector.unregister(key.fileobj)
                for kind, about, line in messages if messages is not None else ():
                    if kind == "error":
                        key.data.error = line
                    else:
                        yield kind, about, line
            for child in working if stopping() else ():
                child.ask()


def _once(messages: Iterable[Message]) -> Iterator[Message]:
    """Only one message per picture: a picture made by one process exists for the others."""
    told: dict[str, str] = {}
    for kind, key, line in messages:
        before = told.get(key)
        if before is not None and kind == "made":
            yield "taken back", key, before
        if before is None or kind == "made":
            yield kind, key, line
        if key:
            told[key] = kind


def _fork(device: str, work: Callable[[str], Iterable[Message]]) -> _Child:
    reading, writing = os.pipe()
    number = os.fork()
    if number:
        os.close(writing)
        return _Child(number=number, device=device, pipe=reading)
    code = 1
    try:
        os.setpgid(0, 0)  # only the parent gets Ctrl-C, and forwards it
        os.close(reading)
        with os.fdopen(writing, "w", encoding="utf-8", errors="surrogateescape") as pipe:
            code = _be_child(work(device), pipe)
    except KeyboardInterrupt:  # stopped before it began
        code = INTERRUPTED
    finally:
        if sys.exc_info()[0] is not None:  # a bug, which os._exit would hide
            traceback.print_exc()
        os._exit(code)


def _be_child(messages: Iterable[Message], pipe: TextIO) -> int:
    """Send the parent a message for each picture; end if the parent is gone."""
    try:
        for message in messages:
            print(json.dumps(message), file=pipe, flush=True)
    except SdloopError as error:
        print(json.dumps(["error", "", str(error)]), file=pipe, flush=True)
        return error.exit_code
    except (KeyboardInterrupt, BrokenPipeError):
        return INTERRUPTED
    return 0


def _count_gpus() -> int:
    """The number of GPUs, counted in a separate process: CUDA cannot be used before a fork."""
    number = os.fork()
    if number == 0:
        count = 0
        try:
            import torch

            count = min(torch.cuda.device_count(), 255)
        finally:
            os._exit(count)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
