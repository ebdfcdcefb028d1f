"""Strength: the share of the schedule that img2img runs, in whole steps.

The picture gets the noise of one of the schedule's steps, and the loop runs from there. Strength 1
starts at the first step, where almost nothing of the picture is left; 0.2 runs only the last fifth
of the steps.
"""

import math

from sdloop.errors import SettingError

DEFAULT_STRENGTH = 0.75
UPSCALE_STRENGTH = 0.35  # for enlarged pictures: removes the blur, and keeps the rest
MAX_SCHEDULE = 1000  # as many timesteps as the models were trained with


def first_step(steps: int, strength: float) -> int:
    """The first step of ``steps`` to run; the last ``int(steps * strength)`` steps run.

    Truncated as in diffusers and CompVis, with the same rounding error: 0.58 of 50 steps is 28.

    >>> first_step(25, 0.6), first_step(50, 0.58)
    (10, 22)
    """
    return steps - int(steps * strength)


def schedule_for(running: int, strength: float) -> int:
    """The length of a schedule of which ``strength`` runs exactly ``running`` steps.

    >>> schedule_for(25, 0.6)
    42
    """
    steps = max(running, math.floor(running / strength) - 1)
    while int(steps * strength) < running:
        steps += 1
    return steps


def check_strength(steps: int, strength: float, *, exact: bool) -> None:
    """Raise ``SettingError`` for a strength that is too small; the error names the smallest one.

    At least one of ``steps`` must run. With ``exact`` all of them must run, and the schedule must
    have at most ``MAX_SCHEDULE`` steps.
    """
    running, schedule = (steps, MAX_SCHEDULE) if exact else (1, steps)
    if int(schedule * strength) < running:
        what = f"all of {steps} exact steps" if exact else f"one of {steps} steps"
        raise SettingError.of(
            "strength",
            f"must be at least {least_strength(steps, exact=exact):g} for {what} to run, "
            f"got {strength:g}",
        )


def least_strength(steps: int, *, exact: bool) -> float:
    """The smallest strength, to four decimals, that ``check_strength`` accepts.

    >>> least_strength(6, exact=False)
    0.1667
    """
    return _least(*((steps, MAX_SCHEDULE) if exact else (1, steps)))


def check_spaced(steps: int, strength: float, trained: int) -> None:
    """Raise ``SettingError`` if LCM cannot run ``steps`` within a strength.

    It takes them from the first ``int(trained * strength)`` timesteps of its distillation.
    """
    if int(trained * strength) < steps:
        raise SettingError.of(
            "strength",
            f"must be at least {_least(steps, trained):g} for {steps} steps of LCM's {trained} "
            f"timesteps, got {strength:g}",
        )


def _least(running: int, schedule: int) -> float:
    parts = running * 10_000 // schedule
    while int(schedule * (parts / 10_000)) < running:
        parts += 1
    return parts / 10_000
