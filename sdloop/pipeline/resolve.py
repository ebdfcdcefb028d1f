"""Resolve a Recipe with its model, its input images and the files that it names.

Nothing is loaded: errors that can be found early are raised here, before torch is imported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from operator import attrgetter
from typing import Any

from sdloop.animation.read import Frames
from sdloop.animation.settle import frames_recipe
from sdloop.errors import FileError
from sdloop.images.input.mask import input_facts, mask_words
from sdloop.images.input.read import InputFacts, InputImage, OpenImage
from sdloop.models.checkpoint.clip import clip_hashes
from sdloop.models.checkpoint.control import FindControl, check_control, check_mode, find_control
from sdloop.models.checkpoint.embedding import find_embedding
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.image_adapter import (
    FindImageAdapter,
    check_image_adapter,
    find_image_adapter,
)
from sdloop.models.checkpoint.lora import FindLora, LoraFile, check_lora, find_lora
from sdloop.models.checkpoint.upscaler import find_upscaler
from sdloop.models.checkpoint.value import Checkpoint, ModelNames
from sdloop.models.checkpoint.vision import PARTS, find_vision
from sdloop.models.checkpoint.words import check_replacements
from sdloop.pipeline.model_names import model_of
from sdloop.recipe.controls import Control
from sdloop.recipe.image_prompts import FIELD
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.recipe.resolve_controls import image_key, map_model_of, model_key
from sdloop.recipe.resolve_image_prompts import (
    adapter_keys,
    adapters_of,
    image_prompts_of,
    picture_key,
)
from sdloop.recipe.resolve_mask import mask_model_of

_PICTURES = 10_000  # how many input pictures' facts are cached
# The settings that the facts depend on.
_pictured = attrgetter(
    *("image", "depth_map", "mask", "mask_model", "mask_threshold", "mask_grow"),
    *("mask_blur", "invert_mask", "mask_margin"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A resolved Recipe, and what it was resolved with; ``picture`` is its input image."""

    recipe: Recipe
    picture: InputFacts | None
    checkpoint: Checkpoint
    loras: tuple[LoraFile, ...]


def resolve_for(
    model: Defaults,
    recipe: Recipe,
    open_image: OpenImage,
    find_lora: FindLora = find_lora,
    find_control: FindControl = find_control,
    find_image_adapter: FindImageAdapter = find_image_adapter,
) -> Recipe:
    """``recipe`` resolved for a model that is found or loaded; see ``recipe.resolve``."""
    hashes = file_hashes(recipe, find_lora) | control_hashes(recipe, open_image, find_control)
    hashes |= image_prompt_hashes(recipe, open_image, find_image_adapter)
    facts = facts_of(recipe, open_image)
    return resolve(recipe, model, facts, hashes=hashes, find_embedding=find_embedding)


def facts_of(recipe: Recipe, open_image: OpenImage, *, may_fetch: bool = True) -> InputFacts | None:
    """The facts of the picture and the mask that ``recipe`` names; None without a picture.

    A mask by words is drawn only where the size depends on it. Drawing takes a model, and one of
    many pictures in which the words find nothing must not stop the others.
    """
    if recipe.image is None:
        return None
    find = None
    if mask_words(recipe.mask) is not None and recipe.mask_margin is not None:
        from sdloop.pipeline.mask import found_words  # it brings torch

        find = partial(found_words, recipe, may_fetch=may_fetch)
    return input_facts(
        open_image,
        recipe.image,
        mask=recipe.mask,
        blur=recipe.mask_blur,
        invert=recipe.invert_mask,
        grow=recipe.mask_grow,
        depth=recipe.depth_map,
        find=find,
    )


def file_hashes(
    recipe: Recipe, find_lora: FindLora = find_lora, *, may_fetch: bool = True
) -> dict[str, str]:
    """The sha256 of each LoRA by its name, and of other models: for losses, masks, maps …"""
    loras = {lora.name: find_lora(lora.name).sha256 for lora in recipe.loras}
    hashes = loras | clip_hashes(recipe, may_fetch=may_fetch)
    for part, name in (
        ("segmenter", mask_model_of(recipe)),
        map_model_of(recipe),
    ):
        if name is not None:
            hashes[PARTS[part][0]] = find_vision(part, name, may_fetch=may_fetch).sha256
    if recipe.upscaler is not None:
        hashes["upscaler"] = find_upscaler(recipe.upscaler, may_fetch=may_fetch).sha256
    return hashes


def control_hashes(
    recipe: Recipe, open_image: OpenImage, find_control: FindControl = find_control
) -> dict[str, str]:
    """The sha256 of each ControlNet or T2I-Adapter and its picture, for ``with_controls``."""
    hashes = {}
    for one in (*recipe.controls, *recipe.t2i_adapters):
        try:
            hashes[image_key(one)] = open_image(one.image).sha256
        except FileError as error:
            raise FileError(f"{one.field}: {error}") from error
        hashes[model_key(one)] = find_control(one.model, one.field).sha256
    for one in recipe.followed:
        check_mode(one, find_control(one.model, one.field))
    return hashes


def image_prompt_hashes(
    recipe: Recipe, open_image: OpenImage, find_adapter: FindImageAdapter = find_image_adapter
) -> dict[str, str]:
    """The sha256 of IP-Adapters, image encoders and their pictures: see ``with_image_prompts``.

    Without image prompts there are none.
    """
    hashes: dict[str, str] = {}
    for name in adapters_of(recipe):
        file = find_adapter(name, recipe.image_encoder)
        own, encoder = adapter_keys(name)
        hashes |= {own: file.sha256, encoder: file.encoder.sha256}
    for one in image_prompts_of(recipe):
        try:
            hashes[picture_key(one.prompt.image)] = open_image(one.prompt.image).sha256
        except FileError as error:
            raise FileError(f"{FIELD}: {error}") from error
    return hashes


class Resolver:
    """Resolves many Recipes: each model, input image and LoRA is found and read only once.

    Without ``may_fetch`` nothing is downloaded: a model that is not here counts as missing.
    ``tell`` is called once for each animated input image, of which only the first frame is used.
    """

    def __init__(
        self,
        open_image: OpenImage,
        *,
        may_fetch: bool = True,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._may_fetch = may_fetch
        self._find_lora: FindLora = cache(partial(find_lora, may_fetch=may_fetch))
        self._find_control: FindControl = cache(partial(find_control, may_fetch=may_fetch))
        self._find_image_adapter: FindImageAdapter = cache(
            partial(find_image_adapter, may_fetch=may_fetch)
        )
        self._find_embedding = cache(partial(find_embedding, may_fetch=may_fetch))
        self._checkpoints: dict[ModelNames, Checkpoint] = {}
        self._known_words: set[tuple[ModelNames, tuple[str, ...]]] = set()
        warned: set[str] = set()

        def opened(name: str) -> InputImage:
            picture = open_image(name)
            if picture.animated and name not in warned:
                tell(f"{picture.name} is an animation: using its first frame")
                warned.add(name)
            return picture

        self._facts: dict[tuple[Any, ...], InputFacts | None] = {}
        self._open = opened
        self._opened = lru_cache(maxsize=8)(opened)

    def picture(self, recipe: Recipe) -> InputFacts | None:
        """The facts about a Recipe's input image and mask, if it has them."""
        asked = _pictured(recipe)
        if asked not in self._facts:
            if len(self._facts) == _PICTURES:
                self._facts.clear()
            self._facts[asked] = facts_of(recipe, self._open, may_fetch=self._may_fetch)
        return self._facts[asked]

    def checkpoint(self, recipe: Recipe) -> Checkpoint:
        """The model that ``recipe`` names."""
        names = model_of(recipe)
        if names not in self._checkpoints:
            found = find_checkpoint(**names._asdict(), may_fetch=self._may_fetch)
            self._checkpoints[names] = found
        return self._checkpoints[names]

    def __call__(self, recipe: Recipe) -> Resolved:
        """Raises what ``recipe.resolve`` raises, and errors for missing files or models."""
        picture, checkpoint = self.picture(recipe), self.checkpoint(recipe)
        loras = self._loras(recipe, checkpoint)
        files = self._files(recipe)
        for one in (*recipe.controls, *recipe.t2i_adapters):
            self._check_control(one, checkpoint)
        self._check_image_adapter(recipe, checkpoint)
        resolved = resolve(recipe, checkpoint, picture, **files)
        self._check_words(resolved, checkpoint)
        return Resolved(recipe=resolved, picture=picture, checkpoint=checkpoint, loras=loras)

    def for_frames(self, recipe: Recipe, frames: Frames, *, carry: float) -> Resolved:
        """The same for an animation, whose frames share one Recipe; see ``frames_recipe``."""
        checkpoint = self.checkpoint(recipe)
        loras = self._loras(recipe, checkpoint)
        files = self._files(recipe)
        self._check_image_adapter(recipe, checkpoint)
        resolved = frames_recipe(checkpoint, frames, recipe, carry=carry, **files)
        return Resolved(recipe=resolved, picture=None, checkpoint=checkpoint, loras=loras)

    def _files(self, recipe: Recipe) -> dict[str, Any]:
        """What ``resolve`` needs to know of the files that a Recipe names."""
        hashes = file_hashes(recipe, self._find_lora, may_fetch=self._may_fetch)
        hashes |= control_hashes(recipe, self._opened, self._find_control)
        hashes |= image_prompt_hashes(recipe, self._opened, self._find_image_adapter)
        return {"hashes": hashes, "find_embedding": self._find_embedding}

    def _loras(self, recipe: Recipe, checkpoint: Checkpoint) -> tuple[LoraFile, ...]:
        """The Recipe's LoRA files; raises an error for one that does not fit the model."""
        files = tuple(self._find_lora(lora.name) for lora in recipe.loras)
        for file in files:
            check_lora(file, checkpoint)
        return files

    def _check_control(self, control: Control, checkpoint: Checkpoint) -> None:
        unet, factor = checkpoint.configs["unet"], checkpoint.size_multiple
        file = self._find_control(control.model, control.field)
        check_control(file, unet, checkpoint.name, factor)

    def _check_image_adapter(self, recipe: Recipe, checkpoint: Checkpoint) -> None:
        for name in adapters_of(recipe):
            file = self._find_image_adapter(name, recipe.image_encoder)
            check_image_adapter(file, checkpoint.configs["unet"], checkpoint.name)

    def _check_words(self, recipe: Recipe, checkpoint: Checkpoint) -> None:
        """Check in the model's vocabulary that the replaced words exist."""
        asked = model_of(recipe), recipe.replace_tokens or ()
        if asked not in self._known_words:
            check_replacements(checkpoint, asked[1])
            self._known_words.add(asked)
