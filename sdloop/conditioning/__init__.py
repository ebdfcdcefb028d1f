"""What the prompt tells the UNet: from text to one ``Conditioning``, however it came about."""

from sdloop.conditioning.encode import Encode, condition, encode_prompt, encoded_prompt
from sdloop.conditioning.tokens import PromptCut, tokenize
from sdloop.conditioning.value import Conditioning, stack
from sdloop.conditioning.words import (
    Words,
    pairs_of,
    with_vectors,
    with_words,
    word_vector,
    words_of,
)

__all__ = [
    "Conditioning",
    "Encode",
    "PromptCut",
    "Words",
    "condition",
    "encode_prompt",
    "encoded_prompt",
    "pairs_of",
    "stack",
    "tokenize",
    "with_vectors",
    "with_words",
    "word_vector",
    "words_of",
]
