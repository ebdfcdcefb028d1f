"""Pictures with the exact metadata of other programs. Sources: ``sdloop.metadata.foreign``."""

import json
import struct
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

A1111 = (
    "a red frog\nNegative prompt: blurry\nSteps: 4, Sampler: Euler a, Schedule type: Automatic, "
    "CFG scale: 7, Seed: 4, Size: 32x32, Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, "
    "Version: v1.10.1"
)
# get_image_params: numbers are std::to_string's, and the JSON at the end is not quoted.
SDCPP = (
    "a red frog<lora:ink:0.8>\nNegative prompt: blurry\nSteps: 4, CFG scale: 7.000000, "
    "Guidance: 3.500000, Eta: 0.000000, Seed: 4, Size: 32x32, Model: v1-5.safetensors, RNG: cuda, "
    "Sampler: dpm++2m karras, VAE: taesd.safetensors, Clip skip: 2, Version: stable-diffusion.cpp, "
    'SDCPP: {"clip_skip":2,"height":32,"prompt":{"negative":"blurry","positive":"a red frog"},'
    '"sampling":{"steps":4},"schema":"sdcpp.image.params/v1","seed":4,"width":32}'
)
MFLUX = {
    "mflux_version": "0.10.0",
    "model": "black-forest-labs/FLUX.1-dev",
    "base_model": "None",
    "seed": 4,
    "steps": 4,
    "guidance": 3.5,
    "height": 32,
    "width": 32,
    "precision": "mlx.core.bfloat16",
    "quantize": 8,
    "generation_time_seconds": 61.2,
    "created_at": "2025-09-01T12:00:00",
    "lora_paths": ["ink.safetensors"],
    "lora_scales": [0.8],
    "image_path": None,
    "image_strength": None,
    "prompt": "a red frog [in a park], 東京",
    "negative_prompt": None,
}
INVOKEAI = {
    "generation_mode": "txt2img",
    "positive_prompt": "a red frog",
    "negative_prompt": "blurry",
    "width": 32,
    "height": 32,
    "seed": 4,
    "rand_device": "cpu",
    "cfg_scale": 7.5,
    "cfg_rescale_multiplier": 0,
    "steps": 4,
    "scheduler": "dpmpp_2m_k",
    "clip_skip": 1,
    "model": {
        "key": "6f1d9e0a",
        "hash": "blake3:0123",
        "name": "Dreamshaper 8",
        "base": "sd-1",
        "type": "main",
    },
    "loras": [{"model": {"name": "ink", "base": "sd-1", "type": "lora"}, "weight": 0.8}],
    "seamless_x": False,
    "app_version": "4.2.9",
}
SD_METADATA = {
    "model": "stable diffusion",
    "model_weights": "stable-diffusion-1.5",
    "model_hash": "cc6cb27103417325ff94f52b7a5d2dde45a7515b25c255d8e396c90014281516",
    "app_id": "invoke-ai/InvokeAI",
    "app_version": "2.3.5",
    "image": {
        "prompt": [{"prompt": "a red frog [blurry]", "weight": 1.0}],
        "steps": 4,
        "cfg_scale": 7.5,
        "threshold": 0,
        "perlin": 0.1,
        "height": 32,
        "width": 32,
        "seed": 4,
        "type": "txt2img",
        "sampler": "k_euler_a",
        "variations": [],
        "postprocessing": None,
    },
}
COMFYUI: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 4294967300,
            "steps": 4,
            "cfg": 8.0,
            "sampler_name": "euler_ancestral",
            "scheduler": "normal",
            "denoise": 1.0,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
        "_meta": {"title": "KSampler"},
    },
    "4": {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "v1-5-pruned-emaonly.ckpt"},
    },
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 32, "height": 32, "batch_size": 1},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red frog", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "frog", "images": ["8", 0]}},
}

_PLAIN = {"steps": 4, "seed": 4, "width": 32, "height": 32}
SWARM: dict[str, Any] = {
    "sui_image_params": {
        "prompt": "a red frog",
        "negativeprompt": "blurry",
        "model": "photo_v1",
        "images": 1,
        "cfgscale": 2.0,
        "aspectratio": "1:1",
        "sampler": "euler",
        "scheduler": "karras",
        "loras": ["ink"],
        "loraweights": ["0.8"],
        "clipstopatlayer": -2,
        "swarm_version": "0.9.4.0",
        **_PLAIN,
    },
    "sui_extra_data": {"date": "2024-12-08"},
}
FOOOCUS: dict[str, Any] = {
    "base_model": "juggernautXL_v8",
    "base_model_hash": "aeb7e9e689",
    "clip_skip": 2,
    "full_prompt": ["a red frog"],
    "guidance_scale": 2.0,
    "loras": [["ink.safetensors", 0.8, "4852686128"]],
    "metadata_scheme": "fooocus",
    "negative_prompt": "blurry",
    "prompt": "a red frog",
    "resolution": "(32, 32)",
    "sampler": "euler",
    "scheduler": "karras",
    "seed": "4",
    "sharpness": 2.0,
    "steps": 4,
    "styles": "[]",
    "version": "Fooocus v2.5.0",
}
DRAW_THINGS: dict[str, Any] = {
    "c": "a red frog",
    "uc": "blurry",
    "model": "photo_v1.ckpt",
    "lora": [{"model": "ink", "weight": 0.8}],
    "sampler": "Euler a",
    "scale": 2,
    "seed": 4,
    "seed_mode": "Scale Alike",
    "size": "32x32",
    "steps": 4,
    "strength": 1,
    "v2": {"anything": [1, 2]},
}
NOVELAI: dict[str, Any] = {
    "prompt": "a red frog",
    "uc": "blurry",
    "sampler": "k_euler_ancestral",
    "scale": 2.0,
    "sm": False,
    **_PLAIN,
}
# get_printable_request; in a PNG each is a text of its own, Python's of the value.
EASY_DIFFUSION: dict[str, Any] = {
    "prompt": "a red frog",
    "negative_prompt": "blurry",
    "seed": 4,
    "use_stable_diffusion_model": "sd-v1-5",
    "clip_skip": True,
    "use_vae_model": None,
    "sampler_name": "euler_a",
    "width": 32,
    "height": 32,
    "num_inference_steps": 4,
    "guidance_scale": 7.5,
    "use_lora_model": ["ink"],
    "lora_alpha": [0.8],
    "use_embeddings_model": None,
    "tiling": "none",
    "use_face_correction": None,
    "use_upscale": None,
}


def _edge(start: str, end: str) -> dict[str, Any]:
    ends = {"source": start.split("."), "destination": end.split(".")}
    return {name: {"node_id": node, "field": field} for name, (node, field) in ends.items()}


# A workflow of InvokeAI without a metadata node.
INVOKEAI_GRAPH: dict[str, Any] = {
    "id": "0f1e",
    "nodes": {
        "model": {"type": "main_model_loader", "model": {"key": "6f", "name": "Dreamshaper 8"}},
        "lora": {"type": "lora_loader", "lora": {"key": "7a", "name": "ink"}, "weight": 0.8},
        "skip": {"type": "clip_skip", "skipped_layers": 1},
        "text": {"type": "string", "value": "a red frog"},
        "yes": {"type": "compel", "prompt": ""},
        "no": {"type": "compel", "prompt": "blurry"},
        "all": {"type": "collect", "item": None, "collection": []},
        "seed": {"type": "integer", "value": 4},
        "noise": {"type": "noise", "seed": 0, "width": 32, "height": 32, "use_cpu": True},
        "denoise": {
            "type": "denoise_latents",
            "steps": 4,
            "cfg_scale": 7.5,
            "denoising_start": 0,
            "denoising_end": 1,
            "scheduler": "dpmpp_2m_k",
            "cfg_rescale_multiplier": 0,
        },
        "image": {"type": "l2i", "is_intermediate": False, "use_cache": True},
    },
    "edges": [
        _edge("model.unet", "lora.unet"),
        _edge("model.clip", "lora.clip"),
        _edge("lora.clip", "skip.clip"),
        _edge("skip.clip", "yes.clip"),
        _edge("skip.clip", "no.clip"),
        _edge("text.value", "yes.prompt"),
        _edge("yes.conditioning", "all.item"),
        _edge("seed.value", "noise.seed"),
        _edge("all.collection", "denoise.positive_conditioning"),
        _edge("no.conditioning", "denoise.negative_conditioning"),
        _edge("noise.noise", "denoise.noise"),
        _edge("lora.unet", "denoise.unet"),
        _edge("denoise.latents", "image.latents"),
        _edge("model.vae", "image.vae"),
    ],
}


def png_with(path: Path, **texts: str | dict[str, Any]) -> Path:
    """A PNG of 32x32 with texts under these keywords, JSON where they are objects."""
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        whole = text if isinstance(text, str) else json.dumps(text)
        info.add_text(keyword.replace("sd_metadata", "sd-metadata"), whole)
    Image.new("RGB", (32, 32)).save(path, pnginfo=info)
    return path


def mflux_exif(values: dict[str, Any], *, code: bytes = b"ASCII\0\0\0") -> bytes:
    """As piexif dumps it: big-endian, a first folder that leads to EXIF's, one tag in that."""
    comment = code + json.dumps(values).encode()
    tiff = b"MM\0*" + struct.pack(">I", 8)
    tiff += struct.pack(">HHHIII", 1, 0x8769, 4, 1, 26, 0)
    tiff += struct.pack(">HHHIII", 1, 0x9286, 7, len(comment), 44, 0)
    return b"Exif\0\0" + tiff + comment


def mflux_png(path: Path, values: dict[str, Any], *, code: bytes = b"ASCII\0\0\0") -> Path:
    Image.new("RGB", (32, 32)).save(path, exif=mflux_exif(values, code=code))
    return path


def every_kind(folder: Path) -> dict[str, Path]:
    """One file of each program."""
    return {
        "a1111": png_with(folder / "a1111.png", parameters=A1111),
        "sd.cpp": png_with(folder / "sdcpp.png", parameters=SDCPP),
        "mflux": mflux_png(folder / "mflux.png", MFLUX),
        "invokeai": png_with(folder / "invokeai.png", invokeai_metadata=INVOKEAI),
        "sd-metadata": png_with(folder / "sd-metadata.png", Dream="…", sd_metadata=SD_METADATA),
        "comfyui": png_with(folder / "comfyui.png", prompt=COMFYUI, workflow={"nodes": []}),
    }
