"""Metadata of other programs: the settings taken into a Recipe, and the notes about the rest."""

import copy
from pathlib import Path
from typing import Any

import pytest
from helpers.foreign import (
    COMFYUI,
    INVOKEAI,
    MFLUX,
    SD_METADATA,
    SDCPP,
    every_kind,
    mflux_png,
    png_with,
)

from sdloop.errors import FileError
from sdloop.metadata.picture import read_record
from sdloop.metadata.record import Record
from sdloop.recipe.recipe import Recipe

COMMON = {"seed": 4, "steps": 4, "width": 32, "height": 32}


def _read(path: Path) -> Record:
    record = read_record(path)
    Recipe.from_dict(record.settings)  # or it would raise
    assert record.recipe is None
    assert COMMON.items() <= record.settings.items()
    return record


def test_a1111_names_its_model(tmp_path: Path) -> None:
    record = _read(every_kind(tmp_path)["a1111"])
    assert (record.source, record.model) == ("a1111", "v1-5-pruned-emaonly")
    assert record.settings["rng"] == "philox"
    assert not any(line.startswith("RNG") for line in record.left_out)


def test_sdcpp_folds_the_schedule_into_the_sampler(tmp_path: Path) -> None:
    record = _read(every_kind(tmp_path)["sd.cpp"])
    assert (record.source, record.model) == ("sd.cpp", "v1-5.safetensors")
    assert record.settings == {
        **COMMON,
        "prompt": "a red frog<lora:ink:0.8>",
        "negative_prompt": "blurry",
        "guidance_scale": 7.0,
        "scheduler": "dpmpp-2m",
        "sigmas": "karras",
        "clip_skip": 2,
        "rng": "philox",
    }
    assert record.left_out == ("VAE: taesd.safetensors",)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("euler_a", {"scheduler": "euler-a"}),
        ("euler discrete", {"scheduler": "euler", "sigmas": "uniform"}),
        ("ddim_trailing", {"scheduler": "ddim", "timestep_spacing": "trailing"}),
        ("dpm++2mv2", {}),
        ("euler gits", {}),
    ],
)
def test_sdcpp_methods(tmp_path: Path, method: str, expected: dict[str, str]) -> None:
    text = SDCPP.replace("dpm++2m karras", method).replace("RNG: cuda", "RNG: cpu")
    record = _read(png_with(tmp_path / "a.png", parameters=text))
    names = ("scheduler", "sigmas", "timestep_spacing")
    assert {k: v for k, v in record.settings.items() if k in names} == expected
    assert (f"Sampler: {method}" in record.left_out) == (not expected)
    assert not any(line.startswith("RNG") for line in record.left_out)
    assert "rng" not in record.settings


@pytest.mark.parametrize("code", [b"ASCII\0\0\0", b""])
def test_mflux_in_the_exif_of_a_png(tmp_path: Path, code: bytes) -> None:
    record = _read(mflux_png(tmp_path / "a.png", MFLUX, code=code))
    assert (record.source, record.model) == ("mflux", "black-forest-labs/FLUX.1-dev")
    assert record.settings == {**COMMON, "prompt": MFLUX["prompt"], "emphasis": "none"}
    assert record.left_out == (
        "guidance: 3.5 (an input of the model, not a guidance_scale)",
        "lora_paths: ['ink.safetensors']",
        "lora_scales: [0.8]",
        "noise: MLX (the same seed gives another picture in sdloop)",
    )


def test_mflux_with_a_negative_prompt_has_our_guidance(tmp_path: Path) -> None:
    record = _read(mflux_png(tmp_path / "a.png", {**MFLUX, "negative_prompt": "blurry"}))
    assert record.settings["guidance_scale"] == 3.5
    assert record.settings["negative_prompt"] == "blurry"


def test_invokeai(tmp_path: Path) -> None:
    record = _read(every_kind(tmp_path)["invokeai"])
    assert (record.source, record.model) == ("invokeai", "Dreamshaper 8")
    assert record.settings == {
        **COMMON,
        "prompt": "a red frog <lora:ink:0.8>",
        "emphasis": "none",
        "negative_prompt": "blurry",
        "guidance_scale": 7.5,
        "scheduler": "dpmpp-2m",
        "sigmas": "karras",
        "clip_skip": 2,
    }
    assert record.left_out == ()


def test_what_invokeai_does_and_we_do_not(tmp_path: Path) -> None:
    values = {
        **INVOKEAI,
        "positive_prompt": "a (red)1.2 frog",
        "generation_mode": "sdxl_img2img",
        "positive_style_prompt": "ink",
        "init_image": "0123.png",
        "strength": 0.6,
        "rand_device": "cuda",
        "scheduler": "restart",
        "seamless_x": True,
        "model": "sd-1/main/dreamshaper",
    }
    record = _read(png_with(tmp_path / "a.png", invokeai_metadata=values))
    assert record.settings["prompt_2"] == "ink"
    assert record.model == "sd-1/main/dreamshaper"
    assert record.left_out == (
        "positive_prompt: InvokeAI applies the weights of words differently from sdloop",
        "scheduler: restart",
        "generation_mode: sdxl_img2img",
        "seamless_x: True",
        "init_image: 0123.png",
        "strength: 0.6",
        "rand_device: cuda (the same seed gives another picture in sdloop)",
    )


def test_older_invokeai(tmp_path: Path) -> None:
    record = _read(every_kind(tmp_path)["sd-metadata"])
    assert (record.source, record.model) == ("invokeai", "stable-diffusion-1.5")
    assert record.settings == {
        **COMMON,
        "prompt": "a red frog",
        "emphasis": "none",
        "negative_prompt": "blurry",
        "guidance_scale": 7.5,
        "scheduler": "euler-a",
    }
    assert record.left_out == (
        "perlin: 0.1",
        "noise: from the device of the model (the same seed gives another picture in sdloop)",
    )
    text = {**SD_METADATA["image"], "prompt": "a cat"}
    record = _read(png_with(tmp_path / "b.png", sd_metadata={**SD_METADATA, "image": text}))
    assert record.settings["prompt"] == "a cat"


def test_comfyui(tmp_path: Path) -> None:
    record = _read(every_kind(tmp_path)["comfyui"])
    assert (record.source, record.model) == ("comfyui", "v1-5-pruned-emaonly.ckpt")
    assert record.settings == {
        **COMMON,
        "prompt": "a red frog",
        "negative_prompt": "blurry",
        "guidance_scale": 8.0,
        "scheduler": "euler-a",
    }
    assert record.left_out == (
        "seed: 4294967300 (torch uses the lower 32 bits, 4: the same noise)",
    )


def test_torch_keeps_32_bits_of_a_seed() -> None:
    import torch

    draw = [torch.randn(8, generator=torch.Generator().manual_seed(s)) for s in (4, 4294967300)]
    assert torch.equal(*draw)


def _graph(**changes: dict[str, Any]) -> dict[str, Any]:
    graph = copy.deepcopy(COMFYUI)
    for name, inputs in changes.items():
        graph[name.removeprefix("n")]["inputs"] |= inputs
    return graph


def test_comfyui_schedules_layers_loras_and_linked_texts(tmp_path: Path) -> None:
    graph = _graph(
        n3={"seed": 4, "sampler_name": "dpmpp_2m", "scheduler": "karras", "model": ["13", 0]},
        n6={"text": ["10", 0], "clip": ["12", 0]},
    )
    graph |= {
        "10": {"class_type": "PrimitiveNode", "inputs": {"value": "a blue fish"}},
        "11": {
            "class_type": "LoraLoader",
            "inputs": {"lora_name": "ink.safetensors", "strength_model": 0.5, "model": ["4", 0]},
        },
        "12": {
            "class_type": "CLIPSetLastLayer",
            "inputs": {"stop_at_clip_layer": -2, "clip": ["11", 1]},
        },
        "13": {"class_type": "FreeU_V2", "inputs": {"b1": 1.3, "model": ["11", 0]}},
    }
    record = _read(png_with(tmp_path / "a.png", prompt=graph))
    assert record.settings["prompt"] == "a blue fish <lora:ink:0.5>"
    assert record.settings["clip_skip"] == 2
    assert (record.settings["scheduler"], record.settings["sigmas"]) == ("dpmpp-2m", "karras")
    assert record.left_out == ("node FreeU_V2",)


def test_comfyui_normal_is_linspace(tmp_path: Path) -> None:
    graph = _graph(n3={"seed": 4, "sampler_name": "euler"}, n6={"text": "a (red:1.2) frog"})
    record = _read(png_with(tmp_path / "a.png", prompt=graph))
    assert record.settings["timestep_spacing"] == "linspace"
    assert record.left_out == (
        "positive: ComfyUI applies the weights of words differently from sdloop",
    )


def test_comfyui_that_is_not_simple_says_what_it_is_made_of(tmp_path: Path) -> None:
    graph = {**_graph(), "20": COMFYUI["3"]}
    record = read_record(png_with(tmp_path / "a.png", prompt=graph))
    assert record.settings == {}
    assert record.left_out == (
        "the graph must have a single KSampler to be read, got the nodes "
        "CLIPTextEncode, CheckpointLoaderSimple, "
        "EmptyLatentImage, KSampler, SaveImage, VAEDecode",
    )
    graph = _graph(n3={"seed": 4, "latent_image": ["8", 0], "denoise": 0.6, "positive": ["9", 0]})
    record = read_record(png_with(tmp_path / "b.png", prompt=graph))
    assert record.left_out == (
        "positive: not one CLIPTextEncode",
        "latent_image: VAEDecode",
        "denoise: 0.6",
    )


def test_texts_of_these_keywords_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    for text in ("a plain prompt", "{broken", "[1]", "{}", '{"a": 1}', '{"a": {"b": 1}}'):
        with pytest.raises(FileError, match="contains no settings"):
            read_record(png_with(tmp_path / "a.png", prompt=text, sd_metadata=text))
    long = png_with(tmp_path / "a.png", prompt="x" * 3_000_000, parameters="a cat")
    assert read_record(long).settings == {"prompt": "a cat"}
