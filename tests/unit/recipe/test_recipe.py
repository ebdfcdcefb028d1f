"""Recipes: valid values, error messages, and conversion to text and back."""

import dataclasses
import json
import re
import tomllib
from typing import Any

import pytest
import tomli_w
from helpers.model_facts import Model
from hypothesis import given
from hypothesis import strategies as st

from sdloop.errors import FileError, SettingError
from sdloop.images.input.read import InputFacts
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import FIELDS, Recipe
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.names import SCHEDULERS, name_of, parse_scheduler


def recipe(**settings: Any) -> Recipe:
    return Recipe(**({"prompt": "frogs", "seed": 4} | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 1001}, "steps must be at most 1000, got 1001"),
        ({"steps": 2.5}, "steps must be a whole number, got 2.5"),
        ({"steps": True}, "steps must be a whole number, got True"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 2**32}, "seed must be at most 4294967295, got 4294967296"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be a finite number, got nan"),
        ({"guidance_scale": float("inf")}, "guidance_scale must be a finite number, got inf"),
        ({"guidance_scale": -1}, "guidance_scale must be between 0 and 10000, got -1"),
        ({"guidance_scale": 10**400}, "guidance_scale must be between 0 and 10000"),
        ({"guidance_scale": "7"}, "guidance_scale must be a finite number, got '7'"),
        ({"guidance_rescale": 1.5}, "guidance_rescale must be between 0 and 1, got 1.5"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"height": 40000}, "height must be at most 32768, got 40000"),
        ({"sigmas": "karas"}, "sigmas must be one of karras, exponential, beta, uniform"),
        ({"timestep_spacing": "even"}, "timestep_spacing must be one of leading, trailing"),
        ({"scheduler": "eulr"}, r"scheduler must be a known one, got 'eulr': did you mean euler\?"),
        ({"scheduler": "euler", "eta": 0.5}, "eta has no effect with the scheduler euler.*ddim"),
        ({"scheduler": "ddim", "sigmas": "karras"}, "sigmas has no effect with the scheduler ddim"),
        (
            {"scheduler": "dpmpp-2s", "timestep_spacing": "leading"},
            "timestep_spacing has no effect with the scheduler dpmpp-2s",
        ),
        ({"scheduler": "DPM++ 2M Karras", "sigmas": "beta"}, "sigmas must agree .*'karras'"),
        ({"guidance_scale": 1, "negative_prompt": "x"}, "negative_prompt needs guidance"),
        ({"guidance_scale": 1, "guidance_rescale": 0.5}, "guidance_rescale needs guidance"),
        ({"prompt": "a\0b"}, "prompt must be valid Unicode text without NUL"),
        ({"prompt": "a\udc80"}, "prompt must be valid Unicode text without NUL"),
        ({"prompt": None}, "prompt must be text, got None"),
        ({"target_size": (64,)}, "target_size must be two whole numbers"),
        ({"crop_top_left": (-1, 0)}, "crop_top_left must be at least 0, got -1"),
        ({"clip_skip": 0}, "clip_skip must be at least 1, got 0"),
        ({"image": ""}, "image must name a file"),
        ({"image": "a\0b"}, "image must be valid Unicode text without NUL"),
        ({"image_sha256": "12"}, "image_sha256 must be 64 hex digits, got '12'"),
        ({"strength": 1.01}, "strength must be between 0 and 1, got 1.01"),
        ({"strength": "much"}, "strength must be a finite number, got 'much'"),
        ({"exact_steps": 1}, "exact_steps must be true or false, got 1"),
        ({"start_step": -1}, "start_step must be at least 0, got -1"),
        (
            {"start_step": 4, "strength": 0.5},
            "start_step cannot be combined with strength",
        ),
        ({"start_step": 4, "exact_steps": True}, "start_step cannot be combined with exact_steps"),
        ({"resize": "fill"}, "resize must be one of fit, crop, pad, stretch, back, got 'fill'"),
        ({"background": "rad"}, "background must be an opaque colour .* got 'rad'"),
    ],
    ids=str,
)
def test_a_bad_value_names_field_rule_and_value(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        recipe(**settings)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("edge", [0, 2**32 - 1])
def test_the_edges_of_the_seeds_are_seeds(edge: int) -> None:
    assert recipe(seed=edge).seed == edge


def test_an_empty_prompt_is_fine() -> None:
    assert recipe(prompt="").prompt == ""


def test_spellings_of_a_scheduler_are_one_recipe() -> None:
    spellings = ["dpmpp-2m", "DPM++ 2M", "DPMSolverMultistepScheduler", "k_dpmpp_2m"]
    assert len({recipe(scheduler=spelling) for spelling in spellings}) == 1
    assert recipe(scheduler="DPM++ 2M Karras") == recipe(scheduler="dpmpp-2m", sigmas="karras")


@pytest.mark.parametrize("name", SCHEDULERS)
def test_each_name_label_and_class_is_understood(name: str) -> None:
    entry = SCHEDULERS[name]
    assert parse_scheduler(name) == (name, None)
    assert parse_scheduler(entry.label) == (name, None)
    plain = parse_scheduler(entry.class_name)[0]
    assert SCHEDULERS[plain].class_name == entry.class_name
    if "descent" in entry.knows:  # no model has one of its own
        assert name_of({"_class_name": entry.class_name}) is None
    else:
        assert name_of({"_class_name": entry.class_name, **entry.options}) == name


def test_a_scheduler_with_options_of_its_own_has_no_name() -> None:
    config = {"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3}
    assert name_of(config) is None
    resolved = resolve(recipe(), Model(scheduler_config=config))
    assert resolved.scheduler is None


def test_resolving_writes_the_models_choices_in_and_changes_nothing_twice() -> None:
    config = {"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True}
    model = Model(scheduler_config=config)
    resolved = resolve(recipe(), model)
    assert resolved.size == (64, 64)
    assert (resolved.scheduler, resolved.sigmas) == ("euler", "karras")
    assert resolve(resolved, model) == resolved
    assert resolve(recipe(sigmas="uniform"), model).sigmas == "uniform"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 500}, "width must be a multiple of 8 .*, got 500; nearest: 496 and 504"),
        ({"height": 4}, "height must be a multiple of 8 .*, got 4; nearest: 8"),
        ({"eta": 0.5}, "eta has no effect with the scheduler euler"),
        ({"crop_top_left": (0, 0)}, "crop_top_left needs an SDXL model"),
        ({"scheduler": "edm-euler"}, "scheduler must not be an EDM scheduler"),
        ({"clip_skip": 3}, "clip_skip must be at most 2, got 3"),
    ],
)
def test_what_the_model_would_ignore_or_cannot_do(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        resolve(recipe(**settings), Model())


def test_a_model_trained_in_edms_terms_takes_only_edms_schedulers() -> None:
    model = Model(scheduler_config={"_class_name": "EDMEulerScheduler"})
    assert resolve(recipe(), model).scheduler == "edm-euler"
    with pytest.raises(SettingError, match="scheduler must be an EDM scheduler"):
        resolve(recipe(scheduler="euler"), model)


def test_the_guidance_scale_is_the_models_where_nobody_names_one() -> None:
    model = Model(guidance_scale=3.0)
    assert resolve(recipe(), model).guidance_scale == 3
    assert resolve(recipe(guidance_scale=8), model).guidance_scale == 8
    with pytest.raises(SettingError, match="negative_prompt needs guidance"):
        resolve(recipe(negative_prompt="x"), Model(guidance_scale=1.0))


@pytest.mark.parametrize("settings", [{"eta": 0.5}, {"sigmas": "karras"}])
def test_a_scheduler_without_a_name_knows_what_its_class_knows(settings: dict[str, Any]) -> None:
    plain = Model(scheduler_config={"_class_name": "PNDMScheduler"})
    with pytest.raises(SettingError, match="has no effect with the scheduler PNDMScheduler"):
        resolve(recipe(**settings), plain)


@pytest.mark.parametrize("scheduler", ["pndm", "dpm2", "dpm2-a", "euler-a", "dpmpp-sde"])
def test_some_schedulers_cannot_step_on_predictions_of_the_sample(scheduler: str) -> None:
    config = {"_class_name": "DDIMScheduler", "prediction_type": "sample"}
    with pytest.raises(SettingError, match="prediction_type 'sample'"):
        resolve(recipe(scheduler=scheduler), Model(scheduler_config=config))


@pytest.mark.parametrize("settings", [{}, {"image": "sketch.png"}])
def test_an_inpainting_model_wants_a_mask(settings: dict[str, Any]) -> None:
    picture = PICTURE if settings else None
    with pytest.raises(SettingError) as caught:
        resolve(recipe(model="painter", **settings), Model(paints=True), picture)
    assert str(caught.value) == (
        "mask must be given for the inpainting model painter: use `sdloop inpaint`, or "
        "`sdloop outpaint` to extend a picture"
    )


def test_the_size_of_an_unresolved_recipe_is_not_guessed() -> None:
    with pytest.raises(SettingError, match="resolve the Recipe"):
        _ = recipe().size


PICTURE = InputFacts(sha256="ab" * 32, size=(80, 40))


def drawn(**settings: Any) -> Recipe:
    """A Recipe that starts from a picture of 80x40, resolved."""
    return resolve(recipe(**({"image": "sketch.png"} | settings)), Model(), PICTURE)


def test_resolving_writes_in_what_the_picture_decides_and_changes_nothing_twice() -> None:
    made = drawn()
    assert made.size == (88, 48)  # 64 times 64 pixels, twice as wide as high, in steps of 8
    assert (made.strength, made.resize, made.background) == (0.75, "crop", "#ffffff")
    assert made.image_sha256 == PICTURE.sha256
    assert resolve(made, Model(), PICTURE) == made
    box = drawn(width=64, height=64, resize="fit")
    assert box.size == (64, 32)
    assert resolve(box, Model(), PICTURE) == box
    assert drawn(resize="pad").size == (64, 64)
    assert drawn(start_step=3).strength is None


@pytest.mark.parametrize(
    ("settings", "schedule"),
    [
        ({"strength": 0.6}, (25, 10)),
        ({"strength": 0.6, "exact_steps": True}, (42, 17)),
        ({"start_step": 10}, (25, 10)),
        ({"strength": 1}, (25, 0)),
        ({"strength": 0.58, "steps": 50}, (50, 22)),
    ],
    ids=str,
)
def test_the_schedule_of_a_strength(settings: dict[str, Any], schedule: tuple[int, int]) -> None:
    assert drawn(**settings).schedule == schedule
    assert resolve(recipe(), Model()).schedule == (25, 0)


@pytest.mark.parametrize(
    "settings",
    [{"strength": 0.5}, {"exact_steps": True}, {"start_step": 0}, {"resize": "pad"},
     {"background": "white"}, {"image_sha256": "ab" * 32}],
    ids=str,
)  # fmt: skip
def test_settings_of_a_picture_mean_nothing_without_one(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(SettingError, match=f"^{name} is for pictures that start from an image"):
        resolve(recipe(**settings), Model())


def test_a_picture_must_be_seen_and_be_the_same() -> None:
    with pytest.raises(SettingError, match=r"image must be opened .* got 'sketch.png'"):
        resolve(recipe(image="sketch.png"), Model())
    with pytest.raises(FileError, match=r"'sketch.png' is not the picture"):
        drawn(image_sha256="00" * 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 0.03}, "strength must be at least 0.04 for one of 25 steps to run"),
        ({"start_step": 25}, "start_step must be at most 24, got 25"),
        ({"strength": 0.02, "exact_steps": True}, "strength must be at least 0.025 for all of 25"),
    ],
)
def test_a_start_after_which_nothing_runs(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        drawn(**settings)


UPSCALER = Model(native_size=(512, 512), size_multiple=4, guidance_scale=9, max_noise_level=350)


def enlarged(**settings: Any) -> Recipe:
    """A Recipe for an upscaler and a picture of 80x40, resolved."""
    values = {"image": "small.png", "model": "x4"} | settings
    return resolve(recipe(**values), UPSCALER, PICTURE)


def test_an_upscaler_makes_a_picture_four_times_as_large_from_noise() -> None:
    made = enlarged()
    assert (made.size, made.noise_level, made.guidance_scale) == ((320, 160), 20, 9)
    assert (made.schedule, made.strength) == ((25, 0), None)
    assert resolve(made, UPSCALER, PICTURE) == made
    assert enlarged(noise_level=0).noise_level == 0
    assert resolve(recipe(image="a"), Model(max_noise_level=5), PICTURE).noise_level == 5


def test_an_upscaler_enlarges_a_picture_that_is_brought_to_another_size_first() -> None:
    assert enlarged(width=160).size == (160, 80)
    assert enlarged(width=100, height=100).size == (100, 100)
    assert enlarged(resize="pad", width=100).size == (100, 160)
    assert enlarged(width=160, height=160, resize="fit").size == (160, 80)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 0.5}, "strength is not supported by upscalers, and x4 is one"),
        ({"exact_steps": True}, "exact_steps is not supported by upscalers"),
        ({"start_step": 0}, "start_step is not supported by upscalers"),
        ({"mask": "alpha"}, "mask is not supported by upscalers"),
        ({"no_keep": True}, "no_keep is not supported by upscalers"),
        ({"noise_level": 351}, "noise_level must be at most 350, got 351"),
        ({"width": 102}, "width must be a multiple of 4 for this model, got 102"),
    ],
    ids=str,
)
def test_what_an_upscaler_does_not_do(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        enlarged(**settings)


def test_an_upscaler_wants_a_picture() -> None:
    with pytest.raises(SettingError) as caught:
        resolve(recipe(model="x4"), UPSCALER)
    message = "image must be given for the upscaler x4: use `sdloop upscale`"
    assert str(caught.value) == message


def test_a_noise_level_is_for_upscalers() -> None:
    with pytest.raises(SettingError, match="needs an upscaler model, and mini is not one"):
        drawn(noise_level=20)
    with pytest.raises(SettingError, match="noise_level must be at most 999"):
        recipe(noise_level=1000)


def test_the_key_of_an_enlarged_picture_is_of_its_noise_level() -> None:
    assert content_key(enlarged(), {}) == content_key(
        enlarged(noise_level=20, image="elsewhere.png"), {}
    )
    assert content_key(enlarged(), {}) != content_key(enlarged(noise_level=21), {})


def test_the_key_is_of_the_picture_and_of_the_steps_in_nobodys_words() -> None:
    key = content_key(drawn(strength=0.6), {})
    assert content_key(drawn(strength=0.6, image="elsewhere.png"), {}) == key
    assert content_key(drawn(start_step=10), {}) == key
    assert content_key(drawn(strength=0.6, steps=15, exact_steps=True), {}) == key
    others = [{"strength": 0.5}, {"start_step": 0}, {"start_step": 10, "background": "red"}]
    assert len({key, *(content_key(drawn(**other), {}) for other in others)}) == 4
    other = dataclasses.replace(PICTURE, sha256="cd" * 32)
    assert content_key(resolve(recipe(image="a", strength=0.6), Model(), other), {}) != key
    assert content_key(resolve(recipe(), Model()), {}) != content_key(
        drawn(strength=1, width=64, height=64), {}
    )


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
recipes = st.builds(
    Recipe,
    prompt=texts,
    negative_prompt=st.none() | texts,
    emphasis=st.just("none"),  # then any text is a prompt
    seed=st.integers(0, 2**32 - 1),
    width=st.none() | st.integers(1, 2**15),
    steps=st.integers(1, 1000),
    guidance_scale=st.floats(1.001, 10000),
    eta=st.floats(0, 1),
    sigmas=st.sampled_from([None, "karras", "uniform"]),
    target_size=st.none() | st.tuples(st.integers(0, 2**15), st.integers(0, 2**15)),
    image=st.none() | texts.filter(bool),
    exact_steps=st.booleans(),
    strength=st.none() | st.floats(0, 1),
    background=st.sampled_from([None, "white", "#00a080"]),
)


@given(recipes)
def test_to_json_and_back(made: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@given(recipes)
def test_to_toml_and_back(made: Recipe) -> None:
    text = tomli_w.dumps(made.to_dict())
    assert Recipe.from_dict(tomllib.loads(text)) == made


@given(recipes, recipes)
def test_keys_tell_recipes_apart(one: Recipe, two: Recipe) -> None:
    weights = {"unet": "00"}
    one, two = (
        dataclasses.replace(r, image=None, strength=None, exact_steps=False) for r in (one, two)
    )
    assert (content_key(one, weights) == content_key(two, weights)) == (one == two)
    assert content_key(one, weights) != content_key(one, {"unet": "01"})


def test_files_of_earlier_versions_are_read_under_the_names_of_today() -> None:
    old = {"guides": ["blue=200"], "guides_sha256": ["0" * 64], "guide_every": 2}
    old |= {"guide_mode": "exact"}
    made = Recipe.from_dict({"prompt": "", "seed": 0, **old})
    assert (made.losses, made.loss_every, made.loss_mode) == (("blue=200",), 2, "exact")
    assert made.losses_sha256 == ("0" * 64,)
    assert "guides" not in made.to_dict()
    enlarged = Recipe.from_dict({"prompt": "", "seed": 0, "image": "a.png", "scale": 2})
    assert enlarged.factor == 2


def test_the_key_is_what_is_in_the_files_and_not_where_they_lie() -> None:
    weights = {"model.safetensors": "00"}
    assert content_key(recipe(model="here"), weights) == content_key(
        recipe(model="/there"), weights
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("stepz", "unknown key 'stepz': did you mean 'steps'?"),
        ("zzzzzzz", "unknown key 'zzzzzzz': it takes prompt, negative_prompt"),
    ],
)
def test_an_unknown_key_is_told_the_nearest(key: str, message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)):
        Recipe.from_dict({"prompt": "x", "seed": 1, key: 3})


def test_a_recipe_needs_prompt_and_seed() -> None:
    with pytest.raises(SettingError, match="seed must be given"):
        Recipe.from_dict({"prompt": "x"})


def test_recipes_are_frozen_and_usable_as_keys() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe().seed = 5  # type: ignore[misc]
    assert {recipe(): 1}[recipe()] == 1
    assert len(FIELDS) == len(set(FIELDS))
