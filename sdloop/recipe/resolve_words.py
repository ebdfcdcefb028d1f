"""Resolve embeddings and replaced words: read their files, and check them for the model."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.prompt.learned.facts import EmbeddingFacts, FindEmbedding, family_of
from sdloop.prompt.learned.grammar import Embedding, Replacement, parse_embedding, parse_replacement
from sdloop.prompt.learned.places import MARKS, mentions
from sdloop.recipe.check import PROMPTS
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.recorded_hashes import check_hashes


def with_learned(recipe: Recipe, model: Defaults, find: FindEmbedding) -> Recipe:
    """``recipe`` with the tokens that its files name, and with the files' hashes.

    ``find`` reads the facts of a file.

    Raises ``FileError`` for a file without an embedding, or one that is not the file that the
    Recipe was made with. Raises ``SettingError`` for an embedding of another model family, for two
    with the same token, and for a word that is in no prompt.
    """
    if recipe.embeddings is not None:
        asked = [parse_embedding(text) for text in recipe.embeddings]
        facts = [_suiting("embeddings", find(one.file), recipe, model) for one in asked]
        recipe = _with_embeddings(recipe, asked, facts)
    elif recipe.embeddings_sha256 is not None:
        raise SettingError.of("embeddings_sha256", "needs embeddings, but none are given")
    if recipe.replace_tokens is not None:
        wanted = [parse_replacement(text) for text in recipe.replace_tokens]
        files = [find(file) for one in wanted for file in one.files]
        facts = [_suiting("replace_tokens", fact, recipe, model) for fact in files]
        recipe = _with_replacements(recipe, wanted, facts)
    elif recipe.replace_tokens_sha256 is not None:
        raise SettingError.of("replace_tokens_sha256", "needs replace_tokens, but none are given")
    return recipe


def _with_embeddings(recipe: Recipe, asked: list[Embedding], facts: list[EmbeddingFacts]) -> Recipe:
    named = tuple(
        Embedding(file=one.file, token=fact.token if one.token is None else one.token)
        for one, fact in zip(asked, facts, strict=True)
    )
    _check_words("embeddings", [str(one.token) for one in named], recipe)
    hashes = _checked_hashes("embeddings", facts, recipe.embeddings_sha256)
    return dataclasses.replace(
        recipe, embeddings=tuple(str(one) for one in named), embeddings_sha256=hashes
    )


def _with_replacements(
    recipe: Recipe, asked: list[Replacement], facts: list[EmbeddingFacts]
) -> Recipe:
    for fact in facts:
        if fact.count > 1:
            raise SettingError.of(
                "replace_tokens",
                f"must use files with one vector, and {fact.file!r} has {fact.count}: "
                "use it as an embedding",
            )
    learned = [parse_embedding(one).token for one in recipe.embeddings or ()]
    _check_words("replace_tokens", [one.word for one in asked], recipe, taken=learned)
    hashes = _checked_hashes("replace_tokens", facts, recipe.replace_tokens_sha256)
    return dataclasses.replace(recipe, replace_tokens_sha256=hashes if hashes else None)


def _suiting(field: str, facts: EmbeddingFacts, recipe: Recipe, model: Defaults) -> EmbeddingFacts:
    # SDXL's refiner has only the last of SDXL's encoders.
    if facts.widths[-len(model.text_widths) :] != model.text_widths:
        raise SettingError(
            f"{field}: {facts.file!r} is for {family_of(facts.widths)}, with vectors of width "
            f"{_listed(facts.widths)}; {recipe.model} needs width {_listed(model.text_widths)}",
            field=field,
        )
    return facts


def _listed(widths: tuple[int, ...]) -> str:
    return " and ".join(str(width) for width in widths)


def _check_words(
    field: str, words: list[str], recipe: Recipe, *, taken: "list[str | None] | None" = None
) -> None:
    seen = {str(word).lower() for word in taken or []}
    prompts = [getattr(recipe, name) or "" for name in PROMPTS]
    prompts += (*(recipe.mix_prompts or ()), *(recipe.regions or ()))
    for word in words:
        if word.lower() in seen:
            raise SettingError.of(field, f"must give each word one meaning, got {word!r} twice")
        seen.add(word.lower())
        if any(mark in word for mark in MARKS):
            raise SettingError.of(
                field,
                f"must be words without {MARKS}, which are prompt syntax, got {word!r}: "
                "choose another word with FILE:TOKEN",
            )
        if not any(mentions(prompt, word) for prompt in prompts):
            raise SettingError.of(
                field, f"must be used in a prompt, and {word!r} is not in {recipe.prompt!r}"
            )


def _checked_hashes(
    field: str, facts: list[EmbeddingFacts], expected: tuple[str, ...] | None
) -> tuple[str, ...]:
    hashes = tuple(fact.sha256 for fact in facts)
    check_hashes(f"{field}_sha256", [fact.file for fact in facts], expected, hashes)
    return hashes
