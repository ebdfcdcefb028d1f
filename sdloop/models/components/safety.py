"""A model's own safety checker: whether a finished picture may show sex."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from sdloop.errors import SettingError
from sdloop.models.checkpoint.other_parts import PartPlace, read_part_folder
from sdloop.models.checkpoint.safety import safety_place
from sdloop.models.components.load import Components, no_room_for
from sdloop.models.components.offload import Offload, offload, works_on
from sdloop.models.components.pretrained import pretrained
from sdloop.models.components.shell import on_cpu
from sdloop.models.components.weights import read_tensors
from sdloop.models.memory import free_memory, is_out_of_memory
from sdloop.schedulers.library_messages import no_library_messages


@dataclass(frozen=True, kw_only=True, slots=True)
class SafetyChecker:
    """The checker, and what scales pictures for it."""

    model: Any
    processor: Any

    def flags(self, images: Sequence[Image]) -> list[bool]:
        """Whether the checker flags each of the pictures, which are not changed.

        It compares a picture's CLIP embedding with 17 concepts that are not published, each with a
        threshold of its own. The decision is that of diffusers' pipelines.
        """
        pixels = self.processor(images=list(images), return_tensors="pt").pixel_values
        try:
            return _flags(self.model, pixels)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # Outside of the handler, whose traceback keeps memory that must be freed first.
        free_memory()
        warnings.warn(
            "not enough memory for the safety checker: it works on the CPU",
            RuntimeWarning,
            stacklevel=2,
        )
        return _flags(on_cpu(self.model), pixels)


def _flags(model: Any, pixels: Tensor) -> list[bool]:
    unseen = np.zeros((len(pixels), 1))  # it would make the pictures black
    with no_library_messages():
        _, flags = model(clip_input=pixels.to(works_on(model)), images=unseen)
    return [bool(flag) for flag in flags]


def with_safety_checker(components: Components) -> Components:
    """``components`` with the safety checker of their model, in float32, on their device.

    Where the model's weights are offloaded, its own are too, layer by layer. If memory runs out, a
    copy of it works on the CPU: the pictures are finished, and must not be lost.

    Raises ``SettingError`` for a model without one, ``ModelError`` for one that cannot be loaded.
    """
    checkpoint = components.checkpoint
    if checkpoint is None:
        raise SettingError.of("safety", "flag needs components that were loaded from files")
    place = safety_place(checkpoint)
    load = _loaded.__wrapped__ if components.device.type == "meta" else _loaded
    waits = components.memory != "full"
    with no_room_for(f"the safety checker of {place.name}"):
        return replace(components, safety_checker=load(place, components.device, waits=waits))


def forget_safety_checker() -> None:
    """Drop the one that is kept."""
    _loaded.cache_clear()


@lru_cache(maxsize=1)
def _loaded(place: PartPlace, device: torch.device, *, waits: bool) -> SafetyChecker:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    config, files = read_part_folder(place)
    cpu = torch.device("cpu")
    tensors = read_tensors(files, cpu if device.type != "meta" else device, torch.float32)
    kept = {name: one for name, one in tensors.items() if not name.endswith("position_ids")}
    source = f"safety_checker in {files[0]}"
    kind, settings = StableDiffusionSafetyChecker, (CLIPConfig, config)
    model = pretrained(kind, settings, kept, source, cpu if waits else device)
    if waits:
        offload(model, Offload(device))
    scaling = place.path / "feature_extractor"
    known = (scaling / "preprocessor_config.json").is_file()
    processor = CLIPImageProcessor.from_pretrained(scaling) if known else CLIPImageProcessor()
    return SafetyChecker(model=model, processor=processor)
