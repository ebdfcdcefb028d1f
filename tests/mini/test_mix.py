"""Mixtures with the embedded model: the judge classifies pictures between a rabbit and a frog."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judge import Judge, load_judge, look_at

import sdloop
from sdloop.models.components.load import Components
from sdloop.recipe.mixture import mixture

JUDGE = Path(__file__).parents[2] / "examples" / "train_mini" / "judge"
RABBIT, FROG = "a rabbit", "a frog"
TEMPLATE = "a {rabbit|frog}"


@pytest.fixture(scope="module")
def mini() -> Components:
    return sdloop.load_components(device="cpu")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge(JUDGE)


def seen(
    components: Components, judge: Judge, what: Sequence[dict[str, Any]], seeds: range, steps: int
) -> list[dict[str | int, float]]:
    """How probable each subject is to the judge for each of ``what``, on average over ``seeds``."""
    recipes = [sdloop.Recipe(seed=seed, steps=steps, **fields) for fields in what for seed in seeds]
    pictures = sdloop.generate(components, recipes, batch_size=len(seeds))
    images = [picture.image for picture in pictures]
    starts = range(0, len(images), len(seeds))
    groups = [look_at(judge, images[start : start + len(seeds)]) for start in starts]
    return [group.mean_probabilities("subject") for group in groups]


def slider(at: str, places: int) -> list[dict[str, Any]]:
    prompts = [TEMPLATE] if at == "token" else [RABBIT, FROG]
    shares = [place / (places - 1) for place in range(places)]
    return [mixture(prompts, [1 - share, share], at=at) for share in shares]


def test_half_way_to_a_frog_there_is_some_of_both(mini: Components, judge: Judge) -> None:
    rabbit, half, frog = seen(mini, judge, slider("embedding", 3), range(4), steps=8)
    assert rabbit["rabbit"] > half["rabbit"] > frog["rabbit"] + 0.05
    assert rabbit["frog"] + 0.05 < half["frog"] < frog["frog"]


@pytest.mark.slow
@pytest.mark.parametrize("at", ["embedding", "token", "prediction", "time"])
def test_a_slider_crosses_over(at: str, mini: Components, judge: Judge) -> None:
    found = seen(mini, judge, slider(at, 9 if at == "embedding" else 5), range(16), steps=12)
    rabbits, frogs = ([one[name] for one in found] for name in ("rabbit", "frog"))
    noise = 1 / 16  # one picture of them
    assert all(b <= a + noise for a, b in itertools.pairwise(rabbits))
    assert all(b >= a - noise for a, b in itertools.pairwise(frogs))
    assert rabbits[0] > 0.8 > 0.2 > rabbits[-1]
    assert frogs[0] < 0.2 < 0.8 < frogs[-1]


def test_a_frog_that_changes_its_colour_is_neither_of_both(mini: Components) -> None:
    prompts = ("a red frog", "[a red frog:a blue frog:0.5]", "a blue frog")
    recipes = [sdloop.Recipe(prompt=prompt, seed=4, steps=6) for prompt in prompts]
    red, changed, blue = (
        np.asarray(picture.image, float) for picture in sdloop.generate(mini, recipes)
    )
    assert np.abs(changed - red).mean() > 1
    assert np.abs(changed - blue).mean() > 1
