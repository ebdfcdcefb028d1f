"""LoRAs with random weights, in the file formats of the usual trainers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sdloop.models.components.load import Components

RANK = 4
ALPHA = 3.0

Pairs = Mapping[str, Mapping[str, tuple[Tensor, Tensor]]]

_UNET = (".to_q", ".to_k", ".to_v", ".to_out.0", ".proj_in", ".ff.net.2", "resnets.0.conv1")
_TEXT = (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1")


def lora_pairs(components: Components, *, seed: int = 0, parts: tuple[str, ...] = ()) -> Pairs:
    """Part → layer → the two matrices that are learned for it: into the rank, and out of it."""
    generator = torch.Generator().manual_seed(seed)
    pairs: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    for part in parts or ("unet", "text_encoder", "text_encoder_2"):
        module: Any = getattr(components, part)
        if module is None:
            continue
        layers = _UNET if part == "unet" else _TEXT
        pairs[part] = {
            name: _pair(layer.weight, generator)
            for name, layer in module.named_modules()
            if name.endswith(layers)
        }
    return pairs


def _pair(weight: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Matrices for a linear layer, or for a convolution, of a strength that shows."""
    wide, *kernel = weight.shape
    down = torch.randn(RANK, *kernel, generator=generator) * 0.3
    up = torch.randn(wide, RANK, *[1] * len(kernel[1:]), generator=generator) * 0.3
    return down, up


def save_peft(pairs: Pairs, path: Path, *, note: bool = False) -> Path:
    """As diffusers' ``save_lora_weights`` writes it; with a ``note`` of peft's alpha beside it."""
    tensors = {
        f"{part}.{_long(part, layer)}.{which}.weight": tensor
        for part, layers in pairs.items()
        for layer, pair in layers.items()
        for which, tensor in zip(("lora_A", "lora_B"), pair, strict=True)
    }
    metadata = None
    if note:
        config = {
            f"{part}.{key}": value
            for part, layers in pairs.items()
            for key, value in {
                "r": RANK,
                "lora_alpha": ALPHA,
                "target_modules": list(layers),
            }.items()
        }
        metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(config)}
    save_file(tensors, path, metadata)
    return path


def save_old_diffusers(pairs: Pairs, path: Path) -> Path:
    """As diffusers wrote it before peft: processors in the UNet, ``lora_linear_layer`` in text."""
    tensors = {}
    for part, layers in pairs.items():
        for layer, pair in layers.items():
            for which, tensor in zip(("down", "up"), pair, strict=True):
                if part == "unet" and ".attn" in layer:
                    home, _, name = layer.replace(".to_out.0", ".to_out").rpartition(".")
                    key = f"{home}.processor.{name}_lora.{which}.weight"
                elif part == "unet":
                    key = f"{layer}.lora.{which}.weight"
                else:
                    key = f"{_long(part, layer)}.lora_linear_layer.{which}.weight"
                tensors[f"{part}.{key}"] = tensor
    save_file(tensors, path)
    return path


def save_kohya(pairs: Pairs, path: Path, *, names: Mapping[str, str] | None = None) -> Path:
    """As kohya's sd-scripts write it; ``names`` of layers stand in for diffusers' in SDXL."""
    tensors = kohya_tensors(pairs, names or {})
    torch.save(tensors, path) if path.suffix == ".pt" else save_file(tensors, path)
    return path


def kohya_tensors(pairs: Pairs, names: Mapping[str, str]) -> dict[str, Tensor]:
    two = "text_encoder_2" in pairs
    tensors = {}
    for part, layers in pairs.items():
        for layer, (down, up) in layers.items():
            name = kohya_layer(part, layer, two=two, names=names)
            tensors[f"{name}.lora_down.weight"] = down
            tensors[f"{name}.lora_up.weight"] = up
            tensors[f"{name}.alpha"] = torch.tensor(ALPHA)
    return tensors


def kohya_layer(part: str, layer: str, *, two: bool, names: Mapping[str, str]) -> str:
    """How kohya calls a layer of a model with one text encoder or ``two``."""
    starts = {"unet": "lora_unet", "text_encoder": "lora_te1" if two else "lora_te"}
    named = _long(part, layer)
    for ours, theirs in names.items():
        named = named.replace(ours, theirs)
    return f"{starts.get(part, 'lora_te2')}_{named.replace('.', '_')}"


def _long(part: str, layer: str) -> str:
    """A layer's name as the files have it: with the level that transformers took out."""
    return layer if part == "unet" or layer.startswith("text_model.") else f"text_model.{layer}"
