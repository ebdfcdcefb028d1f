"""How words change the embedded model's pictures. The judge was trained on drawings only."""

from pathlib import Path

import pytest
from judge import load_judge, look_at

import sdloop
from sdloop.models.components.load import Components

JUDGE = Path(__file__).parents[2] / "examples" / "train_mini" / "judge"
SEEDS = range(4)


@pytest.fixture(scope="module")
def components() -> Components:
    return sdloop.load_components()


def share_of_red(components: Components, prompt: str) -> float:
    """How sure the judge is that the pictures of a prompt show something red."""
    recipes = [sdloop.Recipe(prompt=prompt, seed=seed, steps=15) for seed in SEEDS]
    made = sdloop.generate(components, recipes, batch_size=len(SEEDS))
    verdicts = look_at(load_judge(JUDGE), [picture.image for picture in made])
    return verdicts.mean_probabilities("colour")["red"]


def test_weights_decide_between_two_colours(components: Components) -> None:
    prompt = "a (red:{}) and yellow house"
    assert share_of_red(components, prompt.format(0.75)) < 0.25
    assert share_of_red(components, prompt.format(1.5)) > 0.9
