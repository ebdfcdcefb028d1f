"""Give each prompt of a plan only the learned and replaced words that it contains."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from sdloop.batch.settings import Settings
from sdloop.models.checkpoint.embedding import find_embedding
from sdloop.prompt.learned.grammar import parse_embedding, parse_replacement
from sdloop.prompt.learned.places import mentions
from sdloop.recipe.check import PROMPTS

Fields = Mapping[str, Any]


def words_for(settings: Settings, texts: Iterable[str] | None) -> Callable[..., dict[str, Any]]:
    """A function that removes the settings' words that a Recipe's prompts do not contain.

    A word that is in none of ``texts`` (all prompts) is kept, so that it is refused; None means
    that not all prompts are known. A prompt's ``own`` words are not changed.
    """
    asked = [
        (name, {text: word_of(text) for text in settings.recipe[name]})
        for name, word_of in (("embeddings", _token), ("replace_tokens", _replaced))
        if settings.recipe.get(name) and f"{name}_sha256" not in settings.recipe
    ]
    every = () if texts is None or not asked else tuple(texts)

    @cache
    def used(word: str) -> bool:
        return texts is None or any(mentions(text, word) for text in every)

    def take(fields: Fields, *, own: Fields) -> dict[str, Any]:
        taken = dict(fields)
        for name, words in asked:
            if name not in own:
                kept = [t for t, word in words.items() if not used(word) or _in(fields, word)]
                taken[name] = tuple(kept) if kept else None
        return taken

    return take


def texts_in(fields: Fields) -> list[str]:
    """All prompts among a Recipe's fields."""
    more = [text for name in ("mix_prompts", "regions") for text in fields.get(name) or ()]
    texts = [fields.get(name) for name in PROMPTS] + more
    return [text for text in texts if isinstance(text, str)]


def _in(fields: Fields, word: str) -> bool:
    return any(mentions(text, word) for text in texts_in(fields))


def _token(embedding: str) -> str:
    asked = parse_embedding(embedding)
    return find_embedding(asked.file).token if asked.token is None else asked.token


def _replaced(replacement: str) -> str:
    return parse_replacement(replacement).word
