"""Encode prompts for the UNet's cross-attention: SD 1.x and 2.x have one text encoder, SDXL two.

Each chunk of a prompt is encoded separately, and the results are concatenated: 77 tokens per chunk.
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
from sdloop.conditioning.words import pairs_of, with_words, words_of
from sdloop.models.components.load import Components
from sdloop.models.components.offload import works_on
from sdloop.recipe.limits import SCORES
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_regions import regions_of


class Encoded(NamedTuple):
    """A prompt's embeddings, (1, tokens, width), and for SDXL the pooled embedding, (1, width)."""

    embeds: Tensor
    pooled: Tensor | None


Encode = Callable[[TextInput], Encoded]


def condition(
    components: Components, recipe: Recipe, *, encode: Encode | None = None
) -> Conditioning:
    """The conditioning for one picture.

    Each prompt is encoded separately, so that a picture does not depend on the others in its batch.
    ``encode`` replaces ``encode_prompt`` for these components, for example to cache its results.
    SDXL also needs sizes, so its ``recipe`` must be resolved.
    """
    if encode is None:
        encode = partial(encode_prompt, with_words(components, words_of(recipe)))
    positive, negative_ids = _both_time_ids(components, recipe)
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
                time_ids=positive,
                negative_time_ids=negative_ids,
                weights=None if wanted is None else wanted.reshape(-1, 1, 1, 1, 1),
                regions=len(regions_of(recipe)),
            )
        changes.append((first, states[reading]))
    scale = guidance_embeds(components, recipe) if components.embeds_guidance else None
    return replace(changes[0][1], later=tuple(changes[1:]), guidance_embeds=scale)


def _pooled(positives: Sequence[Encoded]) -> Tensor | None:
    pooled = [one.pooled for one in positives if one.pooled is not None]
    return torch.cat(pooled) if pooled else None


def encode_all(
    components: Components, recipe: Recipe, reading: Reading, encode: Encode
) -> tuple[list[Encoded], Encoded | None]:
    """The encoded prompts, and the unconditional one; ``None`` if guidance is off.

    They get the same length: empty chunks are appended to the shorter ones, as in A1111.

    Without a negative prompt, SDXL was trained with zeros, the other models with the empty text.
    Clip skip is not applied to the negative prompt, because diffusers does not, and pictures must
    be equal.
    """
    positives = [_mixed(texts, recipe, encode) for texts in reading.prompts]
    tokens = max(one.embeds.shape[1] for one in positives)
    unwanted = reading.negative or TextInput(text="", emphasis=recipe.emphasis)
    guided = recipe.guided and not components.embeds_guidance
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


def guidance_embeds(components: Components, recipe: Recipe) -> Tensor:
    """The guidance scale of a resolved Recipe as LCM's UNet takes it, (1, width).

    Sines and cosines of ``guidance_scale - 1``, computed in float32 as in diffusers.

    Source: Meng et al. 2023 (arXiv:2210.03142), appendix B.1; Luo et al. 2023 (arXiv:2310.04378).
    """
    width = int(components.unet.config.time_cond_proj_dim or 0)
    assert recipe.guidance_scale is not None  # resolved
    scale = torch.tensor([recipe.guidance_scale - 1]) * 1000.0
    slowest = torch.log(torch.tensor(10000.0)) / (width // 2 - 1)
    waves = torch.exp(torch.arange(width // 2, dtype=torch.float32) * -slowest)
    angles = scale[:, None] * waves[None, :]
    embeds = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
    embeds = torch.nn.functional.pad(embeds, (0, width % 2))
    return embeds.to(components.device, components.dtype)


def _mixed(texts: Sequence[TextInput], recipe: Recipe, encode: Encode) -> Encoded:
    """One encoded prompt, or the mix of several; prompts with a share of 0 are not encoded."""
    shares = recipe.mix_weights if recipe.mix_weights and len(texts) > 1 else (1.0,)
    pairs = [(text, share) for text, share in zip(texts, shares, strict=True) if share]
    read = [encode(text) for text, _ in pairs]
    if len(pairs) == 1:
        return read[0]
    tokens = max(one.embeds.shape[1] for one in read)
    weights = [share for _, share in pairs]
    read = [lengthened(one, texts[0], tokens, encode) for one in read]
    embeds = mixed([one.embeds for one in read], weights, arc=recipe.slerp)
    pooled = [one.pooled for one in read if one.pooled is not None]
    return Encoded(embeds, mixed(pooled, weights, arc=recipe.slerp) if pooled else None)


def lengthened(encoded: Encoded, read: TextInput, tokens: int, encode: Encode) -> Encoded:
    """``encoded``, with empty chunks appended until it has ``tokens``; ``read`` is its input."""
    if encoded.embeds.shape[1] == tokens:
        return encoded
    empty = encode(replace(read, text="", text_2=None)).embeds
    missing = (tokens - encoded.embeds.shape[1]) // empty.shape[1]
    return encoded._replace(embeds=torch.cat([encoded.embeds, *[empty] * missing], dim=1))


@torch.no_grad()
def encode_prompt(components: Components, read: TextInput) -> Encoded:
    """Encode a text with the text encoder, or with SDXL's two.

    Raises ``PromptError`` for a text that cannot be parsed, ``SettingError`` for weights that
    cancel out.
    """
    return encoded_prompt(components, read)


def encoded_prompt(components: Components, read: TextInput) -> Encoded:
    """The same as ``encode_prompt``, but with gradients."""
    encode = _encode_xl if components.takes_sizes else _encode_one
    embeds, pooled = encode(components, read)
    place = components.device, components.dtype
    return Encoded(embeds.to(*place), None if pooled is None else pooled.to(*place))


def _encode_one(components: Components, read: TextInput) -> Encoded:
    """SD 1.x and 2.x: the encoder's last layer, or with clip skip an earlier one, normalized."""
    chunks = tokenize(components.tokenizer, read.text, emphasis=read.emphasis)
    layers = [_layer(components.text_encoder, chunk.ids, read.clip_skip) for chunk in chunks]
    return Encoded(_joined(layers, chunks, read.emphasis), None)


def _layer(encoder: Any, ids: Tensor, clip_skip: int) -> Tensor:
    ids = ids.to(works_on(encoder))
    if clip_skip == 1:
        last: Tensor = encoder(ids)[0]
        return last
    hidden = encoder(ids, output_hidden_states=True).hidden_states[-clip_skip]
    # transformers 5.6 moved the layers of CLIPTextModel out of `text_model`.
    normed: Tensor = getattr(encoder, "text_model", encoder).final_layer_norm(hidden)
    return normed


def _encode_xl(components: Components, read: TextInput) -> Encoded:
    """SDXL: the second-to-last layers of both encoders, joined, and the second one's pooled output.

    The refiner has only the second one, which reads the prompt and not prompt_2, as in diffusers.
    Both encode the same number of chunks. The pooled embedding is that of the first chunk, as in
    diffusers and A1111: it ignores the rest of a longer prompt.
    """
    text_2 = read.text if read.text_2 is None else read.text_2
    inputs: list[tuple[Any, Any, list[Ids]]] = [
        (tokenizer, encoder, tokenize(tokenizer, text, emphasis=read.emphasis))
        for (tokenizer, encoder), text in zip(
            pairs_of(components), (read.text, text_2), strict=False
        )
    ]
    most = max(len(chunks) for _, _, chunks in inputs)
    sides, summaries = [], []
    for tokenizer, encoder, chunks in inputs:
        chunks += tokenize(tokenizer, "") * (most - len(chunks))
        outputs = [encoder(c.ids.to(works_on(encoder)), output_hidden_states=True) for c in chunks]
        layers = [output.hidden_states[-(read.clip_skip + 1)] for output in outputs]
        sides.append(_joined(layers, chunks, read.emphasis))
        summaries.append(outputs[0])
    return Encoded(torch.cat(sides, dim=-1), summaries[-1].text_embeds)


def _joined(layers: Sequence[Tensor], chunks: Sequence[Ids], emphasis: str) -> Tensor:
    """One encoder's weighted output for all chunks, concatenated."""
    pairs = zip(layers, chunks, strict=True)
    return torch.cat([weighted(layer, one.weights, emphasis) for layer, one in pairs], dim=1)


def with_sizes(
    components: Components, conditioning: Conditioning, recipes: Sequence[Recipe]
) -> Conditioning:
    """``conditioning`` with the sizes of ``recipes``; changes only SDXL's."""
    if not components.takes_sizes:
        return conditioning
    rows = [_both_time_ids(components, recipe) for recipe in recipes]
    sides = zip(*rows, strict=True)
    positive, negative = ([ids for ids in side if ids is not None] for side in sides)
    return replace(
        conditioning,
        time_ids=torch.cat(positive),
        negative_time_ids=torch.cat(negative) if negative else None,
    )


def _both_time_ids(components: Components, recipe: Recipe) -> tuple[Tensor | None, Tensor | None]:
    """The size conditioning of the prompt's rows, and of the negative ones if it is another.

    SDXL's refiner gets an aesthetic score instead of the target size, and another one in the
    negative rows.
    """
    if not components.takes_sizes:
        return None, None
    ids = _time_ids(components, recipe)
    if not components.scores:
        return ids, None
    given = (recipe.aesthetic_score, recipe.negative_aesthetic_score)
    scores = [own if usual is None else usual for own, usual in zip(SCORES, given, strict=True)]
    positive, negative = (
        torch.cat([ids[:, :4], ids.new_tensor([[score]])], dim=1) for score in scores
    )
    negative[:, 2:4] = 0  # as in diffusers, the crop is the prompt's alone
    return positive, negative


def _time_ids(components: Components, recipe: Recipe) -> Tensor:
    """SDXL's size conditioning, (1, 6): see ``Conditioning``. The default is the picture's size.

    If the UNet runs on tiles of the picture, the target size is that of a tile, but the original
    size is that of the whole picture: in training, large photos that were made small were the
    sharpest. The tile's position is not passed as the crop: in training, crops were at most as far
    from the edge as one side was longer than the other, and a tile may be much further.

    Source: Podell et al. 2023 (arXiv:2307.01952), section 2.2.
    """
    target = recipe.size if not recipe.tile else [min(side, recipe.tile) for side in recipe.size]
    original_width, original_height = recipe.original_size or recipe.size
    target_width, target_height = recipe.target_size or target
    top, left = recipe.crop_top_left or (0, 0)
    ids = [original_height, original_width, top, left, target_height, target_width]
    # In float32 whatever the UNet's precision: bfloat16 would round 1365 to 1368.
    return torch.tensor([ids], dtype=torch.float32, device=components.device)
