"""Resolve losses: fill in their defaults, and the hashes of their files."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.images.input.read import bytes_of, check_sha256, read_image
from sdloop.recipe.limits import LOSS_EVERY
from sdloop.recipe.loss_grammar import NamedLoss, parse_loss
from sdloop.recipe.loss_source import source_sha256
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.recorded_hashes import check_hashes


def clip_of(recipe: Recipe) -> str | None:
    """The CLIP model for the losses of ``recipe``, if one needs it; default: the embedded one."""
    if not any(parse_loss(text).kind == "clip" for text in recipe.losses or ()):
        return None
    return "mini" if recipe.loss_clip is None else recipe.loss_clip


def with_losses(recipe: Recipe, clip_sha256: str | None) -> Recipe:
    """``recipe`` with the defaults of its losses, and with the hashes of their files.

    ``clip_sha256`` is that of ``clip_of``. Raises ``FileError`` for a file that is not a picture, a
    missing module, and a file that is not the one that the Recipe was made with.
    """
    if recipe.losses is None:
        return recipe
    named = [parse_loss(text) for text in recipe.losses]
    if recipe.growth is not None and any(one.kind == "like" for one in named):
        raise SettingError("losses: like=FILE cannot be combined with outpainting", field="losses")
    hashes = tuple(sha256 for one in named for sha256 in _hashes(one))
    sources = [source for one in named for source in one.sources]
    check_hashes("losses_sha256", sources, recipe.losses_sha256, hashes)
    clip = clip_of(recipe)
    if clip is not None and clip_sha256 is None:
        raise SettingError.of(
            "loss_clip", f"must be found before the recipe is resolved, got {clip!r}"
        )
    if clip is not None:
        check_sha256(repr(clip), recipe.loss_clip_sha256, str(clip_sha256), what="CLIP")
    return dataclasses.replace(
        recipe,
        loss_clip=clip,
        loss_clip_sha256=clip and clip_sha256,
        losses_sha256=hashes if hashes else None,
        loss_every=LOSS_EVERY if recipe.loss_every is None else recipe.loss_every,
        loss_mode="cheap" if recipe.loss_mode is None else recipe.loss_mode,
    )


def _hashes(named: NamedLoss) -> list[str]:
    if named.module is not None:
        return [source_sha256(named.module)]
    return [read_image(bytes_of(file), repr(file)).sha256 for file in named.files]
