"""Strength: how much of the schedule a picture is made anew with, in whole steps.

A picture is put under the noise of one of the schedule's steps, and the loop goes on from there. A
strength of 1 begins at the first step, where little of the picture is left; 0.2 runs only the last
fifth.
"""

import math

from sdloop.errors import SettingError

DEFAULT_STRENGTH = 0.75
UPSCALE_STRENGTH = 0.35  # of pictures that are enlarged, of which all shall stay but the blur
MAX_SCHEDULE = 1000  # as many timesteps as the models were trained with


def first_step(steps: int, strength: float) -> int:
    """The step of ``steps`` that the loop starts at; the last ``int(steps * strength)`` run.

    Truncated as in diffusers and CompVis, rounding errors included: 0.58 of 50 steps are 28.

    >>> first_step(25, 0.6), first_step(50, 0.58)
    (10, 22)
    """
    return steps - int(steps * strength)


def schedule_for(running: int, strength: float) -> int:
    """How many steps a schedule needs for exactly ``running`` of them to lie within ``strength``.

    >>> schedule_for(25, 0.6)
    42
    """
    steps = max(running, math.floor(running / strength) - 1)
    while int(steps * strength) < running:
        steps += 1
    return steps


def check_strength(steps: int, strength: float, *, exact: bool) -> None:
    """Raise ``SettingError``, naming the least that does, for a strength that is too small.

    At least one of ``steps`` must run; with ``exact`` all of them must, and the schedule that they
    end is no longer than ``MAX_SCHEDULE``.
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
    """The least strength, to four decimals, that ``check_strength`` lets pass.

    >>> least_strength(6, exact=False)
    0.1667
    """
    running, schedule = (steps, MAX_SCHEDULE) if exact else (1, steps)
    parts = running * 10_000 // schedule
    while int(schedule * (parts / 10_000)) < running:
        parts += 1
    return parts / 10_000
