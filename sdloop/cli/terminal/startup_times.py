"""``txt2img --cold``: what a call costs before its first step, part by part."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdloop.cli.terminal.output import say
from sdloop.worker.inside import HOST, Host


@contextmanager
def cold() -> Iterator[None]:
    """Tell, when all within is done, how long Python, the imports, the weights and a step took."""
    begun = time.time() - _age()
    times = [time.time()]
    import sdloop.pipeline.generate  # noqa: F401

    times.append(time.time())
    parts: dict[str, float] = {}
    token = HOST.set(Host(load=_timed(parts), turn=_first_turn(parts)))
    try:
        yield
    finally:
        HOST.reset(token)
    say(
        f"cold: {times[0] - begun:.2f} s to start, {times[1] - times[0]:.2f} s of imports, "
        f"{parts.get('load', 0):.2f} s for the weights, {parts.get('step', 0):.2f} s to the first "
        f"step; {time.time() - begun:.2f} s in all"
    )


def _age() -> float:
    """For how many seconds this process has been there; elsewhere than on Linux, not its start."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii")
    except OSError:
        return time.process_time()
    ticks = int(stat.rpartition(")")[2].split()[19])  # the 22nd field, the second has brackets
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _timed(parts: dict[str, float]) -> Callable[..., Any]:
    def load(load: Callable[[], Any], *_: object) -> Any:
        started = time.time()
        loaded = load()
        parts["loaded"] = time.time()
        parts["load"] = parts["loaded"] - started
        return loaded

    return load


def _first_turn(parts: dict[str, float]) -> Callable[[], None]:
    def turn() -> None:
        parts.setdefault("step", time.time() - parts["loaded"])

    return turn
