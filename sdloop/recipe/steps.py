"""Check a Recipe's listed steps (timesteps, sigmas_list), which replace the scheduler's."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.limits import MAX_STEPS
from sdloop.rules import check_number, check_whole

LISTED_STEPS = ("timesteps", "sigmas_list")
MAX_TIMESTEP = 10**5
MAX_SIGMA = 1e4


def settled_steps(given: Mapping[str, Any]) -> dict[str, Any]:
    """The number of steps, and the normalised list of them, if there is one.

    Raises ``SettingError`` for an invalid list, for a list whose length is not ``steps``, and for
    settings that have no effect with a list.
    """
    listed = [name for name in LISTED_STEPS if name in given]
    if not listed:
        return {}
    if len(listed) > 1:
        raise SettingError.of(
            "timesteps", "cannot be combined with sigmas_list: remove one of them"
        )
    (name,) = listed
    for other in ("sigmas", "timestep_spacing"):
        if other in given:
            raise SettingError.of(other, f"cannot be combined with {name}: remove one of them")
    if given["exact_steps"]:
        raise SettingError.of(
            "exact_steps", f"cannot be combined with {name}, which fixes the steps"
        )
    values = _timesteps(given[name]) if name == "timesteps" else _sigmas(given[name])
    steps = len(values) - (name == "sigmas_list")
    if given.get("steps", steps) != steps:
        raise SettingError.of(
            "steps", f"must be {steps} to agree with {name}, got {given['steps']}"
        )
    return {"steps": steps, name: values}


def _timesteps(values: Any) -> tuple[int, ...]:
    _check_list("timesteps", values, 1)
    for one in values:
        check_whole("timesteps", one, 0, MAX_TIMESTEP)
    _check_falling("timesteps", values)
    return tuple(values)


def _sigmas(values: Any) -> tuple[float, ...]:
    _check_list("sigmas_list", values, 2)
    for one in values:
        check_number("sigmas_list", one, 0.0, MAX_SIGMA)
    _check_falling("sigmas_list", values)
    if values[-1] != 0:
        raise SettingError.of(
            "sigmas_list", f"must end with 0 (no noise left), got {values[-1]:g} at the end"
        )
    return tuple(float(one) for one in values)


def _check_list(name: str, values: Any, least: int) -> None:
    if not isinstance(values, list | tuple) or len(values) < least:
        raise SettingError.of(name, f"must be a list of at least {least} numbers, got {values!r}")
    if len(values) > MAX_STEPS:
        raise SettingError.of(name, f"must have at most {MAX_STEPS} numbers, got {len(values)}")


def _check_falling(name: str, values: Sequence[float]) -> None:
    for one, following in itertools.pairwise(values):
        if following >= one:
            raise SettingError.of(name, f"must decrease, got {following:g} after {one:g}")
