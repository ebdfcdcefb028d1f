"""Two ways to be interrupted: the first Ctrl-C or SIGTERM asks to stop, the second stops."""

import os
import signal
from types import FrameType
from typing import Self

from sdloop.cli.terminal.output import say


class Stopping:
    """While the ``with`` block lasts, the first signal is remembered, and the second interrupts.

    A program that a shell started in the background stays deaf to Ctrl-C.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._asked = False
        self._process = os.getpid()
        self._before: dict[signal.Signals, object] = {}

    def __call__(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._asked

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]  # as it was returned

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        if not self._quiet and os.getpid() == self._process:  # of those forked, none says it again
            say("stopping after the pictures that are in work; press Ctrl-C again to stop at once")
