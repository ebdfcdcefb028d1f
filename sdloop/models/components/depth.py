"""Load the part of a depth model that finds out how near each place of a picture is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.components.pretrained import pretrained
from sdloop.models.components.weights import BAD_CONFIG, reason_of
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
