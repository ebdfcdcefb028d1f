"""Token ids become what the UNet attends to: one text encoder for SD 1.x and 2.x, two for SDXL."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdloop.components import Components
from sdloop.conditioning.tokens import tokenize
from sdloop.conditioning.value import Conditioning
from sdloop.conditioning.words import with_words, words_of
from sdloop.recipe import Recipe


class Encoded(NamedTuple):
    """A prompt's embeddings, (1, tokens, width), and for SDXL their pooled summary, (1, width)."""

    embeds: Tensor
    pooled: Tensor | None


Encode = Callable[[str, int], Encoded]


def condition(
    components: Components, recipe: Recipe, *, encode: Encode | None = None
) -> Conditioning:
    """What the UNet is told about one picture: a Conditioning of one row.

    Each prompt is encoded by itself, so that a picture does not depend on its neighbours in a
    batch. ``encode`` takes the place of ``encode_prompt`` for these components, to remember what
    it has encoded. SDXL is told sizes, and needs a ``recipe`` that is resolved.
    """
    if encode is None:
        encode = partial(encode_prompt, with_words(components, words_of(recipe)))
    positive = encode(recipe.prompt, recipe.clip_skip)
    negative = _unconditional(components, recipe, positive, encode)
    return Conditioning(
        prompt_embeds=positive.embeds,
        pooled_prompt_embeds=positive.pooled,
        negative_prompt_embeds=negative and negative.embeds,
        negative_pooled_prompt_embeds=negative and negative.pooled,
        time_ids=_time_ids(components, recipe) if components.takes_sizes else None,
    )


@torch.no_grad()
def encode_prompt(components: Components, prompt: str, clip_skip: int = 1) -> Encoded:
    """What the text encoder, or SDXL's two, make of a prompt."""
    return encoded_prompt(components, prompt, clip_skip)


def encoded_prompt(components: Components, prompt: str, clip_skip: int = 1) -> Encoded:
    """The same, with gradients for whoever asks for them."""
    encode = _encode_one if components.text_encoder_2 is None else _encode_two
    return encode(components, prompt, clip_skip)


def _unconditional(
    components: Components, recipe: Recipe, positive: Encoded, encode: Encode
) -> Encoded | None:
    """The twin that guidance leads away from; ``None`` where guidance is off.

    Without a negative prompt, SDXL was trained to see zeros, the others the empty text. The clip
    skip does not apply: diffusers leaves the negative prompt at the model's own layer, and pictures
    must come out equal.
    """
    if recipe.guidance_scale == 1:
        return None
    if recipe.negative_prompt is None and components.force_zeros_for_empty_prompt:
        assert positive.pooled is not None
        return Encoded(torch.zeros_like(positive.embeds), torch.zeros_like(positive.pooled))
    return encode(recipe.negative_prompt or "", 1)


def _encode_one(components: Components, prompt: str, clip_skip: int) -> Encoded:
    """SD 1.x and 2.x: the encoder's last layer, or an earlier one through the final norm."""
    encoder = components.text_encoder
    ids = tokenize(components.tokenizer, prompt).to(encoder.device)
    if clip_skip == 1:
        return Encoded(encoder(ids)[0], None)
    hidden = encoder(ids, output_hidden_states=True).hidden_states[-clip_skip]
    # transformers 5.6 moved the layers of CLIPTextModel up out of `text_model`.
    layers = getattr(encoder, "text_model", encoder)
    return Encoded(layers.final_layer_norm(hidden), None)


def _encode_two(components: Components, prompt: str, clip_skip: int) -> Encoded:
    """SDXL: the last layer but one of both encoders side by side, and the second one's summary."""
    pairs: tuple[tuple[Any, Any], ...] = (
        (components.tokenizer, components.text_encoder),
        (components.tokenizer_2, components.text_encoder_2),
    )
    outputs: list[Any] = [
        encoder(tokenize(tokenizer, prompt).to(encoder.device), output_hidden_states=True)
        for tokenizer, encoder in pairs
    ]
    embeds = torch.cat([output.hidden_states[-(clip_skip + 1)] for output in outputs], dim=-1)
    return Encoded(embeds, outputs[-1].text_embeds)


def _time_ids(components: Components, recipe: Recipe) -> Tensor:
    """What SDXL is told about sizes, (1, 6): see ``Conditioning``. Untold means the picture's own.

    Source: Podell et al. 2023 (arXiv:2307.01952), section 2.2.
    """
    original_width, original_height = recipe.original_size or recipe.size
    target_width, target_height = recipe.target_size or recipe.size
    top, left = recipe.crop_top_left or (0, 0)
    ids = [original_height, original_width, top, left, target_height, target_width]
    # In float32 whatever the UNet's precision: bfloat16 would round 1365 to 1368.
    return torch.tensor([ids], dtype=torch.float32, device=components.device)
