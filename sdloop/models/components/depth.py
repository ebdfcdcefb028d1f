"""Load models that find out how near each place of a picture is: part of a model, or alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.checkpoint.vision import VisionModel
from sdloop.models.components.pretrained import pretrained, processor_of
from sdloop.models.components.weights import BAD_CONFIG, read_tensors, reason_of
from sdloop.schedulers.library_messages import no_library_messages

# The published weights lack these: the first layer has no result of a layer before to work on.
_UNUSED = "neck.fusion_stage.layers.0.residual_layer1."


def load_depth_estimator(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], source: str, device: torch.device
) -> Any:
    """The estimator (DPT), in float32: its batch norms are not made for less.

    Raises ``ModelError`` for a tensor that is missing, extra, of another shape or not finite.
    """
    from transformers import DPTConfig, DPTForDepthEstimation

    kind, settings = DPTForDepthEstimation, (DPTConfig, config)
    return pretrained(kind, settings, tensors, source, device, unused=_UNUSED)


def load_depth_processor(folder: Path) -> Any:
    """What scales pictures for the estimator, from a model's folder."""
    with no_library_messages():
        from transformers import DPTImageProcessor

        try:
            return DPTImageProcessor.from_pretrained(folder / "feature_extractor")
        except (OSError, *BAD_CONFIG) as error:
            raise ModelError(
                f"{folder} has no usable feature_extractor/preprocessor_config.json, which its "
                f"depth_estimator needs: {reason_of(error)}"
            ) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthModel:
    """A model that finds depths, with what scales pictures for it, in float32 on the CPU."""

    model: Any
    processor: Any

    @torch.no_grad()
    def depths(self, image: Image) -> Tensor:
        """How near each place of ``image`` is, (height, width), in no certain unit.

        It is resized to the size of the picture, as in transformers' post-processing.
        """
        seen = self.processor(images=image, return_tensors="pt").pixel_values
        found: Tensor = self.model(seen).predicted_depth[:, None]
        size = image.height, image.width
        resized = torch.nn.functional.interpolate(
            found, size=size, mode="bicubic", align_corners=False
        )
        return resized[0, 0]


@lru_cache(maxsize=1)  # a worker's next call often needs it again
def load_depth_model(found: VisionModel) -> DepthModel:
    """The model in ``found``; raises ``ModelError`` for one whose files do not suit it."""
    with no_library_messages():
        from transformers import (
            DepthAnythingConfig,
            DepthAnythingForDepthEstimation,
            DPTConfig,
            DPTForDepthEstimation,
            DPTImageProcessor,
        )

    processor = processor_of(DPTImageProcessor, found)
    kinds = {
        "dpt": (DPTForDepthEstimation, DPTConfig),
        "depth_anything": (DepthAnythingForDepthEstimation, DepthAnythingConfig),
    }
    kind, config = kinds[found.config["model_type"]]
    place = torch.device("cpu")
    tensors = read_tensors(found.files, place, torch.float32)
    source = f"the preprocess_model {found.name}"
    model = pretrained(kind, (config, found.config), tensors, source, place, unused=_UNUSED)
    return DepthModel(model=model, processor=processor)
