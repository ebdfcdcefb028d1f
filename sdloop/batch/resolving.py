"""Recipes meet their models, pictures and LoRAs: each of those is looked at once, for many."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from sdloop.batch.loras import lora_files, lora_finder
from sdloop.images.input.mask import look
from sdloop.images.input.read import InputFacts, InputImage, OpenImage
from sdloop.models.checkpoint.value import ModelNames
from sdloop.pipeline.resolve import model_of
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve

if TYPE_CHECKING:
    from sdloop.models.checkpoint.lora import LoraFile
    from sdloop.models.checkpoint.value import Checkpoint

_PICTURES = 10_000  # whose facts are kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A resolved Recipe, and what it was resolved with."""

    recipe: Recipe
    picture: InputFacts | None
    checkpoint: "Checkpoint"
    loras: "tuple[LoraFile, ...]"


class Resolver:
    """Resolves Recipes against models that are found but not loaded; no torch.

    Without ``may_fetch`` a model that is not here is one that is not there. ``tell`` hears once of
    each picture that moves, of which only the first frame is taken.
    """

    def __init__(
        self, open_image: OpenImage, *, may_fetch: bool, tell: Callable[[str], None]
    ) -> None:
        self._may_fetch = may_fetch
        self._find_lora = lora_finder(may_fetch=may_fetch)
        self._checkpoints: dict[ModelNames, Checkpoint] = {}
        self._known_words: set[tuple[ModelNames, tuple[str, ...]]] = set()
        told: set[str] = set()

        def opened(name: str) -> InputImage:
            picture = open_image(name)
            if picture.animated and name not in told:
                tell(f"{picture.name} moves: its first frame is taken")
                told.add(name)
            return picture

        @lru_cache(maxsize=_PICTURES)
        def looked(image: str, mask: str | None, blur: float | None, invert: bool) -> InputFacts:
            return look(opened, image, mask=mask, blur=blur, invert=invert)

        self._looked = looked

    def look(self, recipe: Recipe) -> InputFacts | None:
        """What ``recipe`` takes from the picture and the mask that it names, if it does."""
        if recipe.image is None:
            return None
        return self._looked(recipe.image, recipe.mask, recipe.mask_blur, recipe.invert_mask)

    def checkpoint(self, recipe: Recipe) -> "Checkpoint":
        from sdloop.models.checkpoint.find import find_checkpoint

        names = model, revision, variant, vae = model_of(recipe)
        if names not in self._checkpoints:
            self._checkpoints[names] = find_checkpoint(
                model, revision=revision, variant=variant, vae=vae, may_fetch=self._may_fetch
            )
        return self._checkpoints[names]

    def __call__(self, recipe: Recipe) -> Resolved:
        """Raises what ``resolve`` does, and for what is named and is not there."""
        from sdloop.models.checkpoint.clip import clip_hashes

        picture = self.look(recipe)
        checkpoint = self.checkpoint(recipe)
        files = lora_files(recipe, checkpoint, self._find_lora)
        hashes = {file.name: file.sha256 for file in files}
        hashes |= clip_hashes(recipe, may_fetch=self._may_fetch)
        resolved = resolve(recipe, checkpoint, picture, lora_hashes=hashes)
        self._check_words(resolved, checkpoint)
        return Resolved(
            recipe=resolved,
            picture=picture,
            checkpoint=checkpoint,
            loras=files,
        )

    def _check_words(self, recipe: Recipe, checkpoint: "Checkpoint") -> None:
        """Look up the words that stand in the place of others, in the model's vocabulary."""
        from sdloop.models.checkpoint.words import check_replacements

        asked = model_of(recipe), recipe.replace_tokens or ()
        if asked not in self._known_words:
            check_replacements(checkpoint, asked[1])
            self._known_words.add(asked)
