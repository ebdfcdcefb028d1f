"""Recipes from files, with changes: the error's field names settings that no longer apply."""

import pytest

from sdloop.batch.changes import with_changes
from sdloop.errors import SettingError
from sdloop.recipe.recipe import Recipe

BASE = {"prompt": "a cat", "seed": 4, "steps": 9, "eta": 0.5, "clip_skip": 2}


def test_what_an_error_is_about_is_left_out_whatever_its_words() -> None:
    def resolve(recipe: Recipe) -> Recipe:
        if recipe.eta:
            raise SettingError("clip_skip and this model leave nothing to draw", field="eta")
        return recipe

    made = with_changes(BASE, {"steps": 5}, resolve=resolve)
    assert (made.recipe.eta, made.recipe.clip_skip, made.recipe.steps) == (0, 2, 5)
    assert made.notices == ("left out eta 0.5: clip_skip and this model leave nothing to draw",)


@pytest.mark.parametrize(
    "message, field",
    [
        ("clip_skip is what this begins with", None),
        ("nobody knows this model's steps", "steps"),
        ("the file has no such size", "width"),
    ],
)
def test_what_is_about_no_setting_or_the_change_itself_is_raised(
    message: str, field: str | None
) -> None:
    def resolve(recipe: Recipe) -> Recipe:
        raise SettingError(message, field=field)

    with pytest.raises(SettingError, match=f"^{message}$"):
        with_changes(BASE, {"steps": 5}, resolve=resolve)


def test_what_makes_the_picture_what_it_is_is_not_left_out_silently() -> None:
    def resolve(recipe: Recipe) -> Recipe:
        raise SettingError("no such thing as 9 of these", field="steps")

    with pytest.raises(SettingError, match=r"9 of these; or remove it: --drop steps$") as caught:
        with_changes(BASE, {"eta": 0.1}, resolve=resolve)
    assert caught.value.field == "steps"
