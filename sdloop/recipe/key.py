"""The content key: the hash of everything that decides the pixels of a picture."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sdloop.images.input.mask import mask_file
from sdloop.prompt.check import is_plain
from sdloop.prompt.learned.grammar import parse_embedding, parse_replacement
from sdloop.recipe.check import PROMPTS
from sdloop.recipe.controls import Control
from sdloop.recipe.fields import ROWS
from sdloop.recipe.loras import Lora
from sdloop.recipe.loss_grammar import NamedLoss, parse_loss
from sdloop.recipe.preprocess import MODELS
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_image_prompts import shown_in
from sdloop.recipe.resolve_regions import regions_of
from sdloop.schedulers.names import BY_STRENGTH


def content_key(recipe: Recipe, weights: Mapping[str, str]) -> str:
    """The sha256 of everything that decides the pixels: a resolved Recipe and the weights' hashes.

    The content of the files counts, not their paths; so ``weights`` (file name → sha256) stands
    for the model's name. Settings that give the same pixels give the same key: strength or
    start_step for the same steps, or any emphasis mode for a prompt without emphasis.
    """
    return hashlib.sha256(key_text(recipe, weights).encode()).hexdigest()


def key_text(recipe: Recipe, weights: Mapping[str, str]) -> str:
    """The JSON text that is hashed."""
    fields = {name: value for name, value in recipe.to_dict().items() if ROWS[name].keyed}
    fields = _without_what_is_off(recipe, fields | _keyed_start(recipe))
    fields |= _keyed_words(recipe) | _keyed_losses(recipe)
    if regions := regions_of(recipe):
        named = [[one.prompt, sha256 or one.box, one.weight] for one, sha256 in regions]
        fields["regions"] = [*named, recipe.region_alone]
    if shown := shown_in(recipe):
        seers = [list(one.seer[1:]) for one in shown]
        named = [[one.sha256, one.mask_sha256 or one.prompt.box, one.prompt.scale] for one in shown]
        alike = all(one == seers[0] for one in seers)
        fields["image_prompts"] = [*named, *(seers[:1] if alike else seers)]
    if recipe.mask is not None and mask_file(recipe.mask) is None:
        fields["mask"] = recipe.mask
    if added := [_keyed_lora(lora) for lora in recipe.loras if not lora.does_nothing]:
        fields["loras"] = added
    for one in recipe.followed:
        fields.setdefault(one.field, []).append(_keyed_control(one, recipe))
    return json.dumps(
        {"recipe": fields, "weights": dict(weights)}, sort_keys=True, ensure_ascii=False
    )


def _keyed_lora(lora: Lora) -> list[Any]:
    text_scale = [] if lora.text_scale is None else [lora.text_scale]
    return [lora.sha256, lora.scale, *text_scale]


def _keyed_control(one: Control, recipe: Recipe) -> list[Any]:
    model = [recipe.preprocess_model_sha256] if one.preprocess in MODELS else []
    how = [] if one.preprocess is None else [one.preprocess, *model]
    mode = [] if one.mode is None else [{"mode": one.mode}]
    return [one.model_sha256, one.image_sha256, one.scale, one.start, one.end, *how, *mode]


def _keyed_start(recipe: Recipe) -> dict[str, Any]:
    """The steps that run, in the same form for strength, exact_steps and start_step."""
    if recipe.timestep_spacing == BY_STRENGTH:
        return {"steps": recipe.steps, "strength": recipe.strength}
    if recipe.image is not None:
        steps, start_step = recipe.schedule
        return {"steps": steps, "start_step": start_step}
    return {} if recipe.hires is None else {"start_step": list(recipe.schedule)}


def _without_what_is_off(recipe: Recipe, fields: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` without the settings that change no pixel of this Recipe."""
    off = set()
    if recipe.image is not None and recipe.enlarge == "lanczos":
        off.add("enlarge")  # lanczos is how every input picture is resized
    for kind in ("pag", "slg"):
        if fields.get(f"{kind}_scale") == 0:
            off |= {f"{kind}_scale", f"{kind}_layers"}
    if recipe.reuse == 1:
        off.add("reuse")
    if not recipe.mask_grow:
        off.add("mask_grow")
    if all(one.does_nothing for one in recipe.controls):
        off.add("guess_mode")
    if not recipe.followed and recipe.image is None:
        off.add("resize")
    prompts = [fields[name] for name in PROMPTS if name in fields]
    prompts += [one.prompt for one, _ in regions_of(recipe)]
    if all(map(is_plain, [*prompts, *(recipe.mix_prompts or ())])):
        off.add("emphasis")
    return {name: value for name, value in fields.items() if name not in off}


def _keyed_words(recipe: Recipe) -> dict[str, Any]:
    """The part of the learned words that decides the pixels: tokens and hashes, no paths."""
    if recipe.embeddings is None and recipe.replace_tokens is None:
        return {}
    tokens = [parse_embedding(one).token for one in recipe.embeddings or ()]
    hashes = iter(recipe.replace_tokens_sha256 or ())
    replaced = [
        [one.word, *([t.factor, next(hashes) if t.is_file else t.name] for t in one.terms)]
        for one in (parse_replacement(text) for text in recipe.replace_tokens or ())
    ]
    return {
        "embeddings": [
            list(pair) for pair in zip(tokens, recipe.embeddings_sha256 or (), strict=True)
        ],
        "replace_tokens": replaced,
    }


def _keyed_losses(recipe: Recipe) -> dict[str, Any]:
    """The part of the losses that decides the pixels, with hashes instead of file names."""
    hashes = iter(recipe.losses_sha256 or ())
    keyed = []
    for one in map(parse_loss, recipe.losses or ()):
        own = [next(hashes, "") for _ in one.sources]
        if one.scale:
            clip = [recipe.loss_clip_sha256] if one.kind == "clip" else []
            keyed.append([str(_nameless(one)), *own, *clip])
    if not keyed:
        return {}
    how = [recipe.loss_every, recipe.loss_mode]
    return {"guides": [*keyed, how]}  # the field's name when the first keys were made


def _nameless(one: NamedLoss) -> NamedLoss:
    """The loss without the paths of its files."""
    if one.kind == "like":
        return dataclasses.replace(one, file="file", mask=one.mask and "mask")
    return one if one.module is None else dataclasses.replace(one, module="module")
