"""Load a model that finds the pose of a person (VitPose)."""

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.vision import VisionModel
from sdloop.models.components.pretrained import pretrained, processor_of
from sdloop.models.components.weights import read_tensors
from sdloop.schedulers.library_messages import no_library_messages

# The points of COCO, which the published models find; others have hands or animals.
POINTS = 17


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseModel:
    """A model that finds a pose, with what scales pictures for it, in float32 on the CPU."""

    model: Any
    processor: Any

    @torch.no_grad()
    def points(self, image: Image) -> np.ndarray:
        """The points of COCO, (17, 3): x and y in pixels of ``image``, and how sure they are.

        The model looks at one person, who is taken to fill the picture.
        """
        boxes = [[[0.0, 0.0, float(image.width), float(image.height)]]]
        seen = self.processor(images=image, boxes=boxes, return_tensors="pt").pixel_values
        # Models of several experts have one for each data set; COCO's is the first.
        expert = torch.zeros(1, dtype=torch.long) if _experts(self.model) > 1 else None
        found = self.model(seen, dataset_index=expert)
        ((person,),) = self.processor.post_process_pose_estimation(found, boxes)
        return np.concatenate([person["keypoints"], person["scores"][:, None]], axis=1)


def _experts(model: Any) -> int:
    return int(model.config.backbone_config.num_experts)


@lru_cache(maxsize=1)  # a worker's next call often needs it again
def load_pose_model(found: VisionModel) -> PoseModel:
    """The model in ``found``; raises ``ModelError`` for one whose files do not suit it."""
    if importlib.util.find_spec("scipy") is None:
        raise SettingError(
            "preprocess pose needs scipy: pip install 'sdloop[schedulers]'", field="preprocess"
        )
    with no_library_messages():
        from transformers import VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessorPil

    processor, place = processor_of(VitPoseImageProcessorPil, found), torch.device("cpu")
    tensors = read_tensors(found.files, place, torch.float32)
    source = f"the preprocess_model {found.name}"
    config = (VitPoseConfig, found.config)
    model = pretrained(VitPoseForPoseEstimation, config, tensors, source, place)
    count = model.config.num_labels
    if count != POINTS:
        raise ModelError(
            f"preprocess_model must find the {POINTS} points of COCO, got {count}: {found.name}"
        )
    return PoseModel(model=model, processor=processor)
