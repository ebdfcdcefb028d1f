"""What the command line asks of whoever runs it: a worker answers, and a plain process need not."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sdloop.worker.messages import Carried


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """What a worker that died in the middle of a call had done of it.

    ``seed`` is the one that it drew, None where it drew none. ``since`` is when the call began, in
    seconds of the file system's clock; ``printed`` are the paths that it printed.
    """

    since: float
    seed: int | None = None
    printed: frozenset[str] = frozenset()


def _nothing(*_: object) -> None: ...


def _loads(load: Callable[[], Any], *_: object) -> Any:
    return load()


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """``load`` gives what its argument loads, or what it kept of an equal model.

    It is told the checkpoint, the device and the precision. ``carry`` hears what must outlive the
    process, ``turn`` that the work goes on. ``unfinished`` is what is done already.
    """

    load: Callable[..., Any] = _loads
    carry: Callable[[Carried], None] = _nothing
    turn: Callable[[], None] = _nothing
    unfinished: Unfinished | None = None


HOST: ContextVar[Host] = ContextVar("host", default=Host())  # noqa: B039
