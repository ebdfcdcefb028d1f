"""The masks that Recipes name: read from files, or drawn where a picture shows what words mean."""

import numpy as np
from PIL import Image

from sdloop.errors import SettingError
from sdloop.images.input.frame import opaque
from sdloop.images.input.mask import mask_file, mask_words
from sdloop.images.input.read import InputImage, OpenImage, check_sha256
from sdloop.models.checkpoint.vision import find_vision
from sdloop.models.components.segmenter import load_segmenter
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_mask import mask_model_of, threshold_of

# What was found last, by model, words and picture: a mask is drawn for the size, for the loop and
# for ControlNets, and the seeds of a batch share it. Each is half a megabyte.
_found: dict[tuple[str, str, str], Image.Image] = {}
_KEPT = 128


def drawn_mask(recipe: Recipe, picture: InputImage, open_image: OpenImage) -> InputImage | None:
    """The mask of a Recipe for ``picture``; None for one that is the picture's transparency.

    Raises ``FileError`` if its file has changed since the Recipe was resolved, and what
    ``found_words`` raises.
    """
    if mask_words(recipe.mask) is not None:
        return found_words(recipe, picture)
    file = mask_file(recipe.mask)
    if file is None:
        return None
    drawn = open_image(file)
    check_sha256(drawn.name, recipe.mask_sha256, drawn.sha256, what="mask")
    return drawn


def found_words(recipe: Recipe, picture: InputImage, *, may_fetch: bool = True) -> InputImage:
    """The mask of what a Recipe's words mean in ``picture``, at its size, black and white.

    Raises ``SettingError`` where they find nothing, and ``FileError`` for another model than the
    one that the Recipe was made with.
    """
    heat, threshold = np.asarray(_heat(recipe, picture, may_fetch=may_fetch)), threshold_of(recipe)
    inside = heat > threshold
    if not inside.any():
        raise SettingError.of(
            "mask",
            f"{recipe.mask!r} finds nothing in {picture.name} above mask_threshold {threshold:g}: "
            f"the highest value is {heat.max():.3g}",
        )
    mask = Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)).convert("RGB")
    return InputImage(name=repr(recipe.mask), sha256=picture.sha256, image=mask)


def most_sure(recipe: Recipe, picture: InputImage) -> float:
    """The highest value that the words of a mask have in ``picture``, 0 to 1."""
    return float(np.asarray(_heat(recipe, picture)).max())


def _heat(recipe: Recipe, picture: InputImage, *, may_fetch: bool = True) -> Image.Image:
    """How sure the model is that each pixel is what the words mean: mode F, 0 to 1."""
    words, name = mask_words(recipe.mask), mask_model_of(recipe)
    assert words is not None and name is not None
    model = find_vision("segmenter", name, may_fetch=may_fetch)
    check_sha256(repr(name), recipe.mask_model_sha256, model.sha256, what="mask_model")
    key = (model.sha256, words, picture.sha256)
    if key not in _found:
        if len(_found) == _KEPT:
            del _found[next(iter(_found))]
        levels = load_segmenter(model).heat(opaque(picture.image, "white"), words)
        _found[key] = Image.fromarray(levels)
    return _found[key].resize(picture.image.size, Image.Resampling.BILINEAR)
