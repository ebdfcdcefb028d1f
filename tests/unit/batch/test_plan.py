"""Plans in the library: combinations, resolving once, keys, names, memory."""

import dataclasses
import itertools
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sdloop.batch.counts import steps_run, token_counter
from sdloop.batch.cross import Crossing
from sdloop.batch.lines import line_of, output_of
from sdloop.batch.names import Naming
from sdloop.batch.planned import Planned
from sdloop.batch.planning import Planner
from sdloop.batch.prompts import Prompt
from sdloop.batch.requests import requests_of
from sdloop.batch.settings import Settings
from sdloop.batch.sweep import parse_axis
from sdloop.batch.taken_names import Taken
from sdloop.errors import ModelError, PromptError, SdloopError, SettingError
from sdloop.images.input.read import open_image
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.pipeline.resolve import Resolver
from sdloop.recipe.batchable import batches, shape_of
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve


def fill(prompt: Prompt, combination: Mapping[str, Any]) -> dict[str, Any]:
    return {**combination, **prompt.settings}


def prompt(text: str = "a frog", **settings: Any) -> Prompt:
    return Prompt(settings={"prompt": text, **settings})


def planner(**naming: Any) -> Planner:
    return Planner(
        Resolver(open_image, may_fetch=False, tell=lambda _: None),
        Naming(**naming),
        complete=lambda one: one.fields,
        exists=lambda own: "fail" if own else "number",
    )


def plan(crossing: Crossing, *prompts: Prompt, **naming: Any) -> list[Planned]:
    return list(planner(**naming)(crossing(prompts)))


def test_each_prompt_with_each_setting_with_each_variant_with_each_seed() -> None:
    axes = [parse_axis("steps=2,3")]
    crossing = Crossing(fill=fill, seeds=range(4, 6), axes=axes)
    prompts = [prompt("{a|b}"), prompt("c", seed=9)]
    assert [(a.fields["prompt"], a.fields["steps"], a.seed) for a in crossing(prompts)] == [
        *itertools.product(["a"], [2], [4, 5]),
        *itertools.product(["b"], [2], [4, 5]),
        *itertools.product(["a"], [3], [4, 5]),
        *itertools.product(["b"], [3], [4, 5]),
        ("c", 2, 9),
        ("c", 3, 9),
    ]
    assert [crossing.count(one) for one in prompts] == [8, 2]


def test_every_text_of_a_recipe_varies() -> None:
    crossing = Crossing(fill=fill, seeds=[1])
    both = [
        (one.fields["prompt"], one.fields["negative_prompt"])
        for one in crossing([prompt("{a|b}", negative_prompt="{c|d}")])
    ]
    assert both == [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]


def test_a_seed_draws_one_variant_and_always_the_same() -> None:
    crossing = Crossing(fill=fill, seeds=range(200), pick="random")
    text = "a {red|green|blue} {frog|cat}"
    drawn = [one.fields["prompt"] for one in crossing([prompt(text)])]
    assert len(drawn) == crossing.count(prompt(text)) == 200
    assert drawn[:4] == ["a red frog", "a blue frog", "a red frog", "a blue cat"]
    assert {drawn.count(one) > 15 for one in set(drawn)} == {True}
    assert len(set(drawn)) == 6
    # Whatever else is in the plan, and wherever the seed stands in it.
    again = dataclasses.replace(crossing, seeds=[7], axes=[parse_axis("steps=1,2")])
    assert [one.fields["prompt"] for one in again([prompt("x"), prompt(text)])][2:] == [
        drawn[7]
    ] * 2


def test_variants_that_cannot_be_read_name_field_and_line() -> None:
    one = Prompt(settings={"prompt": "a", "negative_prompt": "{b"}, where="plan.txt, line 3")
    with pytest.raises(PromptError, match=r"^plan.txt, line 3: negative_prompt: a { is never"):
        list(Crossing(fill=fill, seeds=[1])([one]))


def test_what_an_axis_and_a_line_both_set_is_refused() -> None:
    one = Prompt(settings={"prompt": "a", "steps": 4}, where="plan.txt, line 3")
    crossing = Crossing(fill=fill, seeds=[1], axes=[parse_axis("steps=1,2")])
    with pytest.raises(SettingError, match="line 3: steps is swept, but this prompt sets its own"):
        list(crossing([one]))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "prompt": 'a "seed": 4, (frog:1.2) [a:b:0.5]',
            "steps": 7,
            "scheduler": "ddim",
            "eta": 0.5,
        },
        {"hires": 2.0, "strength": 0.5, "negative_prompt": "東京"},
        {"variation_seed": 9, "variation_strength": 0.2, "guidance_scale": 3},
    ],
)
def test_a_recipe_that_was_resolved_for_another_seed_is_the_same(settings: dict[str, Any]) -> None:
    checkpoint = find_checkpoint("mini")
    fields = {"prompt": "a frog", **settings}
    crossing = Crossing(fill=fill, seeds=[4, 0, 2**32 - 1])
    for planned in plan(crossing, Prompt(settings=fields)):
        alone = resolve(Recipe(**fields, seed=planned.recipe.seed), checkpoint)
        assert planned.recipe == alone
        assert planned.key == content_key(alone, model_hashes(checkpoint))


def test_equal_settings_are_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Recipe] = []
    resolved = Resolver.__call__
    monkeypatch.setattr(
        Resolver, "__call__", lambda self, recipe: (made.append(recipe), resolved(self, recipe))[1]
    )
    lines = [prompt(f"a frog {number % 3}", seed=number) for number in range(30)]
    assert len(plan(Crossing(fill=fill), *lines)) == 30
    assert len(made) == 3


def test_names_tell_what_is_swept() -> None:
    axes = [parse_axis("guidance_scale=1,2.5"), parse_axis("scheduler=,ddim")]
    names = [
        str(one.path)
        for one in plan(
            Crossing(fill=fill, seeds=[4], axes=axes),
            prompt(),
            outdir="out",
            swept=("guidance_scale", "scheduler"),
        )
    ]
    assert names == [
        "out/a-frog-4-1-euler.png",
        "out/a-frog-4-1-ddim.png",
        "out/a-frog-4-2.5-euler.png",
        "out/a-frog-4-2.5-ddim.png",
    ]


def test_names_that_look_alike_are_numbered_and_nothing_is_lost() -> None:
    prompts = [prompt(f"a frog {'on stilts ' * 9}{number}") for number in range(4)]
    prompts.append(Prompt(settings=prompts[0].settings, output="x-2.png"))
    crossing = Crossing(fill=fill, seeds=[1])
    planned = plan(crossing, *prompts, output="x.png")
    names = ["x.png", "x-2.png", "x-3.png", "x-4.png", "x-2-2.png"]
    assert [str(one.path) for one in planned] == names
    assert [str(one.path) for one in plan(crossing, *prompts, output="x.png")] == names


def test_the_same_picture_in_the_same_file_is_planned_once() -> None:
    planning = planner()
    named = [prompt(), prompt("a cat"), prompt(), prompt()]
    planned = list(planning(Crossing(fill=fill, seeds=[1, 2])(named)))
    assert [str(one.path) for one in planned] == [
        *("a-frog-1.png", "a-frog-2.png", "a-cat-1.png", "a-cat-2.png")
    ]
    assert planning.twice == 4


def test_taken_names_of_many_pictures_are_found_without_trying_all() -> None:
    taken, path = Taken(), Path("frog.png")
    keys = [f"{number:064x}" for number in range(3000)]
    names = [taken.free(path, key) for key in keys]
    assert names[0] == path
    assert names[-1] == Path("frog-3000.png")
    assert len(set(names)) == 3000
    assert taken.free(path, keys[7]) is None
    assert taken.free(Path("frog-3.png"), "f" * 64) == Path("frog-3-2.png")


def test_a_line_of_a_plan_is_final() -> None:
    (planned,) = plan(Crossing(fill=fill, seeds=[4]), prompt("{a frog}", steps=3), outdir="{x}")
    fields = planned.recipe.to_dict()
    final = Prompt(settings=fields, output=output_of(planned.path), key=planned.key, where="line 1")
    swept = Crossing(fill=lambda *_: {}, seeds=[1, 2], pick="random")
    (again,) = plan(swept, final)
    assert (again.recipe, again.path, again.key) == (planned.recipe, planned.path, planned.key)
    changed = dataclasses.replace(final, settings={**fields, "steps": 4})
    with pytest.raises(SettingError, match="line 1: key does not match these settings"):
        plan(swept, changed)


def test_files_outside_are_told_from_the_root_and_taken_back_with_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (planned,) = plan(Crossing(fill=fill, seeds=[4]), prompt(), output="../there/{seed}.png")
    told = output_of(planned.path)
    assert told == str(tmp_path / "there" / "4.png")
    final = Prompt(settings=planned.recipe.to_dict(), output=told, key=planned.key)
    with pytest.raises(SettingError, match="or its folder --outdir"):
        plan(Crossing(fill=fill), final)
    (again,) = plan(Crossing(fill=fill), final, outdir="../there")
    assert str(again.path) == told
    for name in ("../x.png", "", "a/", str(tmp_path / "there/../x.png")):
        with pytest.raises(SettingError):
            plan(Crossing(fill=fill), dataclasses.replace(final, output=name), outdir="../there")


def test_a_model_that_is_not_here_names_its_line() -> None:
    one = Prompt(settings={"prompt": "a", "model": "./none"}, where="plan.txt, line 2")
    with pytest.raises(ModelError, match=r"^plan.txt, line 2: there is no folder none"):
        plan(Crossing(fill=fill, seeds=[1]), one)


@pytest.mark.parametrize(
    "settings, steps",
    [
        ({"steps": 7}, 7),
        ({"steps": 10, "hires": 2.0, "strength": 0.5}, 15),
        ({"steps": 10, "hires": 2.0, "strength": 0.5, "exact_steps": True}, 20),
        ({"steps": 10, "image": "in.png", "strength": 0.35}, 3),
        ({"steps": 10, "image": "in.png", "start_step": 8}, 2),
        ({"steps": 5, "image": "in.png", "right": 128}, 10),
    ],
)
def test_the_steps_that_really_run(
    settings: dict[str, Any], steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (128, 128), "red").save("in.png")
    (planned,) = plan(Crossing(fill=fill, seeds=[1]), prompt(**settings))
    assert steps_run(planned.recipe, planned.checkpoint) == steps


@pytest.mark.parametrize(
    "settings, tokens",
    [
        ({"prompt": ""}, 0),
        ({"prompt": "a red frog"}, 3),
        ({"prompt": "a (red:1.5) frog"}, 3),
        ({"prompt": "a (red) frog", "emphasis": "none"}, 5),
        ({"prompt": "a [frog:red house at night:0.5]"}, 5),
        ({"prompt": "a frog AND a red house"}, 5),
        ({"prompt": "frog " * 100}, 100),
    ],
)
def test_tokens_are_those_that_the_encoder_reads(settings: dict[str, Any], tokens: int) -> None:
    (planned,) = plan(Crossing(fill=fill, seeds=[1]), Prompt(settings=settings))
    assert token_counter()(planned.recipe, planned.checkpoint) == tokens


def test_a_line_of_json_holds_no_line_end() -> None:
    (planned,) = plan(Crossing(fill=fill, seeds=[1]), prompt("a\nfrog"))
    assert "\n" not in line_of(planned, token_counter())


# Short plans


def short(*prompts: Prompt, seeds: Sequence[int] = (4,), **naming: Any) -> list[Planned]:
    """The plan of a command such as txt2img."""
    resolve = Resolver(open_image, may_fetch=False)
    rule = Naming(distinct=True, **naming)
    planning = Planner(resolve, rule, exists=lambda own: "number", keyed=False)
    return planning.all(requests_of(prompts, Settings(), seeds))


def test_a_short_plan_hashes_no_weights_and_numbers_equal_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hashed(checkpoint: object) -> None:
        raise AssertionError("txt2img must not read all weights before it begins")

    monkeypatch.setattr("sdloop.batch.planning.model_hashes", hashed)
    planned = short(prompt(), prompt("a {x|y}"), prompt(), seeds=(1, 2))
    assert [(str(one.path), one.recipe.seed, one.key) for one in planned] == [
        ("a-frog-1.png", 1, ""),
        ("a-frog-2.png", 2, ""),
        ("a-x-y-1.png", 1, ""),
        ("a-x-y-2.png", 2, ""),
        ("a-frog-1-2.png", 1, ""),
        ("a-frog-2-2.png", 2, ""),
    ]


def test_a_chosen_name_is_for_one_picture_of_a_short_plan() -> None:
    last = Prompt(settings={"prompt": "a"}, output="x.png")
    with pytest.raises(SettingError, match=r"'x.png' would be picture 1 and 3"):
        short(dataclasses.replace(last, output="./x.png"), prompt(), last)
    with pytest.raises(SettingError, match=r"'x.png' would be picture 1 and 2"):
        short(prompt(), seeds=(1, 2), output="x.png")


def test_a_short_plan_makes_each_check_for_all_pictures_before_the_next() -> None:
    bad = {
        "steps": {"steps": 0},
        "cannot read 'none.png'": {"image": "none.png"},
        "no folder none": {"model": "./none"},
        "width must be a multiple": {"width": 65},
    }
    lines = [prompt(**settings) for settings in bad.values()]
    lines.append(Prompt(settings={"prompt": "a"}, output="{nothing}.png"))
    for place, message in enumerate([*bad, "unknown {nothing}"]):
        with pytest.raises(SdloopError, match=message):
            short(*reversed(lines[place:]))


def test_the_line_of_a_printed_plan_is_like_any_other_in_a_short_plan() -> None:
    one = Prompt(settings={"prompt": "a", "seed": 4}, output="x-{seed}", key="0" * 64)
    (planned,) = short(one, seeds=())
    assert (str(planned.path), planned.key) == ("x-4.png", "")


# Long plans


def held_by(pictures: Iterator[Planned], *, after: int, count: int) -> int:
    """How much memory each ``count`` pictures leave behind, once some have been planned.

    The least of three times: a leak is there each time, and what another thread does is not.
    """
    held = []
    for _ in itertools.islice(pictures, after):
        pass
    tracemalloc.start()
    for _ in range(3):
        before, _peak = tracemalloc.get_traced_memory()
        assert sum(1 for _ in itertools.islice(pictures, count)) == count
        held.append(tracemalloc.get_traced_memory()[0] - before)
    tracemalloc.stop()
    return min(held)


def test_a_plan_of_millions_begins_at_once_and_keeps_nothing() -> None:
    text = " ".join(["{a|b|c|d}"] * 10)
    crossing = Crossing(
        fill=fill,
        seeds=parse_axis("seed=0..4294967295"),
        axes=[parse_axis("guidance_scale=1..10..0.5")],
    )
    assert crossing.count(prompt(text)) == 4**10 * 19 * 2**32
    pictures = planner()(crossing(itertools.repeat(prompt(text))))
    assert held_by(pictures, after=200, count=700) < 50_000


def test_of_many_different_recipes_only_the_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdloop.batch.planning._KEPT", 8)
    crossing = Crossing(fill=fill, seeds=[4], axes=[parse_axis("guidance_scale=1..100..0.1")])
    pictures = planner()(crossing([prompt()]))
    assert held_by(pictures, after=20, count=70) < 50_000


@pytest.mark.slow
def test_a_million_pictures_take_no_more_memory_than_some() -> None:
    def resident() -> int:
        """Without pages of files, which the kernel drops and reads again when it likes."""
        status = dict(
            line.split(":") for line in Path("/proc/self/status").read_text().splitlines()
        )
        return int(status["RssAnon"].split()[0]) * 1024

    crossing = Crossing(fill=fill, seeds=range(1_000_000))
    pictures = planner()(crossing([prompt()]))
    for _ in itertools.islice(pictures, 300_000):
        pass
    before = resident()
    assert sum(1 for _ in pictures) == 700_000
    assert resident() - before < 5_000_000


# Which Recipes share a batch


def test_shapes_are_equal_but_for_words_seeds_and_pictures() -> None:
    one = Recipe(prompt="a", seed=1, steps=5)
    alike = [
        dataclasses.replace(one, seed=2, prompt="b", negative_prompt="c"),
        dataclasses.replace(one, variation_seed=3, variation_strength=0.5),
        dataclasses.replace(one, mix_prompts=("b",)),
    ]
    others = [
        dataclasses.replace(one, steps=6),
        dataclasses.replace(one, width=64),
        dataclasses.replace(one, guidance_scale=2.0),
        dataclasses.replace(one, image="a.png"),
        dataclasses.replace(one, emphasis="none"),
    ]
    assert {shape_of(other) for other in alike} == {shape_of(one)}
    assert len({shape_of(other) for other in [one, *others]}) == 6
    assert [len(batch) for batch in batches([one, *alike, *others], 3)] == [3, 1, 1, 1, 1, 1, 1]
    assert shape_of(dataclasses.replace(one, image="a.png")) == shape_of(
        dataclasses.replace(one, image="b.png", seed=3)
    )
