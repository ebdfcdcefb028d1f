"""A prompt without its grammar, for a model that reads plain text, such as a CLIP."""

from sdloop.prompt.chunks import spans_of
from sdloop.prompt.compose import parts
from sdloop.prompt.emphasis import Span
from sdloop.prompt.schedule import alternatives


def plain_words(text: str, *, steps: int, emphasis: str = "a1111") -> str:
    """The plain words of what the finished picture should show, without weights, changes and AND.

    Texts that change are taken as they are at the last of ``steps`` steps, combined prompts are
    joined, and words with a weight of 0 or less are left out. With the ``emphasis`` "none" brackets
    are text, as for the Recipe. Raises ``PromptError`` for a prompt that cannot be parsed.

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
