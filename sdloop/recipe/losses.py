"""A Recipe's losses: checked, completed, and their files looked up."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdloop.errors import SettingError
from sdloop.images.input.read import bytes_of, check_sha256, read_image
from sdloop.recipe.loss_grammar import NamedLoss, parse_loss
from sdloop.recipe.loss_source import source_sha256

if TYPE_CHECKING:
    from sdloop.recipe.recipe import Recipe

GUIDE_MODES = ("cheap", "exact")
GUIDE_EVERY = 5  # as in the notebook
GUIDE_FIELDS = (
    *("guides", "guides_sha256", "guide_every", "guide_mode", "guide_clip", "guide_clip_sha256"),
)


def settled_guides(given: Mapping[str, Any]) -> dict[str, Any]:
    """The losses in their one form; raises ``SettingError`` for what is set without any."""
    if "guides" not in given:
        for name in GUIDE_FIELDS:
            if given.get(name) is not None:
                raise SettingError(f"{name} is for steered pictures, and there are no guides")
        return {}
    named = [parse_loss(one) for one in given["guides"]]
    clips = any(one.kind == "clip" for one in named)
    for name in ("guide_clip", "guide_clip_sha256"):
        if name in given and not clips:
            raise SettingError(f"{name} is for a clip=… among the guides, and there is none")
    if given.get("guidance") == "cfg++":
        raise SettingError(
            "guides move the latents between a prediction and its step, and guidance cfg++ puts "
            "that together from two predictions: drop one"
        )
    return {"guides": tuple(map(str, named))}


def clip_of(recipe: "Recipe") -> str | None:
    """The CLIP that the losses of ``recipe`` ask, where one does: the embedded one by default."""
    if not any(parse_loss(text).kind == "clip" for text in recipe.guides or ()):
        return None
    return "mini" if recipe.guide_clip is None else recipe.guide_clip


def with_guides(recipe: "Recipe", clip_sha256: str | None) -> "Recipe":
    """``recipe`` with all that its losses leave open, and with the hashes of what they name.

    ``clip_sha256`` is that of ``clip_of``. Raises ``FileError`` for a picture that is none, a
    module that is not there, and for another file than the Recipe was made with.
    """
    if recipe.guides is None:
        return recipe
    named = [parse_loss(text) for text in recipe.guides]
    if recipe.growth is not None and any(one.kind == "like" for one in named):
        raise SettingError("guides: like=… is for whole pictures, and this one grows by parts")
    hashes = tuple(sha256 for one in named for sha256 in _hashes(one))
    expected = recipe.guides_sha256
    if expected is not None and len(expected) != len(hashes):
        raise SettingError(
            f"guides_sha256 must have one for each file, got {len(expected)} for {len(hashes)}"
        )
    sources = [source for one in named for source in one.sources]
    for source, wanted, found in zip(sources, expected or hashes, hashes, strict=True):
        check_sha256(repr(source), wanted, found, what="file")
    clip = clip_of(recipe)
    if clip is not None and clip_sha256 is None:
        raise SettingError(f"guide_clip must be found to resolve the recipe, got {clip!r}")
    if clip is not None:
        check_sha256(repr(clip), recipe.guide_clip_sha256, str(clip_sha256), what="CLIP")
    return dataclasses.replace(
        recipe,
        guide_clip=clip,
        guide_clip_sha256=clip and clip_sha256,
        guides_sha256=hashes if hashes else None,
        guide_every=GUIDE_EVERY if recipe.guide_every is None else recipe.guide_every,
        guide_mode="cheap" if recipe.guide_mode is None else recipe.guide_mode,
    )


def _hashes(named: NamedLoss) -> list[str]:
    if named.module is not None:
        return [source_sha256(named.module)]
    return [read_image(bytes_of(file), repr(file)).sha256 for file in named.files]


def _nameless(one: NamedLoss) -> NamedLoss:
    """The same wherever its files lie."""
    if one.kind == "like":
        return dataclasses.replace(one, file="file", mask=one.mask and "mask")
    return one if one.module is None else dataclasses.replace(one, module="module")


def keyed_guides(recipe: "Recipe") -> dict[str, Any]:
    """What of the losses decides the pixels: with hashes in the place of files' names."""
    hashes = iter(recipe.guides_sha256 or ())
    keyed = []
    for one in map(parse_loss, recipe.guides or ()):
        own = [next(hashes, "") for _ in one.sources]
        if one.scale:
            clip = [recipe.guide_clip_sha256] if one.kind == "clip" else []
            keyed.append([str(_nameless(one)), *own, *clip])
    if not keyed:
        return {}
    how = [recipe.guide_every, recipe.guide_mode]
    return {"guides": [*keyed, how]}
