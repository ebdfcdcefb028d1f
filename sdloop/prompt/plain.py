"""A prompt without its grammar: what a reader who knows none of it should read."""

from sdloop.prompt.chunks import spans_of
from sdloop.prompt.compose import parts
from sdloop.prompt.emphasis import Span
from sdloop.prompt.schedule import alternatives


def plain_words(text: str, *, steps: int, emphasis: str = "a1111") -> str:
    """The words that the picture shall show in the end, without weights, changes and AND.

    What changes on the way is what it is at the last of ``steps`` steps, combined prompts stand in
    a row, and what weighs nothing or less is left out. With the ``emphasis`` "none" brackets are
    text, as they are for the Recipe. Raises ``PromptError`` for a prompt that cannot be read.

    >>> plain_words("a (red:1.5) [cat:frog:0.4] AND snow :0.6 AND rain :-1", steps=25)
    'a red frog, snow'
    """
    if emphasis == "none":
        return text.strip()
    wanted = [part for part, weight in parts(text) if weight > 0]
    ends = [alternatives(part, steps)[-1][1] for part in wanted]
    return ", ".join(found for end in ends if (found := _shown(end, emphasis)))


def _shown(text: str, emphasis: str) -> str:
    kept = [
        span.text if isinstance(span, Span) else " "
        for span in spans_of(text, emphasis)
        if not isinstance(span, Span) or span.weight > 0
    ]
    return " ".join("".join(kept).split())
