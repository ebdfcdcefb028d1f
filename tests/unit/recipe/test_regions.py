"""The grammar of regions, and what they cannot be combined with."""

from typing import Any

import pytest

from sdloop.errors import PromptError, SettingError
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.regions import Region, parse_region


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("a frog=mask.png", Region(prompt="a frog", file="mask.png")),
        ("a frog = my mask.png : 0.5", Region(prompt="a frog", file="my mask.png", weight=0.5)),
        ("e = mc2=mask.png", Region(prompt="e = mc2", file="mask.png")),
        ("a frog=0,0,.5,1", Region(prompt="a frog", box=(0, 0, 0.5, 1))),
        ("(a frog:1.2)=0, 0.7, 1, 0.3:1", Region(prompt="(a frog:1.2)", box=(0, 0.7, 1, 0.3))),
        ("a frog=1,2,3.png", Region(prompt="a frog", file="1,2,3.png")),
    ],
)
def test_a_prompt_and_where_it_counts(text: str, region: Region) -> None:
    assert parse_region(text) == region
    assert parse_region(str(region)) == region


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ("a frog", "regions must be a prompt and where it counts, as in"),
        ("=mask.png", "regions must be a prompt and where it counts, as in"),
        ("a frog=:0.5", "regions must be a prompt and where it counts, as in"),
        ("a frog=0.6,0,0.5,1", "regions must have a box of left, top, width and height within"),
        ("a frog=0,0,0,1", "regions must have a box of left, top, width and height within"),
        ("a frog=0,-0.1,1,1", "regions must have a box of left, top, width and height within"),
        ("a frog=mask.png:1.5", "the weight of a region in regions must be between 0 and 1"),
        ("a frog=mask.png:-1", "the weight of a region in regions must be between 0 and 1"),
        (
            "a frog=text:the face:0.8",
            "regions must have a box or a mask's file, got 'text:the face': "
            'save the mask first, with sdloop inspect mask IMAGE "text:the face" -o mask.png',
        ),
        ("a frog AND a cat=mask.png", "regions must not contain AND, got 'a frog AND a cat'"),
    ],
)
def test_bad_regions(regions: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Recipe(prompt="a park", seed=1, regions=(regions,))


def test_a_prompt_that_cannot_be_parsed() -> None:
    with pytest.raises(PromptError, match="regions: "):
        Recipe(prompt="a park", seed=1, regions=("(a frog:99999)=0,0,1,1",))


@pytest.mark.parametrize("settings", [{"regions_sha256": ("0" * 64,)}, {"region_alone": 0.5}])
def test_without_regions(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"{next(iter(settings))} needs regions"):
        Recipe(prompt="a park", seed=1, **settings)


def key(*regions: str, **settings: Any) -> str:
    return content_key(Recipe(prompt="a park", seed=1, regions=regions or None, **settings), {})


def test_the_key_is_that_of_what_changes_the_picture() -> None:
    mask = {"regions_sha256": ("0" * 64,)}
    assert key("a frog=a.png", **mask) == key("a frog=b.png:1.0", **mask)
    assert key("a frog=a.png:0", **mask) == key()
    different = [key("a frog=a.png", **mask), key("a frog=a.png", regions_sha256=("1" * 64,)),
                 key("a cat=a.png", **mask), key("a frog=a.png:0.5", **mask), key(),
                 key("a frog=0,0,0.5,1", region_alone=0.5), key("a frog=0,0,0.5,1"),
                 key("a frog=0,0,0.4,1")]  # fmt: skip
    assert len(set(different)) == len(different)
