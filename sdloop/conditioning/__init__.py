"""What the prompt tells the UNet: from text to one ``Conditioning``, however it came about."""

from sdloop.conditioning.encode import (
    Encode,
    Encoded,
    condition,
    encode_all,
    encode_prompt,
    encoded_prompt,
    lengthened,
    with_sizes,
)
from sdloop.conditioning.reading import Reading, TextInput, readings
from sdloop.conditioning.tokens import Ids, tokenize
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
    "Encoded",
    "Ids",
    "Reading",
    "TextInput",
    "Words",
    "condition",
    "encode_all",
    "encode_prompt",
    "encoded_prompt",
    "lengthened",
    "pairs_of",
    "readings",
    "stack",
    "tokenize",
    "with_sizes",
    "with_vectors",
    "with_words",
    "word_vector",
    "words_of",
]
