"""Presets: tables of fields, which other settings win over, and which no Recipe remembers."""

from typing import Any

import pytest
from helpers.model_facts import Model

from sdloop.batch.settings import Settings
from sdloop.errors import SettingError
from sdloop.recipe.presets import PRESET_FIELDS, PRESETS, preset_fields
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.names import SCHEDULERS
from sdloop.schedulers.supported import is_known

TRAILING = {"guidance_scale": 1.0, "timestep_spacing": "trailing"}
EVERY = [f"{name}:{steps}" for name, preset in PRESETS.items() for steps in preset.rows]


def made(**settings: Any) -> dict[str, Any]:
    """What a Recipe has of a preset's fields."""
    values = Recipe.from_dict({"prompt": "", "seed": 0, **settings}).to_dict()
    return {name: value for name, value in values.items() if name in PRESET_FIELDS and value}


@pytest.mark.parametrize(
    ("preset", "fields"),
    [
        ("turbo", {"steps": 1, "scheduler": "euler-a", **TRAILING}),
        ("lcm", {"steps": 4, "scheduler": "lcm", "guidance_scale": 1.0}),
        ("lightning", {"steps": 4, "scheduler": "euler", **TRAILING}),
        ("lightning:8", {"steps": 8, "scheduler": "euler", **TRAILING}),
        ("hyper", {"steps": 8, "scheduler": "ddim", **TRAILING}),
        ("hyper:1", {"steps": 1, "scheduler": "tcd", "guidance_scale": 1.0, "eta": 1.0}),
        ("hyper:12", {"steps": 12, "scheduler": "ddim", **TRAILING, "guidance_scale": 5.0}),
    ],
)
def test_a_preset_stands_for_what_the_cards_say(preset: str, fields: dict[str, Any]) -> None:
    assert made(preset=preset) == fields
    assert made(**fields) == fields  # the file has them, and no preset


@pytest.mark.parametrize("preset", EVERY)
def test_each_makes_a_picture_that_can_be_resolved(preset: str) -> None:
    recipe = Recipe.from_dict({"prompt": "", "seed": 0, "preset": preset})
    resolved = resolve(recipe, Model())
    fields = preset_fields(preset)
    assert {name: getattr(resolved, name) for name in fields} == fields
    knows = SCHEDULERS[fields["scheduler"]].knows
    assert all(is_known(name, knows) for name in ("timestep_spacing", "eta") if name in fields)


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("fast", "preset must be one of turbo, lcm, lightning, hyper, got 'fast'"),
        ("", "preset must be one of turbo, lcm"),
        ("lightning:3", "lightning must be one of lightning:1, lightning:2, lightning:4, light"),
        ("hyper:16", "hyper:8, hyper:12, got 'hyper:16'"),
        ("lcm:", "lcm must be one of lcm:1, "),
        ("turbo:-1", "turbo must be one of turbo:1, turbo:2, turbo:3, turbo:4, got"),
        ("turbo:²", "turbo must be one of"),
    ],
)
def test_others_are_refused_with_the_choices(preset: str, message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        made(preset=preset)
    assert caught.value.field == "preset"


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"steps": 6}, {"steps": 6, "scheduler": "euler", **TRAILING}),
        (
            {"guidance_scale": 2.0},
            {"steps": 4, "scheduler": "euler", **TRAILING, "guidance_scale": 2.0},
        ),
        ({"scheduler": "DPM++ 2M"}, {"steps": 4, "scheduler": "dpmpp-2m", **TRAILING}),
        # LCM has no such spacing, and none is forced on it.
        ({"scheduler": "lcm"}, {"steps": 4, "scheduler": "lcm", "guidance_scale": 1.0}),
        (
            {"guidance_schedule": "linear:2..1"},
            {
                "steps": 4,
                "scheduler": "euler",
                "timestep_spacing": "trailing",
                "guidance_schedule": "linear:2..1",
            },
        ),
        (
            {"timesteps": [999, 499]},
            {"steps": 2, "timesteps": [999, 499], "scheduler": "euler", "guidance_scale": 1.0},
        ),
    ],
)
def test_other_settings_win_over_it(given: dict[str, Any], fields: dict[str, Any]) -> None:
    assert made(preset="lightning", **given) == fields


def test_it_takes_the_place_of_settings_from_lower_sources() -> None:
    """Of a settings file below it; what stands beside it wins, and so does what is above it."""
    file = Settings(recipe={"steps": 30, "sigmas": "karras", "scheduler": "euler", "width": 64})
    flags = Settings(recipe={"preset": "hyper:2", "eta": 0.5})
    assert made(**flags.over(file).recipe) == {
        "steps": 2,
        "scheduler": "ddim",
        "eta": 0.5,
        **TRAILING,
    }
    assert flags.over(file).recipe["width"] == 64
    above = Settings(recipe={"steps": 6}).over(Settings(recipe={"preset": "lcm"}))
    assert made(**above.recipe)["steps"] == 6
    assert made(**Settings(recipe={"preset": "lcm"}).over(flags).recipe)["scheduler"] == "lcm"


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"image": "a.png"}, 2),  # of which 0.75 is one
        ({"image": "a.png", "strength": 0.5}, 2),
        ({"image": "a.png", "strength": 0.3}, 4),
        ({"image": "a.png", "strength": 1.0}, 1),
        ({"image": "a.png", "strength": 0.3, "exact_steps": True}, 1),
        ({"image": "a.png", "mask": "m.png"}, 1),  # which is painted from noise
        ({"hires": 2.0, "strength": 0.5}, 2),
        ({"hires": 2.0}, 2),
        ({"image": "a.png", "factor": 2.0}, 2),
        ({"strength": 0.3}, 1),
    ],
)
def test_at_least_one_step_is_run_of_a_picture(settings: dict[str, Any], steps: int) -> None:
    assert made(preset="turbo", **settings)["steps"] == steps
    assert made(preset="turbo", steps=1, **settings)["steps"] == 1  # as it was asked for


def test_a_refiner_needs_guidance_of_two_predictions() -> None:
    """An LCM's own scale, such as 8, is none for a refiner."""
    recipe = Recipe(prompt="", seed=0, refiner="a refiner")
    with pytest.raises(SettingError, match="refiner cannot be combined with mini, whose UNet take"):
        resolve(recipe, Model(embeds_guidance=True, refines=True))


def test_a_negative_prompt_needs_the_guidance_that_a_preset_switches_off() -> None:
    with pytest.raises(SettingError, match="negative_prompt needs guidance"):
        made(preset="turbo", negative_prompt="a dog")
    assert made(preset="turbo", negative_prompt="a dog", guidance_scale=1.5)["steps"] == 1
