"""Learned and replaced words that are asked for once, for many prompts: to each prompt its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from sdloop.cli.prompt_file import Prompt
from sdloop.cli.settings import Settings
from sdloop.learned import embedding_facts, mentions, parse_embedding, parse_replacement
from sdloop.recipe import PROMPTS


def fields_of(prompts: Sequence[Prompt], settings: Settings) -> list[dict[str, Any]]:
    """The fields of each prompt's Recipe: its own over ``settings``.

    Of the words that ``settings`` bring, a Recipe takes those that stand in its prompts. A word
    that stands in none of all is left in, so that it is refused.
    """
    every = [dict(Settings(recipe=one.settings).over(settings).recipe) for one in prompts]
    for name, word_of in (("embeddings", _token), ("replace_tokens", _replaced)):
        given = settings.recipe.get(name)
        if given is None or f"{name}_sha256" in settings.recipe:
            continue
        words = {text: word_of(text) for text in given}
        pairs = zip(every, prompts, strict=True)
        takers = [fields for fields, one in pairs if name not in one.settings]
        used = {t for t, word in words.items() if any(_mentions(one, word) for one in takers)}
        for fields in takers:
            kept = [t for t, word in words.items() if t not in used or _mentions(fields, word)]
            fields[name] = tuple(kept) if kept else None
    return every


def _token(embedding: str) -> str:
    asked = parse_embedding(embedding)
    return embedding_facts(asked.file).token if asked.token is None else asked.token


def _replaced(replacement: str) -> str:
    return parse_replacement(replacement).word


def _mentions(fields: Mapping[str, Any], word: str) -> bool:
    mixed = fields.get("mix_prompts")
    texts = [fields.get(name) for name in PROMPTS] + list(mixed if mixed is not None else ())
    return any(isinstance(text, str) and mentions(text, word) for text in texts)
