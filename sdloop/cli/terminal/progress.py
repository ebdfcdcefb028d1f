"""What a terminal shows while pictures are made."""

import os
import sys
from typing import TYPE_CHECKING, Any, Self

from sdloop.cli.terminal.graphics import Frame, draw_for
from sdloop.cli.terminal.output import say
from sdloop.worker.inside import HOST

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdloop.loop import Step


class Progress:
    """A bar of steps with the time left, on stderr if that is a terminal, and else nothing.

    Told of each event as it comes; leaving the ``with`` block takes the bar off the screen.
    """

    def __init__(self, *, pictures: int, quiet: bool) -> None:
        self._shown = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._pictures = pictures
        self._finished = 0
        self._bar: Any = None
        self._frame = Frame(_write, draw_for(os.environ))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def loading(self, model: str) -> None:
        """A model is about to be read, which takes seconds."""
        if self._shown:
            say(f"loading {model}")

    def step(self, step: "Step", picture: "Image | None" = None) -> None:
        """The loop has taken a step; the last one leaves the decoding to wait for.

        A ``picture`` is shown above the bar, in place of the one before it.
        """
        HOST.get().turn()
        if not self._shown:
            return
        if self._bar is None:
            self._bar = self._new_bar(step)
        self._bar.update()
        if step.index + 1 == step.total:
            self._bar.set_description_str(f"{self._bar.desc}, decoding")
        if picture is not None:
            self._bar.clear()
            self._frame.show(picture, os.get_terminal_size(sys.stderr.fileno()))
            self._bar.refresh()

    def picture(self) -> None:
        """A picture is finished: the line is free for its path."""
        self._finished += 1
        self._close()

    def _new_bar(self, step: "Step") -> Any:
        from tqdm import tqdm

        first, last = self._finished + 1, self._finished + len(step.latents)
        which = f"picture {first}" if first == last else f"pictures {first}-{last}"
        return tqdm(total=step.total, desc=f"{which} of {self._pictures}", unit="step", leave=False)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            self._frame.clear()


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
