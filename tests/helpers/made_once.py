"""Schedulers that diffusers takes long to make are made once, and then copied.

DPM2, Heun and others look for a thousand noise levels one by one in their constructor, which takes
many times as long as five steps with a formula.
"""

import copy
from typing import Any

import diffusers
from torch import Tensor

SLOW = (
    diffusers.KDPM2DiscreteScheduler,
    diffusers.KDPM2AncestralDiscreteScheduler,
    diffusers.HeunDiscreteScheduler,
    diffusers.LMSDiscreteScheduler,
    diffusers.DPMSolverSDEScheduler,
)


def make_schedulers_once() -> None:
    for kind in SLOW:
        if isinstance(kind.__dict__.get("from_config"), staticmethod):
            return
        kind.from_config = staticmethod(_once(kind.from_config))


def _once(make: Any) -> Any:
    made: dict[str, Any] = {}

    def from_config(config: Any, **options: Any) -> Any:
        key = repr((sorted(config.items()), sorted(options.items())))
        if key not in made:
            made[key] = make(config, **options)
        return _copied(made[key])

    return from_config


def _copied(scheduler: Any) -> Any:
    """Like one that is new: it shares nothing that its steps change."""
    one = copy.copy(scheduler)
    for name, value in tuple(vars(one).items()):
        if isinstance(value, Tensor):
            setattr(one, name, value.clone())
        elif isinstance(value, list):
            setattr(one, name, list(value))
    return one
