"""Prompts become token ids, and a prompt that is too long says which of its words are lost."""

import warnings
from typing import Any

import torch
from torch import Tensor


class PromptCut(UserWarning):
    """A prompt is longer than the text encoder takes, so its last words are dropped."""


def tokenize(tokenizer: Any, prompt: str) -> Tensor:
    """The ids that the text encoder reads, of shape (1, ``tokenizer.model_max_length``).

    Begin and end tokens are included, the rest is padding. Warns with ``PromptCut`` when words
    are dropped, naming them.
    """
    length = tokenizer.model_max_length
    ids = tokenizer(prompt, verbose=False).input_ids
    if len(ids) > length:
        dropped = tokenizer.decode(ids[length - 1 : -1])
        warnings.warn(
            f"the prompt is {len(ids) - 2} tokens long, the text encoder takes {length - 2}; "
            f"these words are dropped: {dropped}",
            PromptCut,
            stacklevel=2,
        )
        ids = [*ids[: length - 1], ids[-1]]
    padding = [tokenizer.pad_token_id] * (length - len(ids))
    return torch.tensor([[*ids, *padding]])
