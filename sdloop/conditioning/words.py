"""Learned and replaced words: text encoders with vectors that are not in their vocabulary.

A tokenizer gives ids, and the text encoder's first layer looks up a vector for each. Here an id
below zero stands for an additional vector: the tokenizer inserts it where the word is in the text,
and the first layer looks it up. Nothing else changes. The model's own tokenizer and encoder are not
modified: these are copies that share their weights.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sdloop.errors import FileError
from sdloop.models.checkpoint.embedding import embedding_path
from sdloop.models.components.load import Components
from sdloop.prompt.learned.facts import facts_in, read_bytes, tensors_in
from sdloop.prompt.learned.grammar import Term, Terms, parse_embedding, parse_replacement
from sdloop.prompt.learned.single import token_id
from sdloop.prompt.learned.tokenizer import WordTokenizer
from sdloop.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """The additional words: (text in a prompt, terms) for each, hashable.

    ``hashes`` are (file, sha256) of the files in the terms; ``single`` are the words that must be a
    single token of the model.
    """

    terms: tuple[tuple[str, Terms], ...] = ()
    hashes: tuple[tuple[str, str], ...] = ()
    single: frozenset[str] = frozenset()


def words_of(recipe: Recipe) -> Words:
    """The learned and the replaced words of a resolved Recipe."""
    learned = [parse_embedding(text) for text in recipe.embeddings or ()]
    replaced = [parse_replacement(text) for text in recipe.replace_tokens or ()]
    files = [*(e.file for e in learned), *(f for one in replaced for f in one.files)]
    hashes = (*(recipe.embeddings_sha256 or ()), *(recipe.replace_tokens_sha256 or ()))
    return Words(
        terms=(
            *((str(e.token), (Term(factor=1.0, name=e.file),)) for e in learned),
            *((one.word, one.terms) for one in replaced),
        ),
        hashes=tuple(zip(files, hashes, strict=True)),
        single=frozenset(one.word for one in replaced),
    )


def with_words(components: Components, words: Words) -> Components:
    """``components`` whose text encoders know ``words``; unchanged if there are none.

    Raises ``SettingError`` for a word that is not a single token, with its tokens, and
    ``FileError`` for a file that has changed, or holds NaN.
    """
    if not words.terms:
        return components
    hashes = dict(words.hashes)
    files = {file: _file_vectors(file, hashes[file]) for file in hashes}
    by_encoder = []
    for index, (tokenizer, encoder) in enumerate(pairs_of(components)):
        # Counted from the last: SDXL's refiner has only the last encoder.
        place = index - len(pairs_of(components))
        own = {file: vectors[place] for file, vectors in files.items()}
        for word in words.single:
            token_id(tokenizer, word)
        by_encoder.append(
            {text: _sum(terms, tokenizer, encoder, own) for text, terms in words.terms}
        )
    return with_vectors(components, by_encoder)


def with_vectors(components: Components, by_encoder: Sequence[Mapping[str, Tensor]]) -> Components:
    """``components`` that replace texts by vectors: text → (positions, width), for each encoder.

    Gradients flow into the vectors. Any text can be used, like "<my-frog>" or "{puppy|skunk}".
    """
    parts: dict[str, Any] = {}
    for number, ((tokenizer, encoder), vectors) in enumerate(
        zip(pairs_of(components), by_encoder, strict=True)
    ):
        suffix = "_2" if number else ""
        parts[f"tokenizer{suffix}"] = WordTokenizer(
            tokenizer, {text: len(rows) for text, rows in vectors.items()}
        )
        parts[f"text_encoder{suffix}"] = _with_first_layer(encoder, vectors)
    return replace(components, **parts)


def word_vector(tokenizer: Any, encoder: Any, word: str) -> Tensor:
    """The input embedding of a single-token word, (1, width): a copy in float32."""
    table: Tensor = encoder.get_input_embeddings().weight
    return table[token_id(tokenizer, word)].detach().float()[None].clone()


class WordEmbedding(nn.Module):
    """The first layer of a text encoder: its own table, and a vector for each id below zero.

    The table may itself be a ``WordEmbedding``; it then handles all ids from ``above`` on.
    """

    def __init__(self, table: nn.Module, vectors: Tensor) -> None:
        super().__init__()
        self.table = table
        self.vectors = vectors  # a plain tensor, so that the encoder gets no new parameters
        self.above: int = (
            table.above - len(table.vectors) if isinstance(table, WordEmbedding) else 0
        )

    def forward(self, ids: Tensor) -> Tensor:
        known: Tensor = self.table(ids.where(ids >= self.above, 0))
        learned = self.vectors.to(known)[(self.above - 1 - ids).clamp(min=0)]
        return torch.where(ids[..., None] < self.above, learned, known)


def _with_first_layer(encoder: Any, vectors: Mapping[str, Tensor]) -> Any:
    """A copy of the encoder that shares its weights, with another first layer."""
    shared = {id(t): t for t in (*encoder.parameters(), *encoder.buffers())}
    copied = copy.deepcopy(encoder, shared)
    table = copied.get_input_embeddings()
    copied.set_input_embeddings(WordEmbedding(table, torch.cat([*vectors.values()])))
    return copied


def pairs_of(components: Components) -> list[tuple[Any, Any]]:
    """Each tokenizer with its text encoder."""
    pairs: list[tuple[Any, Any]] = [(components.tokenizer, components.text_encoder)]
    if components.text_encoder_2 is not None:
        pairs.append((components.tokenizer_2, components.text_encoder_2))
    return pairs


def _sum(terms: Terms, tokenizer: Any, encoder: Any, files: Mapping[str, Tensor]) -> Tensor:
    """The sum of ``terms``, (positions, width), float32, on the CPU or the encoder's device."""
    device = encoder.get_input_embeddings().weight.device
    total: Tensor | None = None
    for term in terms:
        one = files[term.name] if term.is_file else word_vector(tokenizer, encoder, term.name)
        one = term.factor * one.to(device)
        total = one if total is None else total + one
    assert total is not None  # the grammar has at least one term
    return total


def _file_vectors(file: str, sha256: str) -> tuple[Tensor, ...]:
    """The file's vectors for each encoder, (positions, width), float32; checks the hash."""
    path = embedding_path(file)
    data = read_bytes(path)
    tensors = tensors_in(path, data)
    facts = facts_in(file, data, {name: tuple(t.shape) for name, t in tensors.items()})
    if facts.sha256 != sha256:
        raise FileError(f"{file!r} has changed since it was hashed: not {sha256[:12]}… any more")
    vectors = tuple(tensors[name].float().reshape(facts.count, -1) for name in facts.names)
    if not all(one.isfinite().all() for one in vectors):
        raise FileError(f"{file!r} holds NaN or infinity")
    return vectors
