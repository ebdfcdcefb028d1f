"""What a LoRA's file holds for each layer of a model: two matrices, and the alpha of that layer.

diffusers 0.42 knows the names of all the layouts, so it translates them here. The alphas are not
left to it. Its ``get_peft_kwargs`` makes one ``alpha_pattern`` of a file whose layers differ, and:

- for a UNet, the keys of attention layers keep what ``_get_alpha_name`` made of them, as in
  ``attn1.processor.to_q_lora.down.weight``, which names no module, so peft uses the alpha that
  most layers have; the same is true of text encoders, whose ``to_q_lora`` is ``q_proj`` in the
  model, and whose ``text_model.`` is gone from the modules;
- a layer without an alpha gets the alpha that most others have, where the trainers mean its rank.

So files with an alpha for each layer, as kohya's ``resize_lora.py`` writes them, get wrong
scales without an error. ``W + up @ down * alpha / rank`` of each layer is right.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.checkpoint.headers import is_pickle
from sdloop.models.components.weights import Module, check_finite, read_tensors, reason_of

_UP = re.compile(r"(lora_B|up)\.weight$")
# The layer of a LoRA's tensor, in the layouts of peft, of diffusers and of old diffusers.
_LAYER = re.compile(
    r"(?P<layer>.+?)(?:\.lora_[AB]|\.lora(?:_linear_layer)?\.(?:up|down)"
    r"|(?P<old>_lora)\.(?:up|down))\.weight"
)
# What diffusers stumbles over in names that it does not know, and in alphas that are no number.
_STUMBLES = (LookupError, AttributeError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """The two matrices for one layer, into the rank and out of it, and its alpha."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]


def layers_of(path: Path, source: str, modules: Mapping[str, Module]) -> dict[str, dict[str, Pair]]:
    """Part → layer → what the LoRA adds to it, each tensor having its place in ``modules``.

    Raises ``ModelError`` for a tensor that has no place, does not fit, or is not finite.
    """
    tensors, alphas, note = _read(path, modules["unet"].config)
    weights = _weights(tensors, modules, source)
    for name, tensor in tensors.items():
        _check_shape(name, tensor, weights[name], source)
    check_finite(source, tensors)
    matrices: dict[tuple[str, str], dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        halves = matrices.setdefault(_place(name, modules), {})
        halves["up" if _UP.search(name) else "down"] = tensor
    own = {_place(name, modules): alpha for name, alpha in alphas.items()}
    found: dict[str, dict[str, Pair]] = {part: {} for part in modules}
    for (part, layer), halves in matrices.items():
        weight = modules[part].get_submodule(layer)
        pair = _pair(halves, base_layer(weight).weight, f"{source}: {part}.{layer}")
        alpha = own.get((part, layer), _noted(note, part, layer, pair.rank, source))
        if not math.isfinite(alpha):
            raise ModelError(f"{source}: the alpha of {part}.{layer} must be finite, got {alpha}")
        found[part][layer] = Pair(down=pair.down, up=pair.up, alpha=alpha)
    return found


def _read(path: Path, unet_config: Any) -> tuple[dict[str, Tensor], dict[str, float], Any]:
    """A file's tensors under diffusers' names, the alphas of layers, and what peft noted."""
    from diffusers.loaders.lora_pipeline import StableDiffusionXLLoraLoaderMixin as Loader

    tensors = read_tensors((path,), torch.device("cpu"), torch.float32)
    try:
        named, kohya = Loader.lora_state_dict(tensors, unet_config=unet_config)
        alphas = {_of_down(name): float(alpha) for name, alpha in (kohya or {}).items()}
        for name in [name for name in named if name.endswith(".alpha")]:
            alphas[_of_down(name)] = float(named.pop(name).item())
        return named, alphas, _note(path)
    except _STUMBLES as error:
        raise ModelError(
            f"{path} has tensor names that diffusers does not know: {reason_of(error)}"
        ) from error


def _of_down(alpha: str) -> str:
    """The name of the tensor that an alpha belongs to: some have it in their own name."""
    name = alpha.removesuffix(".alpha")
    return name if name.endswith(".weight") else f"{name}.lora.down.weight"


def _note(path: Path) -> Any:
    """peft's settings of the adapter, which diffusers writes beside the tensors."""
    if is_pickle(path):
        return {}
    try:
        with safe_open(path, framework="pt") as opened:
            text = (opened.metadata() or {}).get("lora_adapter_metadata")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    note = json.loads(text) if text else {}
    if not isinstance(note, dict):
        raise TypeError("the note of peft's settings is no table")
    return note


def _noted(note: Mapping[str, Any], part: str, layer: str, rank: int, source: str) -> float:
    """The alpha that peft's note means for a layer; without a note it is the rank."""
    alpha = note.get(f"{part}.lora_alpha", rank)
    patterns = note.get(f"{part}.alpha_pattern") or {}
    try:
        for pattern, own in patterns.items():
            names = (layer, f"text_model.{layer}")
            if any(re.match(rf"(.*\.)?({pattern})$", name) for name in names):
                alpha = own
                break
        # peft's "rslora" divides by the root of the rank.
        return float(alpha) * (math.sqrt(rank) if note.get(f"{part}.use_rslora") else 1.0)
    except (AttributeError, TypeError, ValueError, re.error) as error:
        raise ModelError(
            f"{source} notes settings of peft that make no sense: {reason_of(error)}"
        ) from error


def _weights(
    tensors: Mapping[str, Tensor], modules: Mapping[str, Module], source: str
) -> dict[str, Tensor]:
    """Name of a tensor → the weight of the model that it changes.

    diffusers and peft would ignore tensors without one and apply only part of the LoRA.
    """
    found = {name: _weight(name, modules) for name in tensors}
    lost = [name for name, weight in found.items() if weight is None]
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise ModelError(
            f"{source} does not fit the model, which has no weights for {', '.join(lost[:3])}{more}"
        )
    return {name: weight for name, weight in found.items() if weight is not None}


def _weight(name: str, modules: Mapping[str, Module]) -> Tensor | None:
    part, layer = _place(name, modules)
    if not layer:
        return None
    try:
        wrapped = modules[part].get_submodule(layer)
    except AttributeError:
        return None
    weight: Tensor | None = getattr(base_layer(wrapped), "weight", None)
    return weight


def base_layer(layer: Module) -> Module:
    """The layer itself, where an earlier LoRA stands around it."""
    return getattr(layer, "base_layer", layer)


def _place(name: str, modules: Mapping[str, Module]) -> tuple[str, str]:
    """The part and the layer that a tensor is for; both are empty where no name is understood."""
    part, _, rest = name.partition(".")
    found = _LAYER.fullmatch(rest.replace(".processor.", "."))
    if part not in modules or found is None:
        return "", ""
    layer = found["layer"]
    if part == "unet":
        layer = f"{layer}.0" if found["old"] and layer.endswith(".to_out") else layer
    elif found["old"]:
        layer = re.sub(r"\.to_(q|k|v|out)$", r".\1_proj", layer)
    if not hasattr(modules[part], "text_model"):  # of CLIPTextModel since transformers 5.6
        layer = layer.removeprefix("text_model.")
    return part, layer


def _check_shape(name: str, tensor: Tensor, weight: Tensor, source: str) -> None:
    shape = tuple(tensor.shape)
    axis = 0 if _UP.search(name) else 1  # out of the layer, or into it
    if len(shape) < 2 or len(weight.shape) < 2 or shape[axis] != weight.shape[axis]:
        raise ModelError(
            f"{source} does not fit the model: {name} has the shape {shape}, for a weight of "
            f"{tuple(weight.shape)}"
        )


def _pair(halves: Mapping[str, Tensor], weight: Tensor, name: str) -> Pair:
    """Both matrices in the shapes of the layer; its alpha is not known yet."""
    for which in ("down", "up"):
        if which not in halves:
            raise ModelError(f"{name} has no {which} matrix beside the other")
    down, up = halves["down"], halves["up"]
    rank, kernel = down.shape[0], tuple(weight.shape[2:])
    shapes = (rank, *weight.shape[1:]), (weight.shape[0], rank, *(1 for _ in kernel))
    if not rank or any(
        tensor.numel() != math.prod(shape) for tensor, shape in zip((down, up), shapes, strict=True)
    ):
        raise ModelError(
            f"{name} does not fit the model: matrices of {tuple(down.shape)} and "
            f"{tuple(up.shape)}, for a weight of {tuple(weight.shape)}"
        )
    # A 1x1 convolution and a linear layer hold the same numbers.
    return Pair(down=down.reshape(shapes[0]), up=up.reshape(shapes[1]), alpha=float(rank))
