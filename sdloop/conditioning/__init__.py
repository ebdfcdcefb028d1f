"""What the prompt tells the UNet: from text to one ``Conditioning``, however it came about."""

from sdloop.conditioning.encode import Encode, condition, encode_prompt
from sdloop.conditioning.tokens import PromptCut, tokenize
from sdloop.conditioning.value import Conditioning, stack

__all__ = ["Conditioning", "Encode", "PromptCut", "condition", "encode_prompt", "stack", "tokenize"]
