"""What the prompt tells the UNet: from text to one ``Conditioning``, however it came about."""

from sdloop.conditioning.encode import condition
from sdloop.conditioning.tokens import PromptCut, tokenize
from sdloop.conditioning.value import Conditioning, stack

__all__ = ["Conditioning", "PromptCut", "condition", "stack", "tokenize"]
