"""Split prompts of any length into chunks that a text encoder can read (75 tokens and two ends).

The rules are A1111's: a full chunk ends after its last comma, if that is among its last 20 tokens,
so that phrases stay together; and BREAK ends a chunk anywhere.

Source: ``tokenize_line`` in A1111's ``modules/sd_hijack_clip.py``; 20 is its default.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from sdloop.prompt.emphasis import BREAK, Emphasised, Mark, Span, emphasised

EMPHASES = ("a1111", "no-norm", "none")
COMMA_BACKTRACK = 20

Tokenize = Callable[[str], Sequence[int]]


class Token(NamedTuple):
    """A token's id and its weight."""

    id: int
    weight: float


Chunk = tuple[Token, ...]


def bare_ids(tokenizer: Any, text: str) -> Sequence[int]:
    """The ids of a text by Hugging Face's ``tokenizer``, without start and end tokens."""
    ids: Sequence[int] = tokenizer(text, verbose=False).input_ids[1:-1]
    return ids


def spans_of(text: str, emphasis: str) -> Emphasised:
    """The spans of a prompt. With the emphasis "none" brackets are text, and there is one span."""
    return (Span(text, 1.0),) if emphasis == "none" else emphasised(text)


def chunks_of(text: str, tokenize: Tokenize, *, length: int, emphasis: str) -> tuple[Chunk, ...]:
    """The chunks of a prompt, at least one, of up to ``length`` tokens each.

    ``tokenize`` gives the ids of a text without start, end and padding. Ids below zero are learned
    vectors, and consecutive ones stay in one chunk. Raises the same errors as ``emphasised``.

    >>> def letters(text): return [ord(letter) for letter in text]
    >>> chunks_of("ab BREAK (c:2)", letters, length=75, emphasis="a1111")[1]
    (Token(id=99, weight=2.0),)
    """
    comma = tuple(tokenize(","))
    done: list[Chunk] = []
    tokens: Chunk = ()
    for word in _words(spans_of(text, emphasis), tokenize, length):
        if word is BREAK:
            done.append(tokens)
            tokens = ()
            continue
        while tokens and len(tokens) + len(word) > length:
            end = _end(tokens, word, length, comma)
            done.append(tokens[:end])
            tokens = tokens[end:]
        tokens += word
    return (*done, tokens) if tokens or not done else tuple(done)


def _end(tokens: Chunk, following: Chunk, length: int, comma: tuple[int, ...]) -> int:
    """How many of the tokens stay in this full chunk; the others go into the next one."""
    commas = [place for place, token in enumerate(tokens, 1) if (token.id,) == comma]
    torn = len(tokens) == length and (following[0].id,) != comma
    if torn and commas and length - commas[-1] < COMMA_BACKTRACK:
        return commas[-1]
    return len(tokens)


def _words(
    spans: Emphasised, tokenize: Tokenize, length: int
) -> Iterator[Chunk | Literal[Mark.BREAK]]:
    """The units that are not split between chunks: a token, or the vectors of a learned word."""
    for span in spans:
        if span is BREAK:
            yield BREAK
            continue
        assert isinstance(span, Span)
        tokens = [Token(one, span.weight) for one in tokenize(span.text)]
        for learned, run in itertools.groupby(tokens, key=lambda token: token.id < 0):
            word = tuple(run)
            size = length if learned else 1
            yield from (word[start : start + size] for start in range(0, len(word), size))
