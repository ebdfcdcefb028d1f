"""Words that somebody taught a model, as files, and what may stand in a word's place. No torch."""

from sdloop.learned.facts import (
    EmbeddingFacts,
    embedding_facts,
    facts_in,
    family_of,
    read_bytes,
    tensors_in,
)
from sdloop.learned.grammar import (
    Embedding,
    Replacement,
    Term,
    Terms,
    parse_embedding,
    parse_replacement,
    parse_terms,
)
from sdloop.learned.places import MARKS, mentions, places
from sdloop.learned.single import token_id
from sdloop.learned.tokenizer import WordTokenizer

__all__ = [
    "MARKS",
    "Embedding",
    "EmbeddingFacts",
    "Replacement",
    "Term",
    "Terms",
    "WordTokenizer",
    "embedding_facts",
    "facts_in",
    "family_of",
    "mentions",
    "parse_embedding",
    "parse_replacement",
    "parse_terms",
    "places",
    "read_bytes",
    "tensors_in",
    "token_id",
]
