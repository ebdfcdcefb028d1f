"""Follow a prompt through a text encoder, token by token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sdloop.conditioning.tokens import tokenize
from sdloop.models.components.offload import works_on


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One position in the first chunk of the prompt.

    ``token_norm`` and ``position_norm`` are the norms of the token embedding and of the position
    embedding. ``encoded_norm`` is the norm of the encoder's output. ``changed`` is the cosine
    similarity of the encoder's input and output: how much of the word itself is left.
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
    """A prompt in one encoder: its tokens, with the begin and end tokens, and the output.

    ``encoded`` is the output of the last layer, (tokens, width), with padding.
    """

    tokens: tuple[Token, ...]
    encoded: Tensor


@torch.no_grad()
def walk(tokenizer: Any, encoder: Any, prompt: str) -> Walk:
    """Encode ``prompt``, and compare each token's input (token + position) with its output."""
    ids = tokenize(tokenizer, prompt)[0].ids
    layers, place = getattr(encoder, "text_model", encoder), works_on(encoder)
    known = layers.embeddings.token_embedding(ids.to(place))[0].float()
    numbers = torch.arange(len(known), device=place)
    places = layers.embeddings.position_embedding(numbers).float()
    output = encoder(ids.to(place), output_hidden_states=True)
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
    """The cosine similarity of two prompts at each position, with padding.

    A text encoder's token attends only to the tokens before it. So all positions before the first
    different word are equal (1), and those from that word on are not.
    """
    alike = torch.nn.functional.cosine_similarity(one.encoded, other.encoded, dim=-1)
    return [float(cosine) for cosine in alike]


def _end(ids: Sequence[int], tokenizer: Any) -> int:
    """The position of the end token; padding follows it."""
    end = tokenizer("", verbose=False).input_ids[-1]
    return list(ids).index(end, 1)
