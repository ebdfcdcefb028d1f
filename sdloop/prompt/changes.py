"""Prompts that change during the steps: ``[frog:rabbit:0.5]`` and ``[frog|rabbit]``.

::

    [from:to:when]   ``from`` until ``when``, ``to`` after it; one may be missing: [to:when],
                     [from::when]
    [a|b|c]          one step each, in turn

``when`` with a decimal point is a share of the steps; without one it is the last step of ``from``.
Changes can be nested, also inside the brackets of emphasis, which stay in the text. Anything else
is plain text: unbalanced brackets, or colons without a number after them.

Source: the grammar of ``get_learned_conditioning_prompt_schedules`` in A1111's
``modules/prompt_parser.py``. Unlike there, a ``|`` outside brackets and a backslash at the end are
plain text, and do not disable the grammar for the whole prompt.
"""

import math
import re
from dataclasses import dataclass

from sdloop.prompt.caret import refusal

_TOKEN = re.compile(r"(?:\\.?|[^\\()\[\]:|])+|[()\[\]:|]", re.DOTALL)
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
_OPENER = {")": "(", "]": "["}


@dataclass(frozen=True, slots=True)
class Switch:
    """One text up to a step, another after it."""

    before: "Items"
    after: "Items"
    when: float
    share: bool

    def last_step(self, steps: int) -> int:
        """The last step of ``before``, from 0 (none) to ``steps`` (all)."""
        return int(max(0, min(steps, self.when * steps if self.share else self.when)))

    @property
    def branches(self) -> "tuple[Items, ...]":
        return self.before, self.after

    def at(self, step: int, steps: int) -> "Items":
        return self.before if step <= self.last_step(steps) else self.after


@dataclass(frozen=True, slots=True)
class Turns:
    """Several texts, one step each."""

    branches: tuple["Items", ...]

    def at(self, step: int, steps: int) -> "Items":
        return self.branches[(step - 1) % len(self.branches)]


Items = tuple[str | Switch | Turns, ...]


class _Frame:
    """An open bracket, or the whole prompt: its content, split at : and |."""

    def __init__(self, opener: str = "") -> None:
        self.opener = opener
        self.segments: list[list[str | Switch | Turns]] = [[]]
        self.marks = ""  # the : and | between the segments

    def add(self, items: Items) -> None:
        """Append items, merging neighbouring texts."""
        segment = self.segments[-1]
        for item in items:
            if isinstance(item, str) and segment and isinstance(segment[-1], str):
                item = segment.pop() + item  # type: ignore[operator]
            segment.append(item)

    def part(self, mark: str) -> None:
        self.segments.append([])
        self.marks += mark

    def items(self) -> Items:
        """The content as it was typed, including the opening bracket."""
        flat = _Frame()
        flat.add((self.opener,))
        for mark, segment in zip(["", *self.marks], self.segments, strict=True):
            flat.add((mark, *segment))
        return tuple(flat.segments[0])


def parsed(text: str) -> Items:
    """The prompt, parsed into texts and changes."""
    frames = [_Frame()]
    for token in _TOKEN.finditer(text):
        mark, top = token.group(), frames[-1]
        if mark in ("(", "["):
            frames.append(_Frame(mark))
        elif mark in (":", "|") and top.opener:
            top.part(mark)
        elif mark in _OPENER:
            closed = _closed(top, mark, text, token.start())
            if closed is not None:
                frames.pop()
                frames[-1].add(closed)
            else:
                # If one bracket is plain text, all open brackets around it are too.
                _flatten(frames)
                frames[0].add((mark,))
        else:
            top.add((mark,))
    _flatten(frames)
    return tuple(frames[0].segments[0])


def _flatten(frames: list[_Frame]) -> None:
    """Move the content of brackets that turned out to be plain text into the prompt itself."""
    for frame in frames[1:]:
        frames[0].add(frame.items())
    del frames[1:]


def _closed(frame: _Frame, closer: str, text: str, place: int) -> Items | None:
    """The change in a bracket that is closed at ``place``; ``None`` if it is plain text."""
    if frame.opener != _OPENER[closer]:
        return None
    if closer == ")":
        return (*frame.items(), ")") if frame.marks in ("", ":") else None
    if frame.marks == "":
        return (*frame.items(), "]")
    if set(frame.marks) == {"|"}:
        return (Turns(tuple(tuple(segment) for segment in frame.segments)),)
    return _switch(frame, text, place)


def _switch(frame: _Frame, text: str, place: int) -> Items | None:
    *segments, last = (tuple(segment) for segment in frame.segments)
    number = last[0] if len(last) == 1 else None
    found = _NUMBER.fullmatch(number) if isinstance(number, str) else None
    if found is None or frame.marks not in (":", "::"):
        return None
    when = float(found[1])
    if not math.isfinite(when):
        raise refusal(
            f"a step must be a finite number, got {found[1]}",
            text,
            place - len(found.string) + found.start(1),
        )
    before = segments[0] if len(segments) == 2 else ()
    return (Switch(before, segments[-1], when, "." in found[1]),)
