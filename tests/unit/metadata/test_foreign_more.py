"""Easy Diffusion's texts and InvokeAI's graphs; and the settings that sd-parsers reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.foreign import (
    A1111,
    COMFYUI,
    EASY_DIFFUSION,
    FOOOCUS,
    INVOKEAI,
    INVOKEAI_GRAPH,
    NOVELAI,
    SD_METADATA,
    every_kind,
    mflux_exif,
    png_with,
)
from PIL import Image

from sdloop.metadata.foreign.easydiffusion import LABELS
from sdloop.metadata.picture import read_record
from sdloop.metadata.record import Record
from sdloop.recipe.recipe import Recipe

COMMON = {"negative_prompt": "blurry", "seed": 4, "steps": 4, "width": 32, "height": 32}
ALL = COMMON | {"prompt": "a red frog <lora:ink:0.8>", "guidance_scale": 7.5, "clip_skip": 2}
LABEL_OF = {name: label for label, name in LABELS.items()}


def _read(path: Path) -> Record:
    record = read_record(path)
    Recipe.from_dict({"prompt": "", "seed": 0} | dict(record.settings))
    return record


def _png(folder: Path, values: dict[str, Any], *, labels: bool = False) -> Path:
    """A PNG as Easy Diffusion embeds it."""
    texts = {LABEL_OF[name] if labels else name: str(value) for name, value in values.items()}
    return png_with(folder / "a.png", **texts)


@pytest.mark.parametrize("labels", [False, True])
def test_easy_diffusion(tmp_path: Path, labels: bool) -> None:
    record = _read(_png(tmp_path, EASY_DIFFUSION, labels=labels))
    assert (record.source, record.model) == ("easydiffusion", "sd-v1-5")
    assert record.settings == ALL | {"scheduler": "euler-a"}
    assert record.left_out == (
        "noise: Easy Diffusion (the same seed gives another picture in sdloop)",
    )


def test_easy_diffusion_in_a_jpeg(tmp_path: Path) -> None:
    exif = mflux_exif(EASY_DIFFUSION)
    Image.new("RGB", (32, 32)).save(tmp_path / "a.jpg", exif=exif)
    assert _read(tmp_path / "a.jpg").settings == ALL | {"scheduler": "euler-a"}


def test_what_easy_diffusion_does_and_we_do_not(tmp_path: Path) -> None:
    changes = {
        "use_lora_model": "ink",
        "lora_alpha": "0.5",
        "prompt": "[1, 2]",
        "tiling": "x",
        "prompt_strength": 0.8,
        "use_embeddings_model": ["e.pt"],
        "scheduler_name": "karras",
        "clip_skip": False,
        "sampler_name": "unipc_snr",
    }
    record = _read(_png(tmp_path, EASY_DIFFUSION | changes))
    assert record.settings == COMMON | {"prompt": "[1, 2] <lora:ink:0.5>", "guidance_scale": 7.5}
    assert record.left_out[1:-1] == (
        "sampler: unipc_snr",
        "scheduler: karras",
        "use_embeddings_model: ['e.pt']",
        "tiling: x",
        "prompt_strength: 0.8",
    )


def test_texts_of_others_are_not_easy_diffusions(tmp_path: Path) -> None:
    path = png_with(tmp_path / "a.png", prompt="a frog", seed="4", Seed="5")
    with pytest.raises(Exception, match="contains no settings"):
        read_record(path)


@pytest.mark.parametrize("beside", [{}, {"invokeai_metadata": {"app_version": "4.2.9"}}])
def test_a_graph_of_invokeai(tmp_path: Path, beside: dict[str, Any]) -> None:
    record = _read(png_with(tmp_path / "a.png", invokeai_graph=INVOKEAI_GRAPH, **beside))
    assert (record.source, record.model) == ("invokeai", "Dreamshaper 8")
    assert record.settings == ALL | {
        "emphasis": "none", "scheduler": "dpmpp-2m", "sigmas": "karras",
    }  # fmt: skip
    assert record.left_out == ()


def test_the_settings_come_before_the_graph(tmp_path: Path) -> None:
    metadata = {**INVOKEAI, "positive_prompt": "a cat"}
    path = png_with(tmp_path / "a.png", invokeai_graph=INVOKEAI_GRAPH, invokeai_metadata=metadata)
    assert _read(path).settings["prompt"] == "a cat <lora:ink:0.8>"


def test_a_graph_of_invokeai_3_0_that_starts_from_a_picture(tmp_path: Path) -> None:
    graph = json.loads(json.dumps(INVOKEAI_GRAPH))
    nodes, edges = graph["nodes"], graph["edges"]
    nodes["denoise"] = {"type": "l2l", "steps": 4, "cfg_scale": 7.5, "scheduler": "euler"}
    nodes["lora"]["lora"] = {"model_name": "ink", "base_model": "sd-1"}
    nodes["model"]["model"] = {"model_name": "Dreamshaper 8", "base_model": "sd-1"}
    nodes["start"] = {"type": "i2l", "image": {"image_name": "0123.png"}}
    nodes["noise"]["use_cpu"] = False
    edges.append(
        {
            "source": {"node_id": "start", "field": "latents"},
            "destination": {"node_id": "denoise", "field": "latents"},
        }
    )
    record = _read(png_with(tmp_path / "a.png", invokeai_graph=graph))
    assert record.model == "Dreamshaper 8"
    assert record.settings["prompt"] == ALL["prompt"]
    assert record.left_out == (
        "generation_mode: img2img",
        "nodes: i2l",
        "rand_device: cuda (the same seed gives another picture in sdloop)",
    )


def test_a_graph_that_denoises_twice_is_not_read(tmp_path: Path) -> None:
    nodes = INVOKEAI_GRAPH["nodes"]
    graph = {**INVOKEAI_GRAPH, "nodes": {**nodes, "again": nodes["denoise"]}}
    with pytest.raises(Exception, match="contains no settings"):
        read_record(png_with(tmp_path / "a.png", invokeai_graph=graph))


DREAM = '"a red frog [blurry]" -s 4 -S 4 -W 32 -H 32 -C 7.5 -A k_euler_a'


@pytest.mark.parametrize(
    "text",
    [DREAM, '"a red frog [blurry]" -s4 -b1 -W32 -H32 -C7.5 -mk_euler_a -S4', f"{DREAM} -n 6"],
)
def test_a_command_of_the_first_invokeai(tmp_path: Path, text: str) -> None:
    record = _read(png_with(tmp_path / "a.png", Dream=text))
    assert record.source == "invokeai"
    assert record.settings == COMMON | {
        "prompt": "a red frog", "guidance_scale": 7.5, "scheduler": "euler-a", "emphasis": "none",
    }  # fmt: skip


def test_what_the_first_invokeai_does_and_we_do_not(tmp_path: Path) -> None:
    path = png_with(tmp_path / "a.png", Dream=f"{DREAM} -I sketch.png -f 0.6")
    assert _read(path).left_out[:2] == ("-I: sketch.png", "-f: 0.6")
    for other in ("a dream", '"a dream" -x', '"a" -s x', "-s 4 -S 4"):
        with pytest.raises(Exception, match="contains no settings"):
            read_record(png_with(tmp_path / "b.png", Dream=other))


LINKS = [
    [1, "6", 0, "3", 1, "CONDITIONING"],
    [2, "7", 0, "3", 2, "CONDITIONING"],
    [3, "4", 0, "3", 0, "MODEL"],
]
OTHERS: dict[str, dict[str, Any]] = {
    "a1111": {"parameters": A1111},
    "fooocus": {"parameters": FOOOCUS, "fooocus_scheme": "fooocus"},
    "invokeai": {"invokeai_metadata": INVOKEAI},
    "sd-metadata": {"sd_metadata": SD_METADATA},
    "dream": {"Dream": DREAM},
    "comfyui": {"prompt": COMFYUI, "workflow": {"links": LINKS}},
    "novelai": {"Comment": NOVELAI, "Source": "Stable Diffusion", "Description": "a red frog"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_sd_parsers_reads_the_same(tmp_path: Path, name: str) -> None:
    """A second opinion: the prompts, the seed, the steps and the scale of one sampler."""
    sd_parsers = pytest.importorskip("sd_parsers", reason="sd-parsers is not installed")
    path = png_with(tmp_path / "a.png", **OTHERS[name])
    theirs, ours = sd_parsers.ParserManager().parse(str(path)), _read(path).settings
    assert theirs is not None, "sd-parsers does not know this file"
    (sampler,) = theirs.samplers
    prompt = str(ours["prompt"]).partition(" <lora")[0]
    assert [one.value for one in sampler.prompts] == [prompt]
    assert [one.value for one in sampler.negative_prompts] == [ours["negative_prompt"]]
    found = {**theirs.metadata, **sampler.parameters}
    assert int(found["seed"]) & 0xFFFFFFFF == ours["seed"]
    assert int(found["steps"]) == ours["steps"]
    scale = next(float(found[key]) for key in SCALES if key in found)
    assert scale == ours["guidance_scale"]


SCALES = ("cfg_scale", "cfg", "guidance_scale", "scale")


def test_every_program_is_in_the_second_opinion_or_unknown_to_it(tmp_path: Path) -> None:
    assert {*every_kind(tmp_path)} - OTHERS.keys() == {"sd.cpp", "mflux"}
