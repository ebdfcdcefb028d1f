"""Guidance settings of a Recipe: valid values, error messages, and contradictions."""

from typing import Any

import pytest
from helpers.model_facts import Model
from helpers.tiny import tiny_sd1, tiny_sd2
from hypothesis import given
from hypothesis import strategies as st

from sdloop.errors import SettingError
from sdloop.recipe.guidance_grammar import (
    GUIDANCES,
    parse_guidance,
    parse_interval,
    parse_schedule,
)
from sdloop.recipe.guidance_scales import guidance_scales
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve


def recipe(**settings: Any) -> Recipe:
    return Recipe(**{"prompt": "a cat", "seed": 7, "width": 32, "height": 32, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"guidance": "apgg"}, "guidance must be one of cfg, apg, cfg-zero.*got 'apgg'"),
        ({"guidance": "apg:ete=1"}, "guidance apg takes eta, momentum, norm, got 'ete=1'"),
        ({"guidance": "cfg++:a=1"}, r"guidance cfg\+\+ takes no numbers, got 'a=1'"),
        ({"guidance": "apg:eta"}, "guidance apg:eta must be a number, got ''"),
        ({"guidance": "apg:eta=2"}, "guidance apg:eta must be between 0 and 1, got 2"),
        ({"guidance": "apg:eta=nan"}, "guidance apg:eta must be a finite number"),
        ({"guidance": "cfg-zero:zero=0.5"}, "guidance cfg-zero:zero must be a whole number"),
        ({"guidance": 3}, "guidance must be text, got 3"),
        ({"guidance": "apg", "guidance_scale": 1}, "guidance needs guidance, and guidance_scale 1"),
        (
            {"guidance": "cfg++", "guidance_scale": 7.5},
            r"cfg\+\+ needs scales from 0 to 1.*got 7.5",
        ),
        ({"guidance": "cfg++", "guidance_schedule": "0.2,3"}, r"cfg\+\+ needs scales.*got 3"),
        ({"guidance_interval": "5"}, "guidance_interval must be two sigmas, as in 0.28..5.42"),
        ({"guidance_interval": ".."}, "guidance_interval must be two sigmas"),
        ({"guidance_interval": "a..b"}, "guidance_interval must be a number, got 'a'"),
        ({"guidance_interval": "5..1"}, "guidance_interval must have the lower sigma first"),
        ({"guidance_interval": "-1..1"}, "guidance_interval must be between 0 and 1e.06, got -1"),
        (
            {"guidance_interval": "1..2", "guidance_scale": 1},
            "guidance_interval needs guidance, and guidance_scale 1",
        ),
        ({"guidance_schedule": "line:1..9"}, "guidance_schedule must be linear:1..9, cosine:1..9"),
        ({"guidance_schedule": "linear:1..5..9"}, "guidance_schedule must be linear:1..9"),
        ({"guidance_schedule": "1,,2"}, "guidance_schedule must be linear:1..9"),
        ({"guidance_schedule": ""}, "guidance_schedule must be linear:1..9"),
        ({"guidance_schedule": "1,x"}, "guidance_schedule must be a number, got 'x'"),
        ({"guidance_schedule": "1,1"}, "guidance_schedule must have a scale other than 1"),
        (
            {"guidance_schedule": "1,2", "guidance_scale": 3},
            "guidance_schedule cannot be combined with guidance_scale, got guidance_scale 3",
        ),
        ({"pag_scale": -1}, "pag_scale must be between 0 and 1000, got -1"),
        ({"pag_layers": "mid"}, "pag_layers needs pag_scale, which sets how much, got 'mid'"),
        ({"slg_layers": "mid"}, "slg_layers needs slg_scale"),
        ({"slg_scale": 1, "slg_layers": "mid,"}, "slg_layers must be names of layers"),
    ],
    ids=str,
)
def test_a_bad_value_names_field_rule_and_value(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        recipe(**settings)
    assert "\n" not in str(caught.value)


def test_spellings_of_one_thing_are_one_recipe() -> None:
    assert recipe(guidance="cfg") == recipe()
    assert recipe(guidance="apg") == recipe(guidance="apg:momentum=-0.50:eta=0.0")
    assert recipe(guidance_interval="..5.420") == recipe(guidance_interval="0..5.42")
    assert recipe(guidance_schedule="1, 2.0 ,3") == recipe(guidance_schedule="1,2,3")
    assert recipe(pag_scale=1, pag_layers="mid, up") == recipe(pag_scale=1, pag_layers="mid,up")
    assert recipe(guidance_interval="0.28..").guidance_interval == "0.28.."


@pytest.mark.parametrize("name", GUIDANCES)
def test_what_is_left_out_is_written_in(name: str) -> None:
    once = str(parse_guidance(name))
    assert str(parse_guidance(once)) == once
    usual = {key for key, number in GUIDANCES[name].items() if number.usual is not None}
    assert set(parse_guidance(once).numbers) == usual


SCALE = st.floats(0, 1e4)


@given(scales=st.lists(SCALE, min_size=1, max_size=6).filter(lambda scales: set(scales) != {1}))
def test_a_list_of_scales_comes_back_as_it_was(scales: list[float]) -> None:
    made = recipe(guidance_schedule=",".join(map(repr, scales)))
    assert made.guidance_schedule is not None
    assert parse_schedule(made.guidance_schedule) == ("list", tuple(scales))
    places = [index / max(1, len(scales) - 1) for index in range(len(scales))]
    told = guidance_scales(made, sigmas=[1.0] * len(scales), places=places)
    assert told == pytest.approx(scales)


@given(low=SCALE, more=st.floats(1e-3, 1e3))
def test_an_interval_comes_back_as_it_was(low: float, more: float) -> None:
    made = recipe(guidance_interval=f"{low!r}..{low + more!r}")
    assert made.guidance_interval is not None
    assert parse_interval(made.guidance_interval) == (low, low + more)
    told = guidance_scales(
        recipe(guidance_interval=made.guidance_interval, guidance_scale=3),
        sigmas=[low + 2 * more, low + more, low],
        places=[0, 0.5, 1],
    )
    assert told == [1, 3, 1]


@pytest.mark.parametrize(
    "settings",
    [
        {"guidance": "apg", "guidance_interval": "0.28..5.42"},
        {"guidance": "threshold", "guidance_schedule": "cosine:1..9"},
        {"guidance": "cfg++", "scheduler": "euler"},
        {"pag_scale": 3, "slg_scale": 1, "slg_layers": "up_blocks.1"},
    ],
)
def test_resolving_writes_all_in_and_changes_nothing_twice(settings: dict[str, Any]) -> None:
    model = tiny_sd2()
    resolved = resolve(recipe(**settings), model)
    assert resolve(resolved, model) == resolved
    assert Recipe.from_dict(resolved.to_dict()) == resolved
    assert resolved.guided
    if "pag_scale" in settings:
        assert (resolved.pag_layers, resolved.slg_layers) == ("mid", "up_blocks.1")
    assert (resolved.guidance_scale is None) == ("guidance_schedule" in settings)


def test_keys_tell_what_changes_pixels() -> None:
    model = tiny_sd1()

    def key(**settings: Any) -> str:
        return content_key(resolve(recipe(**settings), model), {})

    plain = key()
    for settings in (
        {"guidance": "apg"},
        {"guidance_interval": "1..2"},
        {"guidance_schedule": "1,2"},
        {"pag_scale": 1},
        {"slg_scale": 1},
    ):
        assert key(**settings) != plain
    assert key(pag_scale=0, slg_scale=0) == plain == key(guidance="cfg")
    assert key(pag_scale=1) == key(pag_scale=1, pag_layers="mid")
    assert key(pag_scale=1) != key(pag_scale=1, pag_layers="up")


@pytest.mark.parametrize("guidance", ["apg", "threshold"])
def test_edms_schedulers_have_no_such_terms(guidance: str) -> None:
    from dataclasses import replace

    model = replace(tiny_sd1(), scheduler_config={"_class_name": "EDMEulerScheduler"})
    with pytest.raises(
        SettingError,
        match=f"guidance {guidance} does not work with EDM schedulers, got 'edm-euler'",
    ):
        resolve(recipe(guidance=guidance), model)
    assert resolve(recipe(guidance="cfg-zero"), model).guided


def test_a_model_without_guidance_of_its_own_has_none_to_change() -> None:
    """As one that was distilled: there, too, a setting that would be ignored is refused."""
    model = Model(guidance_scale=1.0, size_multiple=2)
    with pytest.raises(SettingError, match="guidance_interval needs guidance"):
        resolve(recipe(guidance_interval="1..2"), model)
    assert resolve(recipe(guidance_schedule="1,3", negative_prompt="x"), model).guided
