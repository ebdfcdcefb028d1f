"""A model's own safety checker: whether a finished picture may show sex."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from sdloop.errors import SettingError
from sdloop.models.checkpoint.other_parts import PartPlace, read_part_folder
from sdloop.models.checkpoint.safety import safety_place
from sdloop.models.components.load import Components
from sdloop.models.components.pretrained import pretrained
from sdloop.models.components.weights import read_tensors
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
        unseen = np.zeros((len(images), 1))  # it would make the pictures black
        with no_library_messages():
            _, flags = self.model(clip_input=pixels.to(self.model.device), images=unseen)
        return [bool(flag) for flag in flags]


def with_safety_checker(components: Components) -> Components:
    """``components`` with the safety checker of their model, in float32, on their device.

    Raises ``SettingError`` for a model without one, ``ModelError`` for one that cannot be loaded.
    """
    checkpoint = components.checkpoint
    if checkpoint is None:
        raise SettingError.of("safety", "flag needs components that were loaded from files")
    place = safety_place(checkpoint)
    return replace(components, safety_checker=_loaded(place, components.device))


@lru_cache(maxsize=1)
def _loaded(place: PartPlace, device: torch.device) -> SafetyChecker:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    config, files = read_part_folder(place)
    tensors = read_tensors(files, torch.device("cpu"), torch.float32)
    kept = {name: one for name, one in tensors.items() if not name.endswith("position_ids")}
    source = f"safety_checker in {files[0]}"
    model = pretrained(StableDiffusionSafetyChecker, (CLIPConfig, config), kept, source, device)
    scaling = place.path / "feature_extractor"
    known = (scaling / "preprocessor_config.json").is_file()
    processor = CLIPImageProcessor.from_pretrained(scaling) if known else CLIPImageProcessor()
    return SafetyChecker(model=model, processor=processor)
