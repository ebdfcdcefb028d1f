"""A1111's settings line with variants of other sites and extensions: JSON, and lines after it."""

import json
from pathlib import Path

import pytest
from helpers.foreign import COMFYUI, png_with

from sdloop.metadata.a1111 import Parameters, format_parameters, parse_parameters
from sdloop.metadata.a1111_read import settings_of
from sdloop.metadata.picture import read_record

RESOURCES = json.dumps(
    [
        {"type": "checkpoint", "modelName": "Pony: Fast, Steps: 4, Seed: 9", "modelVersionId": 1},
        {"type": "lora", "weight": 0.8, "modelName": 'Ink, "v2"]'},
    ],
    separators=(",", ":"),
)
LINE = "Steps: 8, Sampler: Euler a, CFG scale: 2, Seed: 77, Size: 64x64"


def test_a_list_of_json_is_one_value() -> None:
    text = f"a frog\n{LINE}, Civitai resources: {RESOURCES}, Civitai metadata: {{}}, Clip skip: 2"
    settings, left_out = settings_of(parse_parameters(text))
    assert (settings["steps"], settings["seed"], settings["clip_skip"]) == (8, 77, 2)
    assert f"Civitai resources: {RESOURCES}" in left_out
    assert "Civitai metadata: {}" in left_out


def test_an_object_of_hashes_is_one_value() -> None:
    hashes = '{"model": "abc", "lora:ink": "def"}'
    fields = parse_parameters(f"a frog\n{LINE}, Hashes: {hashes}, Version: v1.9").fields
    assert fields["Hashes"] == hashes
    assert fields["Version"] == "v1.9"
    assert "model" not in fields


@pytest.mark.parametrize("value", ["[a", "[1] b", "{x}", "[[[", "{"])
def test_brackets_that_are_no_json_end_at_the_comma(value: str) -> None:
    fields = parse_parameters(f"a frog\nSteps: 8, Name: {value}, Seed: 77").fields
    assert fields == {"Steps": "8", "Name": value, "Seed": "77"}


@pytest.mark.parametrize("value", ["[1", "{}", "[1]", "{x", '["x'])
def test_brackets_that_we_write_come_back(value: str) -> None:
    fields = {"Model": value, "Steps": "8", "Name": '], Cc: "'}
    parameters = Parameters(prompt="a frog", negative_prompt="", fields=fields)
    assert parse_parameters(format_parameters(parameters)) == parameters


def test_lines_below_the_settings() -> None:
    below = "Template: a {red|green} (frog:1.2), (ink:1.1), (wash:1.3),\nat night"
    text = f"a red frog\nNegative prompt: snow\n{LINE}\n{below}\nNegative Template: snow"
    settings, left_out = settings_of(parse_parameters(text))
    assert settings["prompt"] == "a red frog"
    assert settings["negative_prompt"] == "snow"
    assert (settings["steps"], settings["seed"], settings["scheduler"]) == (8, 77, "euler-a")
    assert f"Template: {below.removeprefix('Template: ')}" in left_out
    assert "Negative Template: snow" in left_out


def test_any_line_below_steps() -> None:
    parameters = parse_parameters(f"a red frog\n{LINE}\nUpscaled by somebody")
    assert parameters.prompt == "a red frog"
    assert parameters.fields["Seed"] == "77"
    assert parameters.fields["Below the settings"] == "Upscaled by somebody"


def test_the_last_line_goes_before_one_in_the_prompt() -> None:
    parameters = parse_parameters(f"a red frog\nSteps: 1, Sampler: x, Seed: 3\n{LINE}")
    assert parameters.fields["Seed"] == "77"
    assert parameters.prompt == "a red frog\nSteps: 1, Sampler: x, Seed: 3"


@pytest.mark.parametrize("kind", ["easy fullkSampler", "KSampler"])
def test_a_graph_without_a_prompt_hides_no_text(tmp_path: Path, kind: str) -> None:
    graph = {**COMFYUI, "3": {"class_type": kind, "inputs": {}}}
    path = png_with(tmp_path / "a.png", prompt=graph, parameters=f"a red frog\n{LINE}")
    record = read_record(path)
    assert record.source == "a1111"
    assert (record.settings["prompt"], record.settings["seed"]) == ("a red frog", 77)


def test_a_graph_that_is_read_goes_before_the_text(tmp_path: Path) -> None:
    path = png_with(tmp_path / "a.png", prompt=COMFYUI, parameters=f"a blue frog\n{LINE}")
    assert read_record(path).source == "comfyui"
