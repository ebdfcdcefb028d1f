"""Losses on the picture that steer the loop: what they measure, and how they pull."""

from sdloop.steering.bound import pull_of
from sdloop.steering.pull import Loss, Pull
from sdloop.steering.ways import Through

__all__ = ["Loss", "Pull", "Through", "pull_of"]
