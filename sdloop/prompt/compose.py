"""Prompts whose predictions are combined: ``a frog AND a rabbit :0.7``.

Source: Liu et al. 2022 (arXiv:2206.01714); the syntax is that of ``get_multicond_prompt_list`` in
A1111's ``modules/prompt_parser.py``: AND splits the prompt everywhere, even inside brackets, and a
number after a colon at the end of a part is its weight. Unlike there, a prompt without AND has no
weight: "a photo, 16:9" is plain text.
"""

import re

from sdloop.prompt.caret import refusal
from sdloop.prompt.emphasis import MAX_WEIGHT

Parts = tuple[tuple[str, float], ...]

_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r"(?<!\\)\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+))\s*\Z")


def parts(text: str) -> Parts:
    """The prompts that ``text`` combines, each with its weight, which may be negative.

    A prompt without AND is one part, unchanged. Raises ``PromptError`` for a weight beyond 1000.

    >>> parts("a frog AND a rabbit :0.7")
    (('a frog', 1.0), ('a rabbit', 0.7))
    """
    if not _AND.search(text):
        return ((text, 1.0),)
    starts = [0, *(found.end() for found in _AND.finditer(text))]
    ends = [*(found.start() for found in _AND.finditer(text)), len(text)]
    return tuple(_part(text, start, end) for start, end in zip(starts, ends, strict=True))


def _part(text: str, start: int, end: int) -> tuple[str, float]:
    part = text[start:end]
    found = _WEIGHT.search(part)
    if found is None:
        return part.strip(), 1.0
    weight = float(found[1])
    if not abs(weight) <= MAX_WEIGHT:
        bounds = f"between {-MAX_WEIGHT:g} and {MAX_WEIGHT:g}"
        raise refusal(f"weight must be {bounds}, got {weight:g}", text, start + found.start(1))
    return part[: found.start()].strip(), weight
