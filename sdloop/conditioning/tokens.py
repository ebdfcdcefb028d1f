"""Tokenize prompts into chunks of ids, with a weight for each token."""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdloop.prompt.chunks import Chunk, bare_ids, chunks_of


class Ids(NamedTuple):
    """One chunk as the text encoder reads it, including start, end and padding tokens.

    ``ids`` and ``weights`` are (1, ``tokenizer.model_max_length``), on the CPU; ``weights`` is
    ``None`` if all are 1.
    """

    ids: Tensor
    weights: Tensor | None


def tokenize(tokenizer: Any, prompt: str, *, emphasis: str = "a1111") -> list[Ids]:
    """The chunks of ``prompt``, at least one, for one text encoder.

    Raises ``PromptError`` for a prompt that cannot be parsed.
    """
    length = tokenizer.model_max_length - 2
    chunks = chunks_of(prompt, partial(bare_ids, tokenizer), length=length, emphasis=emphasis)
    begin, end = tokenizer("", verbose=False).input_ids
    return [_padded(chunk, begin, end, tokenizer.pad_token_id, length) for chunk in chunks]


def _padded(chunk: Chunk, begin: int, end: int, pad: int, length: int) -> Ids:
    # The end token must not be the padding token: SD2's encoder distinguishes them.
    padding = length - len(chunk)
    ids = [begin, *(token.id for token in chunk), end, *[pad] * padding]
    weights = [1.0, *(token.weight for token in chunk), 1.0, *[1.0] * padding]
    plain = all(weight == 1 for weight in weights)
    return Ids(torch.tensor([ids]), None if plain else torch.tensor([weights]))
