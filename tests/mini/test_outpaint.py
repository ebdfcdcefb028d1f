"""Outpainting with the embedded model: seams are not steeper than the rest of the picture."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

import sdloop
from sdloop.images.input.read import InputImage
from sdloop.pipeline import outpaint
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_outpaint import passes_of

PROMPTS = (
    "a frog in a park",
    "a red house at night",
    "a blue boat on a beach",
    "a giraffe in the snow",
    "two parrots in a forest",
    "a watercolour of a white cat indoors",
    "a castle",
    "a pencil sketch of a dog in a park",
)


@dataclass(frozen=True)
class Seams:
    """Mean absolute differences of neighbouring pixels, in levels.

    Across the edge of the original, across the other borders between passes, and elsewhere.
    """

    original: float
    passes: float
    elsewhere: float


def photos(count: int, steps: int) -> list[Image.Image]:
    """Pictures of the model's own world, whose edges nobody has seen beyond."""
    recipes = [
        Recipe(prompt=PROMPTS[number % len(PROMPTS)], seed=100 + number, steps=steps)
        for number in range(count)
    ]
    made = sdloop.generate(sdloop.load_components(), recipes, batch_size=count)
    return [picture.image for picture in made]


def grown(images: Sequence[Image.Image], **settings: int) -> list[sdloop.Picture]:
    files = {
        f"photo {number}": InputImage(
            name="photo", sha256=hashlib.sha256(image.tobytes()).hexdigest(), image=image
        )
        for number, image in enumerate(images)
    }
    recipes = [
        Recipe(prompt=PROMPTS[number % len(PROMPTS)], seed=number, image=name, **settings)
        for number, name in enumerate(files)
    ]
    return sdloop.generate(
        sdloop.load_components(), recipes, batch_size=len(files), open_image=files.__getitem__
    )


def seams(pictures: Sequence[sdloop.Picture]) -> Seams:
    recipe = pictures[0].recipe
    owner = np.full((recipe.height, recipe.width), -1)  # the pass that painted a pixel
    growth = recipe.growth
    width, height = growth.before(recipe.size)
    owner[growth.up : growth.up + height, growth.left : growth.left + width] = 0
    for number, one in enumerate(passes_of(recipe, sdloop.load_components()), start=1):
        left, top, right, bottom = one.new
        new = owner[top:bottom, left:right]
        new[new == -1] = number
    levels = np.stack([np.asarray(picture.image, float) for picture in pictures])
    found: dict[str, list[np.ndarray]] = {"original": [], "passes": [], "elsewhere": []}
    for axis in (0, 1):
        steps = np.abs(np.diff(levels, axis=axis + 1)).mean(axis=3)
        sides = np.stack([owner.take(range(owner.shape[axis] - 1), axis),
                          owner.take(range(1, owner.shape[axis]), axis)])  # fmt: skip
        border = sides[0] != sides[1]
        edge = border & (sides == 0).any(axis=0)
        kinds = {"original": edge, "passes": border & ~edge, "elsewhere": ~border}
        for kind, where in kinds.items():
            found[kind].append(steps[:, where].ravel())
    return Seams(**{kind: float(np.concatenate(values).mean()) for kind, values in found.items()})


def test_a_soft_seam_is_no_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    images = photos(3, steps=6)
    soft = seams(grown(images, right=96, steps=6))
    assert soft.original < 1.1 * soft.elsewhere
    assert soft.passes < 1.1 * soft.elsewhere
    monkeypatch.setattr(outpaint, "SEAM", 1.0)
    hard = seams(grown(images, right=96, steps=6))
    assert hard.original > 2 * hard.elsewhere
    assert hard.passes > 2 * hard.elsewhere


@pytest.mark.slow
def test_the_figures_of_the_docs() -> None:
    made = seams(grown(photos(16, steps=25), right=128, up=64))
    print(made)
    # 1.4 and 1.5 times when it was measured; with a hard mask more than 4 times.
    assert made.original < 2 * made.elsewhere
    assert made.passes < 2 * made.elsewhere
