"""The weights of words in a prompt: ``(word)``, ``(word:1.3)``, ``[word]``, ``BREAK``.

The grammar is A1111's, which most published prompts use::

    (word)       1.1 times as strong; nested brackets multiply
    (word:1.3)   1.3 times
    [word]       1/1.1 times
    BREAK        begins a new chunk for the text encoder
    \\( \\) \\[ \\] \\\\   the character itself

Nothing else is syntax. As in A1111, a bracket that is never closed extends to the end of the
prompt, a closing bracket without an opening one is text, and a backslash before any other character
is dropped. Unlike A1111, ``BREAK`` also works inside brackets (A1111 reads it as a word of weight
-1.3).

Source: ``parse_prompt_attention`` in A1111's ``modules/prompt_parser.py``.
"""

import re
from enum import Enum
from typing import Final, Literal, NamedTuple

from sdloop.prompt.caret import refusal

MAX_WEIGHT = 1000.0  # beyond it, half precision overflows
MAX_DEPTH = 200  # each bracket costs time for all its content, and 1.1 ** -200 is almost 0
_ROUND = 1.1
_SQUARE = 1 / 1.1

_TOKEN = re.compile(
    r"""
    \\ (?P<escaped> [()\[\]\\]? )
    | : \s* (?P<weight> [+-]? [.\d]+ ) \s* \)
    | (?P<bracket> [()\[\]] )
    | : | [^\\()\[\]:]+
    """,
    re.VERBOSE,
)
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


class Mark(Enum):
    """A keyword in a prompt that is not a word for the text encoder."""

    BREAK = "BREAK"


BREAK: Final = Mark.BREAK


class Span(NamedTuple):
    """A part of a prompt with one weight; 1 is the normal weight."""

    text: str
    weight: float


Emphasised = tuple[Span | Literal[Mark.BREAK], ...]


class _Piece:
    """A span that is not finished: each bracket that closes around it multiplies its weight."""

    def __init__(self, text: str, *, breaks: bool = False) -> None:
        self.text = text
        self.weight = 1.0
        self.breaks = breaks


def emphasised(text: str) -> Emphasised:
    """The spans of a prompt in order, at least one; neighbours with the same weight are merged.

    Raises ``PromptError`` for a weight that is not a number or is multiplied beyond 1000, and for
    more than 200 nested brackets.

    >>> emphasised("a (red:1.5) frog")
    (Span(text='a ', weight=1.0), Span(text='red', weight=1.5), Span(text=' frog', weight=1.0))
    >>> emphasised("(a [frog])")[1].weight
    1.0
    """
    pieces: list[_Piece] = []
    opened: dict[str, list[tuple[int, int]]] = {"(": [], "[": []}  # piece, place in the text
    for token in _TOKEN.finditer(text):
        bracket, weight = token["bracket"], token["weight"]
        if token["escaped"] is not None:
            pieces.append(_Piece(token["escaped"]))
        elif bracket in opened:
            if sum(map(len, opened.values())) == MAX_DEPTH:
                raise refusal(f"brackets are nested deeper than {MAX_DEPTH}", text, token.start())
            opened[bracket].append((len(pieces), token.start()))
        elif weight is not None and opened["("]:
            place = token.start("weight")
            first, _ = opened["("].pop()
            _multiply(pieces[first:], _number(weight, text, place), text, place)
        elif bracket == ")" and opened["("]:
            first, place = opened["("].pop()
            _multiply(pieces[first:], _ROUND, text, place)
        elif bracket == "]" and opened["["]:
            first, place = opened["["].pop()
            _multiply(pieces[first:], _SQUARE, text, place)
        else:
            pieces += _words(token.group())
    for kind, factor in (("(", _ROUND), ("[", _SQUARE)):
        for first, place in opened[kind]:
            _multiply(pieces[first:], factor, text, place)
    return _merged(pieces)


def _words(text: str) -> list[_Piece]:
    """``text`` split at each BREAK, with a break piece in between."""
    first, *others = _BREAK.split(text)
    pieces = [_Piece(first)]
    for other in others:
        pieces += [_Piece("", breaks=True), _Piece(other)]
    return pieces


def _number(weight: str, text: str, place: int) -> float:
    try:
        return float(weight)
    except ValueError as error:
        raise refusal(f"weight must be a number, got {weight!r}", text, place) from error


def _multiply(pieces: list[_Piece], factor: float, text: str, place: int) -> None:
    for piece in pieces:
        piece.weight *= factor
        if not abs(piece.weight) <= MAX_WEIGHT:
            bounds = f"between {-MAX_WEIGHT:g} and {MAX_WEIGHT:g}"
            raise refusal(f"weight must be {bounds}, got {piece.weight:g}", text, place)


def _merged(pieces: list[_Piece]) -> Emphasised:
    """Merge neighbours with the same weight: the words of a span are tokenized together."""
    spans: list[Span | Literal[Mark.BREAK]] = []
    for piece in pieces:
        last = spans[-1] if spans else None
        if piece.breaks:
            spans.append(BREAK)
        elif isinstance(last, Span) and last.weight == piece.weight:
            spans[-1] = Span(last.text + piece.text, last.weight)
        else:
            spans.append(Span(piece.text, piece.weight))
    return tuple(span for span in spans if span is BREAK or span[0]) or (Span("", 1.0),)
