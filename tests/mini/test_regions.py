"""Regions with the embedded model: what is in the one half of a picture is not in the other."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/train_mini"))

from judge import load_judge, look_at

from sdloop.models.components.load import load_components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

JUDGE = Path(sys.path[0]) / "judge"
HALVES = ("a frog=0,0,0.5,1", "a house=0.5,0,0.5,1")
SEEDS = range(1, 17)


@pytest.mark.slow
def test_a_frog_on_the_left_and_a_house_on_the_right_do_not_mix() -> None:
    settings = {"width": 256, "height": 128, "steps": 12, "guidance_scale": 3}
    recipes = [Recipe(prompt="", seed=seed, regions=HALVES, **settings) for seed in SEEDS]
    images = [one.image for one in generate(load_components(), recipes, batch_size=8)]
    judge = load_judge(JUDGE)
    left, right = (
        look_at(judge, [image.crop((x, 0, x + 128, 128)) for image in images]).answers("subject")
        for x in (0, 128)
    )
    apart = [pair == ("frog", "house") for pair in zip(left, right, strict=True)]
    assert sum(apart) >= 0.9 * len(apart), (left, right)
