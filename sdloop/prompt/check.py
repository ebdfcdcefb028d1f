"""Whether a prompt can be read, and whether there is anything to read in it but text."""

from functools import lru_cache

from sdloop.errors import PromptError
from sdloop.prompt.compose import parts
from sdloop.prompt.emphasis import Span, emphasised
from sdloop.prompt.schedule import alternatives


def check_prompt(name: str, text: str, steps: int, *, combines: bool) -> None:
    """Raise ``PromptError``, naming the field, for a prompt that cannot be read; few cannot.

    ``combines`` says whether AND parts it: only the prompt itself is combined of several.
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
    """Whether the prompt has none of the grammar in it, so that it means the same without.

    >>> is_plain("a red frog, 16:9"), is_plain("a (red) frog"), is_plain("a frog AND a rabbit")
    (True, False, False)
    """
    try:
        return parts(text) == ((text, 1.0),) and emphasised(text) == (Span(text, 1.0),)
    except PromptError:  # the brackets of changes may nest deeper than those of emphasis
        return False
