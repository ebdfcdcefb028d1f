"""Error messages that show the prompt, with a caret under the wrong place."""

import unicodedata

from sdloop.errors import PromptError

_WINDOW = 72  # columns of the prompt to show
_BEFORE = 48  # at most so many of them before the place


def refusal(message: str, text: str, place: int) -> PromptError:
    """The error with ``message`` about the character at ``place`` in ``text``.

    >>> print(refusal("weight must be a number, got '1.2.3'", "a (red:1.2.3) frog", 7))
    weight must be a number, got '1.2.3'
      a (red:1.2.3) frog
             ^
    """
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    line, column = text[start : None if end < 0 else end], place - start
    if column > _BEFORE:
        line, column = "…" + line[column - _BEFORE + 1 :], _BEFORE
    if len(line) > _WINDOW:
        line = line[: _WINDOW - 1] + "…"
    # Control characters would move the caret, or the terminal's cursor.
    line = "".join(letter if letter.isprintable() else "·" for letter in line)
    return PromptError(f"{message}\n  {line}\n  {' ' * _columns(line[:column])}^")


def _columns(text: str) -> int:
    """The width of ``text`` on a terminal: 東 takes two columns, an accent none."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)
