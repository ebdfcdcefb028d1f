"""Progress while pictures are made: shown in a terminal only."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from sdloop.cli.terminal.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(progress: Progress) -> None:
    """Two pictures in one batch, then one alone, three steps each."""
    with progress:
        progress.loading("some/model")
        for pictures in (2, 1):
            for index in range(3):
                step: Any = SimpleNamespace(index=index, total=3, latents=[0] * pictures)
                progress.step(step)
            for _ in range(pictures):
                progress.picture()


def test_a_terminal_sees_the_steps_and_a_clean_line_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    watch(Progress(pictures=3, quiet=False))
    text = sys.stderr.getvalue()  # type: ignore[attr-defined]
    for part in ("loading some/model", "pictures 1-2 of 3", "picture 3 of 3", "3/3", "decoding"):
        assert part in text
    assert text.endswith("\r")
    assert text.split("\r")[-2].strip() == ""


@pytest.mark.parametrize("stderr", [io.StringIO(), None])
def test_a_file_sees_nothing(stderr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    watch(Progress(pictures=3, quiet=False))
    assert stderr is None or stderr.getvalue() == ""


def test_neither_does_a_terminal_that_asked_for_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    watch(Progress(pictures=3, quiet=True))
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
