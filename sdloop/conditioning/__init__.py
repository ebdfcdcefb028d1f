"""What the prompt tells the UNet: from text to one ``Conditioning``, however it came about."""

from sdloop.conditioning.encode import (
    Encode,
    Encoded,
    condition,
    encode_all,
    encode_prompt,
    lengthened,
)
from sdloop.conditioning.reading import Reading, TextInput, readings
from sdloop.conditioning.tokens import Ids, tokenize
from sdloop.conditioning.value import Conditioning, stack

__all__ = [
    "Conditioning",
    "Encode",
    "Encoded",
    "Ids",
    "Reading",
    "TextInput",
    "condition",
    "encode_all",
    "encode_prompt",
    "lengthened",
    "readings",
    "stack",
    "tokenize",
]
