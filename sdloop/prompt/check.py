"""Whether a prompt can be read at all."""

from functools import lru_cache

from sdloop.errors import PromptError
from sdloop.prompt.compose import parts
from sdloop.prompt.emphasis import emphasised
from sdloop.prompt.schedule import alternatives


def check_prompt(name: str, text: str, steps: int) -> None:
    """Raise ``PromptError``, naming the field, for a prompt that cannot be read; few cannot."""
    try:
        _read(text, steps)
    except PromptError as error:
        raise PromptError(f"{name}: {error}") from error


@lru_cache(maxsize=64)  # one prompt is in the Recipes of many seeds
def _read(text: str, steps: int) -> None:
    for part, _ in parts(text):
        for alternative in {text for _, text in alternatives(part, steps)}:
            emphasised(alternative)
