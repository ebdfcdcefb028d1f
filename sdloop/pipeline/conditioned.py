"""Encode the prompts of a batch, for the model and for its refiner."""

from collections.abc import Sequence
from dataclasses import replace

from sdloop.conditioning.encode import condition
from sdloop.conditioning.stack import stack
from sdloop.conditioning.value import Conditioning
from sdloop.conditioning.words import words_of
from sdloop.models.components.load import Components
from sdloop.pipeline.image_prompts import EmbedImages
from sdloop.pipeline.loaded_model import LoadedModel
from sdloop.recipe.recipe import Recipe


def conditioned(
    model: LoadedModel, batch: Sequence[Recipe], embed_images: EmbedImages
) -> tuple[Components, list[list[Conditioning]]]:
    """The components with the LoRAs and ControlNets of a batch, and each picture's conditionings.

    These are for the model, and for its refiner if it has one. Image prompts are the model's only:
    a refiner has another UNet.
    """
    components, encoder = model.with_parts(batch[0])
    models = [(components, encoder)]
    if components.refiner is not None:
        models.append((components.refiner, model.refiner_encoder))
    rows = []
    for recipe in batch:
        first, *rest = (
            condition(one, recipe, encode=encode(words_of(recipe))) for one, encode in models
        )
        rows.append([replace(first, **embed_images(recipe)), *rest])
    return components, rows


def stacked(rows: Sequence[Sequence[Conditioning]]) -> list[Conditioning]:
    """What a whole batch is conditioned on, from its pictures' conditionings."""
    return [stack(side) for side in zip(*rows, strict=True)]
