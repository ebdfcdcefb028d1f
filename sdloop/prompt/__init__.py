"""The grammar of prompts: weights, changes on the way, prompts in one. No torch in here.

A prompt is read in A1111's order: ``parts`` (AND), of each part the ``alternatives`` (what it is at
which step), of each of these what is ``emphasised``.
"""

from sdloop.prompt.caret import refusal
from sdloop.prompt.check import check_prompt, is_plain
from sdloop.prompt.chunks import (
    EMPHASES,
    Chunk,
    Token,
    Tokenize,
    bare_ids,
    chunks_of,
    spans_of,
)
from sdloop.prompt.compose import Parts, parts
from sdloop.prompt.emphasis import BREAK, Emphasised, Span, emphasised, escaped
from sdloop.prompt.plain import plain_words
from sdloop.prompt.schedule import Alternatives, alternatives, unseen

__all__ = [
    "BREAK",
    "EMPHASES",
    "Alternatives",
    "Chunk",
    "Emphasised",
    "Parts",
    "Span",
    "Token",
    "Tokenize",
    "alternatives",
    "bare_ids",
    "check_prompt",
    "chunks_of",
    "emphasised",
    "escaped",
    "is_plain",
    "parts",
    "plain_words",
    "refusal",
    "spans_of",
    "unseen",
]
