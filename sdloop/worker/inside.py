"""What the command line needs from the process it runs in: a worker, or a plain process."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sdloop.worker.messages import Carried


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """What a worker had already done of a call when it died.

    ``seed`` is the random seed it drew, or None. ``since`` is when the call began, in seconds of
    the file system's clock; ``printed`` are the paths that it printed.
    """

    since: float
    seed: int | None = None
    printed: frozenset[str] = frozenset()


def _nothing(*_: object) -> None: ...


def _loads(load: Callable[[], Any], *_: object) -> Any:
    return load()


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """``load`` returns what its argument loads, or the kept result for an equal model.

    Its other arguments are the checkpoint, and how it is loaded: device, precision and so on.
    ``carry`` is called with what must outlive the process, ``turn`` whenever there was progress.
    ``unfinished`` is what a worker that died had already done.
    """

    load: Callable[..., Any] = _loads
    carry: Callable[[Carried], None] = _nothing
    turn: Callable[[], None] = _nothing
    unfinished: Unfinished | None = None


HOST: ContextVar[Host] = ContextVar("host", default=Host())  # noqa: B039
