"""Pictures that move: read frame by frame, and written as files with their Recipe. No torch."""

from sdloop.moving.flicker import Flicker, change
from sdloop.moving.read import Clip, open_clip
from sdloop.moving.settle import clip_recipe, durations_of, moving_facts
from sdloop.moving.write import check_moving, write_moving

__all__ = [
    "Clip",
    "Flicker",
    "change",
    "check_moving",
    "clip_recipe",
    "durations_of",
    "moving_facts",
    "open_clip",
    "write_moving",
]
