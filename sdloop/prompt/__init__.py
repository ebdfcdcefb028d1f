"""The grammar of prompts: weights, changes on the way, prompts in one. No torch in here.

A prompt is read in A1111's order: ``parts`` (AND), of each part the ``alternatives`` (what it is at
which step), of each of these what is ``emphasised``.
"""

from sdloop.prompt.check import check_prompt
from sdloop.prompt.compose import Parts, parts
from sdloop.prompt.emphasis import BREAK, Emphasised, Span, emphasised, escaped
from sdloop.prompt.schedule import Alternatives, alternatives

__all__ = [
    "BREAK",
    "Alternatives",
    "Emphasised",
    "Parts",
    "Span",
    "alternatives",
    "check_prompt",
    "emphasised",
    "escaped",
    "parts",
]
