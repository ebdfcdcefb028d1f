"""What a LoRA's file holds for each layer of a model.

The tensors find their layers by name, in any layout (``lora_names``). diffusers is not used for
this. Its ``get_peft_kwargs`` makes one ``alpha_pattern`` of a file whose layers differ, and:

- for a UNet, the keys of attention layers keep what ``_get_alpha_name`` made of them, as in
  ``attn1.processor.to_q_lora.down.weight``, which names no module, so peft uses the alpha that
  most layers have; the same is true of text encoders, whose ``to_q_lora`` is ``q_proj`` in the
  model, and whose ``text_model.`` is gone from the modules;
- a layer without an alpha gets the alpha that most others have, where the trainers mean its rank.

So files with an alpha for each layer, as kohya's ``resize_lora.py`` writes them, get wrong
scales without an error. It also drops DoRA's magnitudes, and in files that name some blocks as the
model's first authors did and some as diffusers does, the former.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.checkpoint.headers import is_pickle
from sdloop.models.checkpoint.lora import listed
from sdloop.models.checkpoint.lora_names import read_name
from sdloop.models.components.lora_change import Change
from sdloop.models.components.sgm_names import sgm_names
from sdloop.models.components.weights import Module, check_finite, read_tensors, reason_of

Place = tuple[str, str]  # part and layer


def changes_of(path: Path, source: str, modules: Mapping[str, Module]) -> dict[Place, Change]:
    """What the file at ``path`` changes in each layer of ``modules``; ``source`` is its name.

    Raises ``ModelError`` for a tensor that has no place, or is not finite.
    """
    tensors = read_tensors((path,), torch.device("cpu"), torch.float32)
    check_finite(source, tensors)
    note = _note(path)
    changes = {}
    for (part, layer), own in _by_layer(tensors, modules, source).items():
        name = f"{source}: {part}.{layer}"
        alpha = _number(own.pop("alpha"), name) if "alpha" in own else None
        if alpha is None and "down" in own:
            alpha = _noted(note, part, layer, len(own["down"]), source)
        if own:
            changes[part, layer] = Change(name=name, tensors=own, alpha=alpha)
    return changes


def _by_layer(
    tensors: Mapping[str, Tensor], modules: Mapping[str, Module], source: str
) -> dict[Place, dict[str, Tensor]]:
    """Part and layer → kind → tensor.

    A tensor that the model has no place for is refused: otherwise only part of the LoRA would be
    applied.
    """
    layers = {part: dict(_layers(part, module)) for part, module in modules.items()}
    found: dict[Place, dict[str, Tensor]] = {}
    lost = []
    for name, tensor in tensors.items():
        parsed = read_name(name)
        layer = layers.get(parsed.part, {}).get(parsed.layer) if parsed is not None else None
        if parsed is None or layer is None:
            lost.append(name)
            continue
        own = found.setdefault((parsed.part, layer), {})
        if parsed.kind in own:
            raise ModelError(f"{source} has two tensors of one kind for {parsed.part}.{layer}")
        own[parsed.kind] = tensor
    if lost:
        raise ModelError(
            f"{source} does not fit the model, which has no weights for {listed(lost)}"
        )
    return found


def _layers(part: str, module: Module) -> Iterator[tuple[str, str]]:
    """Each name that files have for a layer, with underscores for dots, and its own name."""
    blocks = module.config.get("layers_per_block", 2) if part == "unet" else 0
    for layer, one in module.named_modules():
        if not isinstance(getattr(one, "weight", None), Tensor):
            continue
        if part == "unet":
            old = re.sub(r"\.to_out\.0$", ".to_out", layer)
            names = {layer, old, *sgm_names(layer, blocks)}
        else:
            # CLIPTextModel lost the level text_model in transformers 5.6.
            bare = layer.removeprefix("text_model.")
            old = re.sub(r"(attn)\.(q|k|v|out)_proj$", r"\1.to_\2", bare)
            names = {layer, f"text_model.{bare}", f"text_model.{old}"}
        yield from ((name.replace(".", "_"), layer) for name in names)


def _number(alpha: Tensor, name: str) -> float:
    if alpha.numel() != 1:
        raise ModelError(f"the alpha of {name} must be one number, got {tuple(alpha.shape)}")
    return float(alpha)


def _note(path: Path) -> Mapping[str, Any]:
    """peft's settings of the adapter, which diffusers writes beside the tensors."""
    if is_pickle(path):
        return {}
    try:
        with safe_open(path, framework="pt") as opened:
            text = (opened.metadata() or {}).get("lora_adapter_metadata")
        note = json.loads(text) if text else {}
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error)}") from error
    if not isinstance(note, dict):
        raise ModelError(f"{path} has peft's settings beside its tensors, but not as a table")
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
            f"{source} has peft settings that are not valid: {reason_of(error)}"
        ) from error
