"""What the prompt tells the UNet: from text to one ``Conditioning``, however it came about."""

from sdloop.conditioning.encode import (
    Encode,
    Encoded,
    TextInput,
    condition,
    encode_both,
    encode_prompt,
    lengthened,
    with_sizes,
)
from sdloop.conditioning.tokens import Ids, tokenize
from sdloop.conditioning.value import Conditioning, stack

__all__ = [
    "Conditioning",
    "Encode",
    "Encoded",
    "Ids",
    "TextInput",
    "condition",
    "encode_both",
    "encode_prompt",
    "lengthened",
    "stack",
    "tokenize",
    "with_sizes",
]
