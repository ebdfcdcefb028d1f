"""How strongly each word of a prompt is meant: ``(word)``, ``(word:1.3)``, ``[word]``, ``BREAK``.

The grammar is that of A1111, whose users' prompts are all over the world::

    (word)       1.1 times as strong; brackets in brackets multiply
    (word:1.3)   1.3 times
    [word]       1/1.1 times
    BREAK        what follows begins a new chunk of the encoder's window
    \\( \\) \\[ \\] \\\\   the character itself

Nothing else is syntax. As there, a bracket that is never closed reaches to the end of the prompt,
one that closes nothing is text, and a backslash before any other character is dropped. Other than
there, ``BREAK`` within brackets is one too (A1111 reads it as a word of weight -1.3).

Source: ``parse_prompt_attention`` in A1111's ``modules/prompt_parser.py``.
"""

import re
from enum import Enum
from typing import Final, Literal, NamedTuple

from sdloop.prompt.caret import refusal

MAX_WEIGHT = 1000.0  # beyond it, half precision overflows
MAX_DEPTH = 200  # a bracket costs time for all that is in it, and 1.1 ** -200 is next to nothing
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
    """What stands between the words of a prompt and is none."""

    BREAK = "BREAK"


BREAK: Final = Mark.BREAK


class Span(NamedTuple):
    """A stretch of a prompt that is weighted as one; 1 is a word as it stands."""

    text: str
    weight: float


Emphasised = tuple[Span | Literal[Mark.BREAK], ...]


class _Piece:
    """A span in the making: its weight is multiplied by each bracket that closes around it."""

    def __init__(self, text: str, *, breaks: bool = False) -> None:
        self.text = text
        self.weight = 1.0
        self.breaks = breaks


def emphasised(text: str) -> Emphasised:
    """The spans of a prompt in their order, neighbours of one weight in one; at least one span.

    Raises ``PromptError`` for a weight that is no number, or that brackets multiply beyond 1000,
    and for more than 200 brackets in each other.

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
                raise refusal(f"brackets nest deeper than {MAX_DEPTH}", text, token.start())
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


def escaped(text: str) -> str:
    """``text`` so that a prompt means exactly it, whatever is in it.

    >>> print(escaped("a frog (green) AND BREAK"))
    a frog \\(green\\) A\\ND B\\REAK
    """
    text = re.sub(r"[()\[\]\\|:]", r"\\\g<0>", text)
    return re.sub(r"\b(A)(ND)\b|\b(B)(REAK)\b", r"\1\3\\\2\4", text)


def _words(text: str) -> list[_Piece]:
    """``text`` with a piece that breaks between those that BREAK parts."""
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
    """Neighbours of one weight in one span, since the words of a span are tokenized together."""
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
