"""Read the pictures of image prompts, and turn them into what the UNet is told of them."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sdloop.images.input.frame import opaque
from sdloop.images.input.read import OpenImage, check_sha256
from sdloop.models.components.image_adapter import ImageAdapter, PictureTokens
from sdloop.pipeline.input_images import EncodeInput
from sdloop.pipeline.loaded_model import LoadedModel
from sdloop.pipeline.regions import mask_in
from sdloop.pipeline.stage import Stage
from sdloop.recipe.image_prompts import FIELD
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_image_prompts import shown_in

# The fields of a Recipe's Conditioning that its image prompts decide.
EmbedImages = Callable[[Recipe], dict[str, Any]]

AROUND = "white"  # behind transparent parts


def image_embedder(model: LoadedModel, open_image: OpenImage) -> EmbedImages:
    """A function that embeds a Recipe's image prompts: equal ones only once.

    Raises ``FileError`` if a picture has changed since its Recipe was resolved.
    """

    def opened(name: str, sha256: str | None) -> Image.Image:
        picture = open_image(name)
        check_sha256(picture.name, sha256, picture.sha256, what="image prompt")
        return opaque(picture.image, AROUND)

    @lru_cache(maxsize=64)
    def tokens(
        adapter: ImageAdapter,
        together: tuple[tuple[str, str | None], ...],
        placed: tuple[tuple[str, str | None], ...],
        guided: bool,
    ) -> PictureTokens:
        groups = [[opened(*named) for named in group] for group in (together, placed)]
        return adapter.tokens(groups, guided=guided)

    def embed(recipe: Recipe) -> dict[str, Any]:
        shown = shown_in(recipe)
        if not shown:
            return {}
        guided = recipe.guided and not model.components.embeds_guidance
        seen: list[Tensor] = []
        nothing: list[Tensor] = []
        for name, adapter in model.image_adapters(recipe).items():
            together, placed = (
                tuple(
                    (one.prompt.image, one.sha256)
                    for one in shown
                    if one.seer.name == name and one.prompt.placed == kind
                )
                for kind in (False, True)
            )
            found = tokens(adapter, together, placed, guided)
            seen.append(found.seen)
            nothing += [] if found.nothing is None else [found.nothing]
        negative = torch.cat(nothing, dim=1) if guided else None
        return {"image_embeds": torch.cat(seen, dim=1), "negative_image_embeds": negative}

    return embed


def image_masks(stage: Stage, encode_input: EncodeInput) -> Tensor | None:
    """The masks of a batch's placed image prompts, (batch, pictures, height, width), 0 to 1.

    They have the size of the stage's pictures. None without any, or for a refiner.
    """
    placed = [[one for one in shown_in(recipe) if one.prompt.placed] for recipe in stage.batch]
    if stage.refines or not placed[0]:
        return None
    rows = [
        torch.stack(
            [
                _levels(mask_in(FIELD, one.prompt, one.mask_sha256, recipe, encode_input))
                for one in several
            ]
        )
        for recipe, several in zip(stage.batch, placed, strict=True)
    ]
    return torch.stack(rows).to(stage.components.device)


def _levels(mask: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(mask).astype(np.float32) / 255)
