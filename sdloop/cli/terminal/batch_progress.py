"""How far a batch is: done, left, failed, pictures a minute, time to go."""

import sys
import time
from dataclasses import dataclass, field

from sdloop.cli.terminal.output import say

# Where stderr is a file, a line every so often will do.
_SECONDS = {True: 0.5, False: 30.0}


@dataclass(kw_only=True, slots=True)
class Counts:
    """Of one run; ``total`` is None while the plan's end is not known.

    ``processes`` is how many of a pool are at work.
    """

    total: int | None
    there: int = 0
    made: int = 0
    failed: int = 0
    processes: int | None = None

    def add(self, kind: str) -> None:
        """Count what happened to a picture."""
        if kind == "there":
            self.there += 1
        elif kind == "made":
            self.made += 1
        elif kind == "failed":
            self.failed += 1

    def finish(self) -> None:
        """The plan has ended: pictures that it named twice no longer count as missing."""
        self.total = self.there + self.made + self.failed

    @property
    def left(self) -> int | None:
        if self.total is None:
            return None
        return max(0, self.total - self.there - self.made - self.failed)

    def text(self, seconds: float) -> str:
        """All that is known, ``seconds`` after the first picture was begun.

        >>> Counts(total=10, there=2, made=3, failed=1).text(30)
        '5 done (2 were there), 4 left, 1 failed, 6.0 pictures a minute, 0:00:40 to go'
        """
        done = self.there + self.made
        parts = [f"{done} done ({self.there} were there)" if self.there else f"{done} done"]
        if self.left is not None:
            parts.append(f"{self.left} left")
        parts.append(f"{self.failed} failed")
        if self.made and seconds > 0:
            parts.append(f"{self.made / seconds * 60:.1f} pictures a minute")
            if self.left:
                parts.append(f"{_clock(self.left * seconds / self.made)} to go")
        if self.processes is not None:
            parts.append(f"{self.processes} process{'es' * (self.processes != 1)} at work")
        return ", ".join(parts)


@dataclass(kw_only=True, slots=True)
class ProgressLine:
    """``Counts`` on stderr: a line that changes on a terminal, else one now and then."""

    counts: Counts
    quiet: bool
    _begun: float | None = None
    _written: float = field(default_factory=time.monotonic)
    _shown: bool = False

    def begin(self) -> None:
        """The first picture is begun: the model is loaded, and time counts."""
        if self._begun is None:
            self._begun = time.monotonic()

    def tell(self) -> None:
        """Say where things are, if that was not just done."""
        screen = sys.stderr is not None and sys.stderr.isatty()
        now = time.monotonic()
        if self.quiet or now - self._written < _SECONDS[screen]:
            return
        self._written = now
        if not screen:
            say(self._text())
            return
        sys.stderr.write(f"\r\x1b[K{self._text()}")
        sys.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        """Take the line off the screen, for others to be written."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False

    def end(self) -> None:
        """Say how it came out."""
        self.clear()
        if not self.quiet:
            say(self._text())

    def _text(self) -> str:
        seconds = 0.0 if self._begun is None else time.monotonic() - self._begun
        return self.counts.text(seconds)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
