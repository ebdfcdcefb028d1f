"""Prompts become what the UNet attends to: one text encoder for SD 1.x and 2.x, two for SDXL.

A prompt is encoded chunk by chunk, each by itself, and the chunks stand one after the other in what
the UNet sees: 77 tokens for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdloop.conditioning.emphasis import weighted
from sdloop.conditioning.mix import mixed
from sdloop.conditioning.reading import Reading, TextInput, readings, weights_of
from sdloop.conditioning.tokens import Ids, tokenize
from sdloop.conditioning.value import Conditioning
from sdloop.conditioning.words import with_words, words_of
from sdloop.models.components.load import Components
from sdloop.recipe.recipe import Recipe


class Encoded(NamedTuple):
    """A prompt's embeddings, (1, tokens, width), and for SDXL their pooled summary, (1, width)."""

    embeds: Tensor
    pooled: Tensor | None


Encode = Callable[[TextInput], Encoded]


def condition(
    components: Components, recipe: Recipe, *, encode: Encode | None = None
) -> Conditioning:
    """What the UNet is told about one picture.

    Each prompt is encoded by itself, so that a picture does not depend on its neighbours in a
    batch. ``encode`` takes the place of ``encode_prompt`` for these components, to remember what
    it has encoded. SDXL is told sizes, and needs a ``recipe`` that is resolved.
    """
    if encode is None:
        encode = partial(encode_prompt, with_words(components, words_of(recipe)))
    time_ids = _time_ids(components, recipe) if components.takes_sizes else None
    weights = weights_of(recipe)
    wanted = None if weights is None else torch.tensor(weights, device=components.device)
    states: dict[Reading, Conditioning] = {}
    changes = []
    for first, reading in readings(recipe):
        if reading not in states:
            positives, negative = encode_all(components, recipe, reading, encode)
            states[reading] = Conditioning(
                prompt_embeds=torch.cat([one.embeds for one in positives]),
                pooled_prompt_embeds=_pooled(positives),
                negative_prompt_embeds=negative and negative.embeds,
                negative_pooled_prompt_embeds=negative and negative.pooled,
                time_ids=time_ids,
                weights=None if wanted is None else wanted.reshape(-1, 1, 1, 1, 1),
            )
        changes.append((first, states[reading]))
    return replace(changes[0][1], later=tuple(changes[1:]))


def _pooled(positives: Sequence[Encoded]) -> Tensor | None:
    pooled = [one.pooled for one in positives if one.pooled is not None]
    return torch.cat(pooled) if pooled else None


def encode_all(
    components: Components, recipe: Recipe, reading: Reading, encode: Encode
) -> tuple[list[Encoded], Encoded | None]:
    """The prompts, and the twin that guidance leads away from; ``None`` where guidance is off.

    They are equally long: whichever has fewer chunks is followed by empty ones, as in A1111.

    Without a negative prompt, SDXL was trained to see zeros, the others the empty text. The clip
    skip does not apply: diffusers leaves the negative prompt at the model's own layer, and pictures
    must come out equal.
    """
    positives = [_mixed(texts, recipe, encode) for texts in reading.prompts]
    tokens = max(one.embeds.shape[1] for one in positives)
    unwanted = reading.negative or TextInput(text="", emphasis=recipe.emphasis)
    guided = recipe.guided
    zeros = reading.negative is None and components.force_zeros_for_empty_prompt
    negative = encode(unwanted) if guided and not zeros else None
    if negative is not None:
        tokens = max(tokens, negative.embeds.shape[1])
        negative = lengthened(negative, unwanted, tokens, encode)
    pairs = zip(positives, reading.prompts, strict=True)
    positives = [lengthened(one, texts[0], tokens, encode) for one, texts in pairs]
    if guided and negative is None:
        assert positives[0].pooled is not None
        zeros_of = torch.zeros_like
        negative = Encoded(zeros_of(positives[0].embeds), zeros_of(positives[0].pooled))
    return positives, negative


def _mixed(texts: Sequence[TextInput], recipe: Recipe, encode: Encode) -> Encoded:
    """What is read of one prompt, or of several that are mixed: of those that have a share."""
    shares = zip(texts, recipe.mix_weights or (1.0,), strict=True)
    pairs = [(text, weight) for text, weight in shares if weight]
    read = [encode(text) for text, _ in pairs]
    if len(pairs) == 1:
        return read[0]
    tokens = max(one.embeds.shape[1] for one in read)
    weights = [weight for _, weight in pairs]
    read = [lengthened(one, texts[0], tokens, encode) for one in read]
    embeds = mixed([one.embeds for one in read], weights, arc=recipe.slerp)
    pooled = [one.pooled for one in read if one.pooled is not None]
    return Encoded(embeds, mixed(pooled, weights, arc=recipe.slerp) if pooled else None)


def lengthened(encoded: Encoded, read: TextInput, tokens: int, encode: Encode) -> Encoded:
    """``encoded``, as it was ``read``, with chunks of the empty text until it has ``tokens``."""
    if encoded.embeds.shape[1] == tokens:
        return encoded
    empty = encode(replace(read, text="", text_2=None)).embeds
    missing = (tokens - encoded.embeds.shape[1]) // empty.shape[1]
    return encoded._replace(embeds=torch.cat([encoded.embeds, *[empty] * missing], dim=1))


@torch.no_grad()
def encode_prompt(components: Components, read: TextInput) -> Encoded:
    """What the text encoder, or SDXL's two, make of a text.

    Raises ``PromptError`` for one that cannot be read, ``SettingError`` for weights that leave
    nothing of it.
    """
    return encoded_prompt(components, read)


def encoded_prompt(components: Components, read: TextInput) -> Encoded:
    """The same, with gradients for whoever asks for them."""
    encode = _encode_one if components.text_encoder_2 is None else _encode_two
    return encode(components, read)


def _encode_one(components: Components, read: TextInput) -> Encoded:
    """SD 1.x and 2.x: the encoder's last layer, or an earlier one through the final norm."""
    chunks = tokenize(components.tokenizer, read.text, emphasis=read.emphasis)
    layers = [_layer(components.text_encoder, chunk.ids, read.clip_skip) for chunk in chunks]
    return Encoded(_joined(layers, chunks, read.emphasis), None)


def _layer(encoder: Any, ids: Tensor, clip_skip: int) -> Tensor:
    ids = ids.to(encoder.device)
    if clip_skip == 1:
        last: Tensor = encoder(ids)[0]
        return last
    hidden = encoder(ids, output_hidden_states=True).hidden_states[-clip_skip]
    # transformers 5.6 moved the layers of CLIPTextModel up out of `text_model`.
    normed: Tensor = getattr(encoder, "text_model", encoder).final_layer_norm(hidden)
    return normed


def _encode_two(components: Components, read: TextInput) -> Encoded:
    """SDXL: the last layer but one of both encoders side by side, and the second one's summary.

    Both see equally many chunks. The summary is that of the first chunk, as diffusers and A1111
    take it: what a longer prompt says after it is not in there.
    """
    text_2 = read.text if read.text_2 is None else read.text_2
    inputs: list[tuple[Any, Any, list[Ids]]] = [
        (tokenizer, encoder, tokenize(tokenizer, text, emphasis=read.emphasis))
        for tokenizer, encoder, text in (
            (components.tokenizer, components.text_encoder, read.text),
            (components.tokenizer_2, components.text_encoder_2, text_2),
        )
    ]
    most = max(len(chunks) for _, _, chunks in inputs)
    sides, summaries = [], []
    for tokenizer, encoder, chunks in inputs:
        chunks += tokenize(tokenizer, "") * (most - len(chunks))
        outputs = [encoder(c.ids.to(encoder.device), output_hidden_states=True) for c in chunks]
        layers = [output.hidden_states[-(read.clip_skip + 1)] for output in outputs]
        sides.append(_joined(layers, chunks, read.emphasis))
        summaries.append(outputs[0])
    return Encoded(torch.cat(sides, dim=-1), summaries[1].text_embeds)


def _joined(layers: Sequence[Tensor], chunks: Sequence[Ids], emphasis: str) -> Tensor:
    """One encoder's output for all chunks, weighted, in a row."""
    pairs = zip(layers, chunks, strict=True)
    return torch.cat([weighted(layer, one.weights, emphasis) for layer, one in pairs], dim=1)


def with_sizes(
    components: Components, conditioning: Conditioning, recipes: Sequence[Recipe]
) -> Conditioning:
    """``conditioning`` for pictures of the sizes of ``recipes``; only SDXL is told of them."""
    if not components.takes_sizes:
        return conditioning
    rows = [_time_ids(components, recipe) for recipe in recipes]
    return replace(conditioning, time_ids=torch.cat(rows))


def _time_ids(components: Components, recipe: Recipe) -> Tensor:
    """What SDXL is told about sizes, (1, 6): see ``Conditioning``. Untold means the picture's own.

    Where it sees the picture through windows, it is told that its target is a window's size, as
    it is, and still that of the whole as the original: large photos, made small, were its sharpest.
    Nor is it told where in the picture the window lies. In training the crop's offset was what a
    side was longer than the other, and a window's would be far beyond that.

    Source: Podell et al. 2023 (arXiv:2307.01952), section 2.2.
    """
    target = recipe.size if not recipe.tile else [min(side, recipe.tile) for side in recipe.size]
    original_width, original_height = recipe.original_size or recipe.size
    target_width, target_height = recipe.target_size or target
    top, left = recipe.crop_top_left or (0, 0)
    ids = [original_height, original_width, top, left, target_height, target_width]
    # In float32 whatever the UNet's precision: bfloat16 would round 1365 to 1368.
    return torch.tensor([ids], dtype=torch.float32, device=components.device)
