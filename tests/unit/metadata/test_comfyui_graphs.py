"""ComfyUI's graphs: the relevant nodes, and the supported kinds of graphs."""

import copy
from pathlib import Path
from typing import Any

from helpers.foreign import COMFYUI, png_with

from sdloop.metadata.picture import read_record
from sdloop.metadata.record import Record
from sdloop.recipe.recipe import Recipe


def _read(tmp_path: Path, graph: dict[str, Any]) -> Record:
    record = read_record(png_with(tmp_path / "a.png", prompt=graph))
    Recipe.from_dict({"prompt": "", **record.settings})
    return record


def _graph(**nodes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """The plain graph with nodes added, or with inputs of its own changed."""
    graph: dict[str, Any] = copy.deepcopy(COMFYUI)
    graph["3"]["inputs"]["seed"] = 4
    for name, (kind, inputs) in nodes.items():
        node = graph.setdefault(name.removeprefix("n"), {"inputs": {}})
        node["class_type"] = kind
        node["inputs"] |= inputs
    return graph


def _lora(name: str, model: Any, clip: Any = None, **strengths: float) -> dict[str, Any]:
    inputs = {"lora_name": f"{name}.safetensors", "model": model, **strengths}
    return inputs if clip is None else {**inputs, "clip": clip}


BOTH = {"strength_model": 0.5, "strength_clip": 0.5}


def test_what_leads_nowhere_does_not_count(tmp_path: Path) -> None:
    graph = _graph(
        n10=("LoraLoader", _lora("ink", ["4", 0], ["4", 1], **BOTH)),
        n11=("CLIPSetLastLayer", {"stop_at_clip_layer": -2, "clip": ["4", 1]}),
        n12=("FreeU_V2", {"model": ["4", 0]}),
        n13=("CheckpointLoaderSimple", {"ckpt_name": "another.safetensors"}),
    )
    record = _read(tmp_path, graph)
    assert record.settings == _read(tmp_path, _graph()).settings
    assert record.left_out == ()
    assert record.model == "v1-5-pruned-emaonly.ckpt"


def test_a_chain_of_loras(tmp_path: Path) -> None:
    graph = _graph(
        n3=("KSampler", {"model": ["11", 0]}),
        n6=("CLIPTextEncode", {"clip": ["11", 1]}),
        n10=("LoraLoader", _lora("ink", ["4", 0], ["4", 1], **BOTH)),
        n11=("LoraLoader", _lora("wash", ["10", 0], ["10", 1], **BOTH)),
    )
    record = _read(tmp_path, graph)
    assert record.settings["prompt"] == "a red frog <lora:ink:0.5> <lora:wash:0.5>"
    assert record.left_out == ()


def test_a_lora_that_is_not_the_same_on_both_models(tmp_path: Path) -> None:
    graph = _graph(
        n3=("KSampler", {"model": ["11", 0]}),
        n6=("CLIPTextEncode", {"clip": ["10", 1]}),
        n10=(
            "LoraLoader",
            _lora("ink", ["4", 0], ["4", 1], strength_model=0.5, strength_clip=0.3),
        ),
        n11=("LoraLoaderModelOnly", _lora("wash", ["10", 0], strength_model=0.8)),
    )
    record = _read(tmp_path, graph)
    assert record.settings["prompt"] == "a red frog <lora:ink:0.3:0.5> <lora:wash:0:0.8>"
    assert record.left_out == ()


def test_a_lora_on_the_text_encoder_alone(tmp_path: Path) -> None:
    graph = _graph(
        n6=("CLIPTextEncode", {"clip": ["10", 1]}),
        n10=("LoraLoader", _lora("ink", ["4", 0], ["4", 1], **BOTH)),
    )
    record = _read(tmp_path, graph)
    assert record.settings["prompt"] == "a red frog <lora:ink:0.5:0>"
    assert record.left_out == ()
    graph["10"]["inputs"]["strength_clip"] = "much"
    assert _read(tmp_path, graph).left_out == (
        "lora: ink.safetensors at 0, much on the text encoder",
    )


def test_the_layer_nearest_to_the_encoder(tmp_path: Path) -> None:
    graph = _graph(
        n6=("CLIPTextEncode", {"clip": ["11", 0]}),
        n10=("CLIPSetLastLayer", {"stop_at_clip_layer": -3, "clip": ["4", 1]}),
        n11=("CLIPSetLastLayer", {"stop_at_clip_layer": -2, "clip": ["10", 0]}),
    )
    assert _read(tmp_path, graph).settings["clip_skip"] == 2


def _advanced(**inputs: Any) -> dict[str, Any]:
    graph = _graph(n3=("KSamplerAdvanced", {"noise_seed": 9, "add_noise": "enable", **inputs}))
    del graph["3"]["inputs"]["seed"], graph["3"]["inputs"]["denoise"]
    return graph


def test_the_advanced_sampler(tmp_path: Path) -> None:
    record = _read(tmp_path, _advanced(start_at_step=0, end_at_step=10000))
    assert (record.settings["seed"], record.settings["steps"]) == (9, 4)
    assert record.settings["prompt"] == "a red frog"
    assert record.left_out == ()
    record = _read(tmp_path, _advanced(start_at_step=1, end_at_step=3))
    assert record.left_out == ("start_at_step: 1", "end_at_step: 3")


def test_the_encoder_of_sdxl(tmp_path: Path) -> None:
    sizes = {"width": 64, "height": 32, "crop_w": 4, "crop_h": 8}
    sizes |= {"target_width": 96, "target_height": 48}
    texts = {"text_l": "a red frog", "text_g": "ink", **sizes}
    graph = _graph(
        n6=("CLIPTextEncodeSDXL", texts),
        n7=("CLIPTextEncodeSDXL", {"text_l": "blurry", "text_g": "blurry"}),
    )
    record = _read(tmp_path, graph)
    assert (record.settings["prompt"], record.settings["prompt_2"]) == ("a red frog", "ink")
    assert record.settings["negative_prompt"] == "blurry"
    assert "negative_prompt_2" not in record.settings
    assert record.settings["original_size"] == (64, 32)
    assert record.settings["crop_top_left"] == (8, 4)
    assert record.settings["target_size"] == (96, 48)
    assert record.left_out == ()


def test_a_picture_to_start_from(tmp_path: Path) -> None:
    graph = _graph(
        n3=("KSampler", {"latent_image": ["10", 0], "denoise": 0.6}),
        n10=("VAEEncode", {"pixels": ["11", 0], "vae": ["4", 2]}),
        n11=("LoadImage", {"image": "sketch.png"}),
    )
    record = _read(tmp_path, graph)
    assert record.settings["image"] == "sketch.png"
    assert (record.settings["strength"], record.settings["exact_steps"]) == (0.6, True)
    assert record.left_out == ()


def test_what_comes_after_the_sampler_is_said(tmp_path: Path) -> None:
    graph = _graph(
        n9=("SaveImage", {"images": ["10", 0]}),
        n10=("ImageUpscaleWithModel", {"image": ["8", 0]}),
    )
    assert _read(tmp_path, graph).left_out == ("node ImageUpscaleWithModel",)
