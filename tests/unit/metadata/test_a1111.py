"""A1111's text: its parser reads what we write, and we read or report what it writes."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdloop.metadata.a1111 import Parameters, format_parameters, parse_parameters
from sdloop.metadata.a1111_read import settings_of
from sdloop.metadata.a1111_write import parameters_of
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import SCHEDULERS, SIGMAS

RECIPE = Recipe(
    prompt="a frog, <lora:stilts:0.8>",
    negative_prompt="blurry",
    seed=4,
    guidance_scale=7.5,
    model="someone/frogs",
    width=512,
    height=768,
    steps=20,
    scheduler="dpmpp-2m",
    sigmas="karras",
)

letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
prompts = st.text(letters).map(str.strip).filter(lambda text: "Negative prompt:" not in text)
keys = st.from_regex(r"[A-Za-z][A-Za-z0-9 /-]{0,30}[A-Za-z]", fullmatch=True)
values = st.one_of(st.text(letters), st.sampled_from(['"', '"a"', "a, b: c", "\\", "\n", " x "]))
many_fields = st.dictionaries(keys, values, min_size=3, max_size=8)


def _as_a1111_reads(text: str) -> tuple[str, str, dict[str, str]]:
    """The rules of its reader: every line is stripped, three items make a line of settings."""
    *lines, last = text.strip().split("\n")
    item = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
    if len(item.findall(last)) < 3:
        lines, last = [*lines, last], ""
    prompts: tuple[list[str], list[str]] = ([], [])
    negative = False
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            negative, line = True, line[len("Negative prompt:") :].strip()
        prompts[negative].append(line)
    fields = {
        key: json.loads(value) if value[:1] == value[-1:] == '"' else value
        for key, value in item.findall(last)
    }
    return "\n".join(prompts[False]), "\n".join(prompts[True]), fields


@pytest.mark.parametrize(
    "settings, strength",
    [({"strength": 0.6}, "0.6"), ({"start_step": 8}, "0.6"), ({"start_step": 0}, "1")],
)
def test_what_starts_from_a_picture_has_a_denoising_strength(settings, strength) -> None:
    fields = parameters_of(replace(RECIPE, image="sketch.png", **settings), {}).fields
    assert fields["Denoising strength"] == strength
    assert "Denoising strength" not in parameters_of(RECIPE, {}).fields


@given(prompts, prompts, many_fields)
def test_the_grammar_round_trips(prompt: str, negative: str, fields: dict[str, str]) -> None:
    parameters = Parameters(prompt=prompt, negative_prompt=negative, fields=fields)
    assert parse_parameters(format_parameters(parameters)) == parameters


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    for whole in (text, f"{text}\nSteps: {text}, Seed: {text}, Size: {text}"):
        settings, _ = settings_of(parse_parameters(whole))
        Recipe.from_dict({"seed": 0} | settings)


def test_a_long_line_of_words_takes_no_time() -> None:
    line = "word " * 20_000
    assert parse_parameters(line).prompt == line.strip()


def test_the_text_of_a_recipe() -> None:
    made = {
        "weights": {"model.safetensors": "ab" * 32, "vae.safetensors": "cd" * 32},
        "versions": {"sdloop": "0.1.0"},
    }
    recipe = replace(RECIPE, vae="vaes/soft.safetensors", clip_skip=2)
    assert format_parameters(parameters_of(recipe, made)) == (
        "a frog, <lora:stilts:0.8>\n"
        "Negative prompt: blurry\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 4, "
        "Size: 512x768, Model hash: ababababab, Model: frogs, VAE hash: cdcdcdcdcd, VAE: soft, "
        "Clip skip: 2, RNG: CPU, Version: sdloop 0.1.0"
    )


def test_what_a_recipe_does_not_say_is_left_out() -> None:
    recipe = Recipe(prompt="", seed=0, guidance_scale=7, model="a, b: c")
    made = {"weights": {"unet/x.safetensors": "ab" * 32, "text_encoder/x.safetensors": "cd" * 32}}
    assert format_parameters(parameters_of(recipe, made)) == (
        'CFG scale: 7, Seed: 0, Model: "a, b: c", RNG: CPU, Version: sdloop'
    )


@pytest.mark.parametrize(("ours", "theirs"), [("no-norm", "No norm"), ("none", "None")])
def test_another_emphasis_is_said_and_comes_back(ours: str, theirs: str) -> None:
    parameters = parameters_of(replace(RECIPE, emphasis=ours), {})
    assert parameters.fields["Emphasis"] == theirs
    settings, left_out = settings_of(parameters)
    assert settings["emphasis"] == ours
    assert not any("Emphasis" in text for text in left_out)
    assert "Emphasis" not in parameters_of(RECIPE, {}).fields
    settings, left_out = settings_of(replace(parameters, fields={"Emphasis": "Ignore"}))
    assert "emphasis" not in settings
    assert "Emphasis: Ignore" in left_out


@pytest.mark.parametrize(
    "prompt", ["a frog", "", "two\n\nlines", "Steps: 1, Sampler: x, Seed: 3", '東京 🐎 "quoted"']
)
@pytest.mark.parametrize(
    "negative", [None, "blurry", "two\nlines", "Steps: 1, Sampler: x, Seed: 3"]
)
def test_a1111_reads_what_we_write(prompt: str, negative: str | None) -> None:
    parameters = parameters_of(replace(RECIPE, prompt=prompt, negative_prompt=negative), {})
    text = format_parameters(parameters)
    assert _as_a1111_reads(text) == (prompt, negative or "", parameters.fields)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_comes_back(scheduler: str) -> None:
    knows_sigmas = "sigmas" in SCHEDULERS[scheduler].knows
    for sigmas in SIGMAS if knows_sigmas else [None]:
        recipe = replace(RECIPE, scheduler=scheduler, sigmas=sigmas)
        text = format_parameters(parameters_of(recipe, {}))
        assert "Schedule type: " in text
        settings, left_out = settings_of(parse_parameters(text))
        settings["model"] = recipe.model
        assert Recipe.from_dict(settings) == recipe
        assert left_out == ["Model: frogs"]


@pytest.mark.parametrize(
    ("sampling", "scheduler", "sigmas"),
    [
        ("Sampler: DPM++ 2M Karras", "dpmpp-2m", "karras"),
        ("Sampler: DPM++ 2M", "dpmpp-2m", "uniform"),
        ("Sampler: DPM++ 2M, Schedule type: Automatic", "dpmpp-2m", "karras"),
        ("Sampler: DPM++ 2M SDE, Schedule type: Automatic", "dpmpp-2m-sde", "exponential"),
        ("Sampler: DPM++ 2M SDE, Schedule type: Exponential", "dpmpp-2m-sde", "exponential"),
        ("Schedule type: Beta, Sampler: Euler", "euler", "beta"),
        ("Sampler: Euler, Schedule type: Automatic", "euler", "uniform"),
        ("Sampler: Euler a", "euler-a", None),
        ("Sampler: Euler a, Schedule type: Automatic", "euler-a", None),
        ("Sampler: Euler a, Schedule type: Uniform", "euler-a", None),
        ("Sampler: PLMS", "pndm", None),
    ],
)
def test_samplers_of_old_and_new_files(sampling: str, scheduler: str, sigmas: str | None) -> None:
    text = f"a cat\nSteps: 20, {sampling}, CFG scale: 7, Seed: 5, RNG: CPU"
    settings, left_out = settings_of(parse_parameters(text))
    assert settings["scheduler"] == scheduler
    assert settings.get("sigmas") == sigmas
    assert left_out == []


def test_what_cannot_be_taken_over_is_said() -> None:
    text = (
        "a cat\nNegative prompt: dog\nSteps: 20, Sampler: DPM++ 3M SDE, Schedule type: Karras, "
        "CFG scale: 1, Seed: -1, Size: 512x768x3, Model hash: 0123456789, Model: cats, "
        'Clip skip: many, Denoising strength: 0.5, Lora hashes: "a: 0123, b: 4567", Version: v1.10'
    )
    settings, left_out = settings_of(parse_parameters(text))
    assert settings == {"prompt": "a cat", "steps": 20, "guidance_scale": 1.0, "rng": "philox"}
    assert left_out == [
        "Sampler: DPM++ 3M SDE",
        "Schedule type: Karras",
        "Seed: -1",
        "Size: 512x768x3",
        "Model: cats",
        "Clip skip: many",
        "Denoising strength: 0.5",
        "Lora hashes: a: 0123, b: 4567",
        "Negative prompt: dog",
    ]


LONG = 2**40 + 5


@pytest.mark.parametrize(
    ("end", "settings", "left_out"),
    [
        ("Seed: 5, RNG: CPU", {"seed": 5}, []),
        ("Seed: 5, RNG: NV", {"seed": 5, "rng": "philox"}, []),
        ("Seed: 5, RNG: GPU", {"seed": 5, "rng": "philox"}, []),
        ("Seed: 5", {"seed": 5, "rng": "philox"}, []),
        (f"Seed: {LONG}, RNG: GPU", {"seed": LONG, "rng": "philox"}, []),
        ("Seed: 5, Version: ComfyUI", {"seed": 5}, []),
        (f"Seed: {LONG}", {"seed": 5}, [f"Seed: {LONG} (torch uses the lower 32 bits, 5)"]),
        (
            "Seed: 5, RNG: TPU",
            {"seed": 5},
            ["RNG: TPU (the same seed gives another picture in sdloop)"],
        ),
    ],
)
def test_where_the_noise_came_from(end: str, settings: dict[str, Any], left_out: list[str]) -> None:
    """A1111 writes no RNG for the GPU's; ComfyUI uses the CPU's, and seeds of 64 bits."""
    text = f"a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, {end}"
    found, told = settings_of(parse_parameters(text))
    assert {name: found[name] for name in ("seed", "rng") if name in found} == settings
    assert told == left_out


def test_ensd_is_read_if_the_sampler_adds_noise() -> None:
    text = "a cat\nSteps: 20, Sampler: {}, CFG scale: 7, Seed: 5, ENSD: 31337, RNG: CPU"
    found, told = settings_of(parse_parameters(text.format("Euler a")))
    assert (found["eta_noise_seed_delta"], told) == (31337, [])
    found, told = settings_of(parse_parameters(text.format("Euler")))
    assert ("eta_noise_seed_delta" in found, told) == (False, ["ENSD: 31337"])
    written = parameters_of(
        replace(RECIPE, scheduler="euler-a", sigmas=None, eta_noise_seed_delta=9), {}
    )
    assert written.fields["ENSD"] == "9"


def test_the_generator_is_written_as_a1111_calls_it() -> None:
    parameters = parameters_of(replace(RECIPE, rng="philox"), {})
    assert parameters.fields["RNG"] == "NV"
    assert settings_of(parameters)[0]["rng"] == "philox"


def test_a_schedule_that_the_scheduler_does_not_know_is_said() -> None:
    text = "a cat\nSteps: 20, Sampler: Euler a, Schedule type: Karras, Seed: 5, RNG: CPU"
    settings, left_out = settings_of(parse_parameters(text))
    assert settings["scheduler"] == "euler-a"
    assert left_out == ["Schedule type: Karras"]


def test_fewer_than_three_items_are_part_of_the_prompt() -> None:
    parameters = parse_parameters("a cat\nratio: 3, light: soft")
    assert parameters.prompt == "a cat\nratio: 3, light: soft"
    assert parameters.fields == {}
    assert settings_of(parameters) == ({"prompt": "a cat\nratio: 3, light: soft"}, [])


def test_the_tail_of_stable_diffusion_cpp_is_no_setting() -> None:
    text = (
        "a cat\nSteps: 20, CFG scale: 7.000000, Seed: 42, Size: 512x512, RNG: cuda, "
        'Sampler: euler_a, Version: stable-diffusion.cpp, SDCPP: {"seed": 42, "a": {"b c": 1}}'
    )
    settings, left_out = settings_of(parse_parameters(text))
    assert settings["scheduler"] == "euler-a"
    assert settings["guidance_scale"] == 7.0
    assert left_out == ["RNG: cuda (the same seed gives another picture in sdloop)"]


def test_tags_that_call_no_lora_are_left_out_of_the_prompt() -> None:
    prompt = "a frog <hypernet:ink:0.8> <lora:stilts:0.8> <lyco:wash:1>"
    settings, left_out = settings_of(Parameters(prompt=prompt, negative_prompt="", fields={}))
    assert settings["prompt"] == "a frog <lora:stilts:0.8>"
    assert left_out == ["<hypernet:ink:0.8> in the prompt", "<lyco:wash:1> in the prompt"]
