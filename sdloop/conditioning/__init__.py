"""What the prompt tells the UNet: from text to one ``Conditioning``, however it came about."""

from sdloop.conditioning.encode import Encode, condition, encode_prompt
from sdloop.conditioning.tokens import PromptCut, tokenize
from sdloop.conditioning.value import Conditioning, stack
from sdloop.conditioning.words import Words, with_vectors, with_words, word_vector, words_of

__all__ = [
    "Conditioning",
    "Encode",
    "PromptCut",
    "Words",
    "condition",
    "encode_prompt",
    "stack",
    "tokenize",
    "with_vectors",
    "with_words",
    "word_vector",
    "words_of",
]
