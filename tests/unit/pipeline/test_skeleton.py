"""Poses: the points that transformers finds, and OpenPose's skeleton of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import sketch
from helpers.vision import save_pose_model
from transformers import VitPoseForPoseEstimation, VitPoseImageProcessorPil

from sdloop.models.checkpoint.vision import find_vision
from sdloop.models.components.pose import load_pose_model
from sdloop.pipeline.preprocess import preprocess_of
from sdloop.pipeline.skeleton import skeleton

NOSE, LEFT, RIGHT, WRIST, ANKLE = 0, 5, 6, 10, 15  # of COCO's points


@pytest.mark.parametrize("experts", [1, 6])
def test_points_are_those_of_transformers_own_classes(tmp_path: Path, experts: int) -> None:
    """``experts`` are those of VitPose+, of which the first knows COCO."""
    folder = save_pose_model(tmp_path / "poses", experts=experts)
    image = sketch(90, 70)
    boxes = [[[0, 0, 90, 70]]]
    processor = VitPoseImageProcessorPil.from_pretrained(folder)
    model = VitPoseForPoseEstimation.from_pretrained(folder).eval()
    seen = processor(image, boxes=boxes, return_tensors="pt")
    with torch.no_grad():
        found = model(**seen, dataset_index=torch.tensor([0]))
    ((person,),) = processor.post_process_pose_estimation(found, boxes=boxes)
    ours = load_pose_model(find_vision("pose_estimator", str(folder))).points(image)
    assert np.array_equal(ours[:, :2], person["keypoints"])
    assert np.array_equal(ours[:, 2], person["scores"])
    assert len(np.unique(ours[:, :2], axis=0)) > 10
    made = preprocess_of("pose", (str(folder), None))(image)
    assert made.tobytes() == skeleton(ours, image.size).tobytes()


def standing() -> np.ndarray:
    """Somebody of whom nothing but what a test adds is seen."""
    return np.zeros((17, 3))


def drawn(points: np.ndarray) -> np.ndarray:
    return np.asarray(skeleton(points, (64, 64)))


def test_points_have_the_colours_of_openpose() -> None:
    """From red for the nose to pink for an ear; the neck is between the shoulders."""
    points = standing()
    for number, place in ((NOSE, (32, 8)), (LEFT, (44, 20)), (RIGHT, (20, 20))):
        points[number] = (*place, 0.9)
    picture = drawn(points)
    for place, colour in (
        ((32, 8), (255, 0, 0)),  # the nose
        ((32, 20), (255, 85, 0)),  # the neck
        ((20, 20), (255, 170, 0)),  # the right shoulder
        ((44, 20), (85, 255, 0)),  # the left one
        ((26, 20), (153, 0, 0)),  # limbs are darker: neck to right shoulder,
        ((38, 20), (153, 51, 0)),  # to left shoulder,
        ((32, 14), (0, 0, 153)),  # and to nose
        ((50, 50), (0, 0, 0)),
    ):
        assert tuple(picture[place[1], place[0]]) == colour


@pytest.mark.parametrize(
    "point", [(30, 30, 0.2), (-1, 30, 0.9), (30, 64, 0.9), (np.nan, 3, 0.9), (1e30, 1e30, 0.9)]
)
def test_what_is_unsure_or_outside_is_not_drawn(point: tuple[float, float, float]) -> None:
    points = standing()
    points[WRIST], points[ANKLE] = point, (10, 50, 0.9)
    only = standing()
    only[ANKLE] = points[ANKLE]
    assert np.array_equal(drawn(points), drawn(only))
    assert drawn(only).any()
