"""Check whether a prompt can be parsed, and whether it uses any of the prompt grammar."""

from functools import lru_cache

from sdloop.errors import PromptError
from sdloop.prompt.compose import parts
from sdloop.prompt.emphasis import Span, emphasised
from sdloop.prompt.schedule import alternatives


def check_prompt(name: str, text: str, steps: int, *, combines: bool) -> None:
    """Raise ``PromptError``, naming the field, for a prompt that cannot be parsed.

    ``combines`` says whether AND splits it: that is so only for ``prompt`` itself.
    """
    try:
        _read(text, steps, combines)
    except PromptError as error:
        raise PromptError(f"{name}: {error}", field=name) from error


@lru_cache(maxsize=64)  # one prompt is in the Recipes of many seeds
def _read(text: str, steps: int, combines: bool) -> None:
    for part, _ in parts(text) if combines else ((text, 1.0),):
        for alternative in {text for _, text in alternatives(part, steps)}:
            emphasised(alternative)


def is_plain(text: str) -> bool:
    """Whether the prompt is plain text, which uses nothing of the grammar.

    >>> is_plain("a red frog, 16:9"), is_plain("a (red) frog"), is_plain("a frog AND a rabbit")
    (True, False, False)
    """
    try:
        return parts(text) == ((text, 1.0),) and emphasised(text) == (Span(text, 1.0),)
    except PromptError:  # changes may be nested deeper than emphasis
        return False
