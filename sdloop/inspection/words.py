"""A prompt on its way through a text encoder, token by token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sdloop.conditioning.tokens import tokenize


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One place of the encoder's window, the first chunk's.

    ``token_norm`` and ``position_norm`` are the lengths of the two vectors that are added for it,
    ``encoded_norm`` that of what comes out. ``changed`` is the cosine between what goes in and what
    comes out of the encoder: how much of the word itself is left.
    """

    place: int
    id: int
    text: str
    token_norm: float
    position_norm: float
    encoded_norm: float
    changed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """A prompt in one encoder: its tokens, begin and end among them, and ``encoded`` rows.

    ``encoded`` is (tokens, width), of the last layer, padding included.
    """

    tokens: tuple[Token, ...]
    encoded: Tensor


@torch.no_grad()
def walk(tokenizer: Any, encoder: Any, prompt: str) -> Walk:
    """Each token's embedding, plus that of its position, through the encoder's layers."""
    ids = tokenize(tokenizer, prompt)[0].ids
    layers = getattr(encoder, "text_model", encoder)
    known = layers.embeddings.token_embedding(ids.to(encoder.device))[0].float()
    places = layers.embeddings.position_embedding.weight[: len(known)].float()
    output = encoder(ids.to(encoder.device), output_hidden_states=True)
    encoded = layers.final_layer_norm(output.hidden_states[-1])[0].float()
    alike = torch.nn.functional.cosine_similarity(known + places, encoded, dim=-1)
    end = _end(ids[0].tolist(), tokenizer)
    texts = tokenizer.convert_ids_to_tokens(ids[0].tolist())
    tokens = tuple(
        Token(
            place=place,
            id=int(ids[0, place]),
            text=str(texts[place]).removesuffix("</w>"),
            token_norm=float(known[place].norm()),
            position_norm=float(places[place].norm()),
            encoded_norm=float(encoded[place].norm()),
            changed=float(alike[place]),
        )
        for place in range(end + 1)
    )
    return Walk(tokens=tokens, encoded=encoded.cpu())


def parting(one: Walk, other: Walk) -> list[float]:
    """The cosine between two prompts at each place, padding included: 1 until they part.

    A text encoder sees only what stands before, so everything before the first word that differs
    is equal, and everything after it is not.
    """
    alike = torch.nn.functional.cosine_similarity(one.encoded, other.encoded, dim=-1)
    return [float(cosine) for cosine in alike]


def _end(ids: Sequence[int], tokenizer: Any) -> int:
    """The place of the end token: what follows is padding."""
    end = tokenizer("", verbose=False).input_ids[-1]
    return list(ids).index(end, 1)
