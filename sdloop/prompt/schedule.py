"""Prompts that change on the way: ``[frog:rabbit:0.5]`` and ``[frog|rabbit]``.

::

    [from:to:when]   from until ``when``, to after it; [to:when] and [from::when] leave one out
    [a|b|c]          one step each, in turn

``when`` with a decimal point is a share of the steps, without one it is the last step of ``from``.
They nest, also in the brackets of emphasis, which stay in the text. Whatever is not quite of this
form is text: brackets that are not balanced, colons that end in no number.

Source: the grammar of ``get_learned_conditioning_prompt_schedules`` in A1111's
``modules/prompt_parser.py``. Other than there, a ``|`` outside brackets and a backslash at the end
are text like any other, and do not switch off the rest of the prompt.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sdloop.prompt.caret import refusal

Alternatives = tuple[tuple[int, str], ...]

_TOKEN = re.compile(r"(?:\\.?|[^\\()\[\]:|])+|[()\[\]:|]", re.DOTALL)
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
_OPENER = {")": "(", "]": "["}


@dataclass(frozen=True, slots=True)
class _Switch:
    """One text up to a step, another after it."""

    before: "_Items"
    after: "_Items"
    when: float
    share: bool

    def last_step(self, steps: int) -> int:
        """The last step of ``before``, from 0 (none) to ``steps`` (all)."""
        return int(max(0, min(steps, self.when * steps if self.share else self.when)))

    @property
    def branches(self) -> "tuple[_Items, ...]":
        return self.before, self.after

    def at(self, step: int, steps: int) -> "_Items":
        return self.before if step <= self.last_step(steps) else self.after


@dataclass(frozen=True, slots=True)
class _Turns:
    """Several texts, one step each."""

    branches: tuple["_Items", ...]

    def at(self, step: int, steps: int) -> "_Items":
        return self.branches[(step - 1) % len(self.branches)]


_Items = tuple[str | _Switch | _Turns, ...]


class _Frame:
    """A bracket that is open, or the whole prompt: what is in it, parted by : and |."""

    def __init__(self, opener: str = "") -> None:
        self.opener = opener
        self.segments: list[list[str | _Switch | _Turns]] = [[]]
        self.marks = ""  # the : and | between the segments

    def add(self, items: _Items) -> None:
        """Append, with neighbouring texts in one."""
        segment = self.segments[-1]
        for item in items:
            if isinstance(item, str) and segment and isinstance(segment[-1], str):
                item = segment.pop() + item  # type: ignore[operator]
            segment.append(item)

    def part(self, mark: str) -> None:
        self.segments.append([])
        self.marks += mark

    def items(self) -> _Items:
        """All that is in it as it was typed, its opener included."""
        flat = _Frame()
        flat.add((self.opener,))
        for mark, segment in zip(["", *self.marks], self.segments, strict=True):
            flat.add((mark, *segment))
        return tuple(flat.segments[0])


def alternatives(text: str, steps: int) -> Alternatives:
    """What the prompt is over a loop of ``steps`` steps: each text with the last step that sees it.

    Steps count from 1, the last is ``steps``; a text that nothing changes is there once. Emphasis
    and its escapes are left in the texts. Raises ``PromptError`` for a ``when`` that is not finite.

    >>> alternatives("a [red:blue:0.25] frog", 20)
    ((5, 'a red frog'), (20, 'a blue frog'))
    >>> alternatives("a [frog|rabbit]", 3)
    ((1, 'a frog'), (2, 'a rabbit'), (3, 'a frog'))
    """
    items = _parsed(text)
    found: list[tuple[int, str]] = []
    for end in sorted(_ends(items, steps)):
        seen = _text_at(items, end, steps)
        if found and found[-1][1] == seen:
            found.pop()
        found.append((end, seen))
    return tuple(found)


def unseen(text: str, steps: int) -> tuple[str, ...]:
    """The pieces of a prompt that no step of the loop sees: ``[a:b:30]`` has one in 25 steps.

    >>> unseen("a [red:blue:30] frog", 25)
    ('blue',)
    """
    items = _parsed(text)
    seen: set[int] = set()
    ahead = [(items, end) for end in _ends(items, steps)]
    while ahead:
        here, step = ahead.pop()
        branches = [item.at(step, steps) for item in here if not isinstance(item, str)]
        seen.update(map(id, branches))
        ahead += [(branch, step) for branch in branches]
    pieces = [_text_at(branch, 1, steps) for branch in _branches(items) if id(branch) not in seen]
    return tuple(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))


def _branches(items: _Items) -> Iterator[_Items]:
    """All that the changes choose from, in no order."""
    # A list in place of a recursion: brackets may nest deeper than Python can.
    ahead = list(items)
    while ahead:
        item = ahead.pop()
        for branch in () if isinstance(item, str) else item.branches:
            yield branch
            ahead += branch


def _ends(items: _Items, steps: int) -> set[int]:
    """The steps after which the text may change, and the last one."""
    changes = [
        item
        for branch in (items, *_branches(items))
        for item in branch
        if not isinstance(item, str)
    ]
    ends = {change.last_step(steps) for change in changes if isinstance(change, _Switch)}
    alternates = any(isinstance(change, _Turns) for change in changes)
    return set(range(1, steps + 1)) if alternates else (ends | {steps}) - {0}


def _text_at(items: _Items, step: int, steps: int) -> str:
    texts, ahead = [], list(reversed(items))
    while ahead:
        item = ahead.pop()
        if isinstance(item, str):
            texts.append(item)
        else:
            ahead += reversed(item.at(step, steps))
    return "".join(texts)


def _parsed(text: str) -> _Items:
    """The prompt with its changes in their places."""
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
                # One bracket that is text makes text of all that are open around it.
                _flatten(frames)
                frames[0].add((mark,))
        else:
            top.add((mark,))
    _flatten(frames)
    return tuple(frames[0].segments[0])


def _flatten(frames: list[_Frame]) -> None:
    """Put what is in brackets that turned out to be text into the prompt itself."""
    for frame in frames[1:]:
        frames[0].add(frame.items())
    del frames[1:]


def _closed(frame: _Frame, closer: str, text: str, place: int) -> _Items | None:
    """What a bracket that is closed at ``place`` stands for; ``None`` if it stands for nothing."""
    if frame.opener != _OPENER[closer]:
        return None
    if closer == ")":
        return (*frame.items(), ")") if frame.marks in ("", ":") else None
    if frame.marks == "":
        return (*frame.items(), "]")
    if set(frame.marks) == {"|"}:
        return (_Turns(tuple(tuple(segment) for segment in frame.segments)),)
    return _switch(frame, text, place)


def _switch(frame: _Frame, text: str, place: int) -> _Items | None:
    *segments, last = (tuple(segment) for segment in frame.segments)
    number = last[0] if len(last) == 1 else None
    found = _NUMBER.fullmatch(number) if isinstance(number, str) else None
    if found is None or frame.marks not in (":", "::"):
        return None
    when = float(found[1])
    if not math.isfinite(when):
        raise refusal(f"a step must be a finite number, got {found[1]}", text, place)
    before = segments[0] if len(segments) == 2 else ()
    return (_Switch(before, segments[-1], when, "." in found[1]),)
