"""Loss guidance with the embedded model: a larger scale has a stronger effect."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from PIL import ImageStat

from sdloop.models.clip.load import load_clip
from sdloop.models.clip.score import clip_scores
from sdloop.models.components.load import load_components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe


def mean_blue(prompt: str, seeds: Sequence[int], **settings: Any) -> float:
    recipes = [Recipe(prompt=prompt, seed=seed, **settings) for seed in seeds]
    images = [picture.image for picture in generate(load_components(), recipes)]
    return sum(ImageStat.Stat(image).mean[2] for image in images) / len(images)


def test_the_mean_blue_rises_with_the_scale() -> None:
    steered = [mean_blue("a frog", (7,), steps=6, losses=(f"blue={s}",)) for s in (0, 25, 100)]
    assert all(more > less + 10 for less, more in pairwise(steered))


def test_the_embedded_clip_pulls_towards_its_text() -> None:
    text = "a red frog on a stage"
    scores = {}
    for losses in (None, (f"clip={text}",)):
        recipes = [
            Recipe(prompt="a frog on a stage", seed=seed, steps=15, losses=losses)
            for seed in (1, 2, 3)
        ]
        images = [picture.image for picture in generate(load_components(), recipes)]
        scores[losses] = sum(clip_scores(load_clip(device="cpu"), images, [text] * 3)) / 3
    plain, steered = scores.values()
    assert steered > plain + 1.5, scores


@pytest.mark.slow
@pytest.mark.parametrize("prompt", ["a frog on a stage", "a red house in a park"])
def test_it_does_over_eight_seeds(prompt: str) -> None:
    scales = (0, 25, 50, 100, 200)
    steered = [mean_blue(prompt, range(1, 9), losses=(f"blue={scale}",)) for scale in scales]
    assert all(more > less + 2 for less, more in pairwise(steered)), steered


@pytest.mark.slow
def test_through_the_unet_it_does_too() -> None:
    exact = {"loss_mode": "exact", "loss_every": 1}
    scales = (0, 200, 1000, 5000)
    steered = [
        mean_blue("a frog on a stage", range(1, 3), losses=(f"blue={scale}",), **exact)
        for scale in scales
    ]
    assert all(more > less + 2 for less, more in pairwise(steered)), steered
