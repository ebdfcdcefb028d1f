"""The same work in a process for each GPU, which share it by their claims.

The processes are forked before anything heavy is imported, with the plan in them: nobody has to
agree on random seeds, and each imports torch for its own device. They need not talk to each other,
so there is no process group, in which one that dies would leave the others waiting, and no launcher
that ends them all when one has failed. Under ``accelerate launch`` each process is one of these.
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

# What happened ("begun", "there", "made", "failed"), to the picture of which key, and what is
# printed; "taken back" says what happened instead of what was told before.
Message = tuple[str, str, str]


def devices_of(text: str) -> list[str]:
    """The devices that ``--gpus`` names: "all", or numbers, or "cpu" as often as one likes.

    Raises ``SettingError`` where there is no GPU.
    """
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
    """``device``, or that of this process where ``accelerate launch`` has started one a GPU."""
    rank = os.environ.get("LOCAL_RANK")
    if device != "auto" or rank is None or os.environ.get("LOCAL_WORLD_SIZE", "1") == "1":
        return device
    return "cpu" if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" else f"cuda:{rank}"


def spread(
    devices: Sequence[str], work: Callable[[str], Iterable[Message]], stopping: Callable[[], bool]
) -> Generator[Message, None, None]:
    """What ``work`` tells in a process for each device, of each picture once.

    The processes have the signal handlers of this one, and are sent what it hears. Raises
    ``BatchError`` when all have died or could not work; what only some of them left, others made.
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
        warnings.warn(f"{error}: the others have made its part", RuntimeWarning, stacklevel=2)


@dataclass(kw_only=True, slots=True)
class _Child:
    """A process, as its parent sees it."""

    number: int
    device: str
    pipe: int
    error: str = ""
    asked: bool = False
    unread: bytes = b""

    def ask(self) -> None:
        """Have it stop when its pictures in flight are finished."""
        if not self.asked:
            self.asked = True
            os.kill(self.number, signal.SIGTERM)

    def read(self) -> list[list[str]] | None:
        """The messages that have arrived; None when there will be no more."""
        data = os.read(self.pipe, 1 << 16)
        *lines, self.unread = (self.unread + data).split(b"\n")
        return [json.loads(line) for line in lines] if data else None

    def end(self, *, hurry: bool) -> None:
        """Wait until it is gone; in a ``hurry`` it has to stop now, at the second signal."""
        if hurry:
            self.ask()
            os.kill(self.number, signal.SIGINT)
        os.close(self.pipe)
        code = os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])
        if code < 0:
            self.error = f"the process on {self.device} was ended by signal {-code}"
        elif code == 1:
            self.error = f"the process on {self.device} broke down"


def _heard(children: Sequence[_Child], stopping: Callable[[], bool]) -> Iterator[Message]:
    """The messages of all, as they come, until the last has said its last."""
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
    """Each picture once; what a process has made is there for the others, and they say so."""
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
        os.setpgid(0, 0)  # Ctrl-C is for the parent, which hands it on
        os.close(reading)
        with os.fdopen(writing, "w", encoding="utf-8", errors="surrogateescape") as pipe:
            code = _be_child(work(device), pipe)
    except KeyboardInterrupt:  # asked to stop before it had begun
        code = INTERRUPTED
    finally:
        if sys.exc_info()[0] is not None:  # a defect of ours, which os._exit would hide
            traceback.print_exc()
        os._exit(code)


def _be_child(messages: Iterable[Message], pipe: TextIO) -> int:
    """Tell the parent of each picture; without a parent there is nobody to work for."""
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
    """Asked in a process of its own: what has once talked to CUDA cannot be forked."""
    number = os.fork()
    if number == 0:
        count = 0
        try:
            import torch

            count = min(torch.cuda.device_count(), 255)
        finally:
            os._exit(count)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
