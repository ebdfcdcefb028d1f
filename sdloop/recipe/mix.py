"""A Recipe's mixture: the UNet gets the weighted mean of the encoded prompts."""

from collections.abc import Mapping, Sequence
from typing import Any

from sdloop.errors import SettingError
from sdloop.prompt.check import check_prompt
from sdloop.prompt.compose import parts
from sdloop.recipe.fields_picture import MIXTURE
from sdloop.recipe.limits import USUAL_STEPS
from sdloop.rules import check_number

MAX_MIX_WEIGHT = 1e3
_ROUNDED = 1e-9  # shares whose sum is 1, up to rounding, are not normalised again


def settled_mix(given: Mapping[str, Any]) -> dict[str, Any]:
    """The normalised fields of a mixture; the weights are shares that add up to 1.

    Without weights, all shares are equal. Raises ``SettingError`` for an invalid mixture, and for
    its settings without mix_prompts.
    """
    if "mix_prompts" not in given:
        for name in MIXTURE:
            if given.get(name):
                raise SettingError.of(name, "needs mix_prompts, but none are given")
        return {}
    prompts = _checked_prompts(given)
    weights = _shares(given.get("mix_weights"), 1 + len(prompts))
    if given["slerp"] and not (len(weights) == 2 and 0 <= weights[0] <= 1):
        raise SettingError.of(
            "slerp",
            "needs two prompts with shares between 0 and 1, got the shares "
            f"{', '.join(f'{weight:g}' for weight in weights)}",
        )
    return {"mix_prompts": prompts, "mix_weights": weights}


def _checked_prompts(given: Mapping[str, Any]) -> tuple[str, ...]:
    prompts: tuple[str, ...] = given["mix_prompts"]
    if "prompt_2" in given:
        raise SettingError.of("prompt_2", "cannot be combined with mix_prompts")
    if given["emphasis"] != "none":
        for one in prompts:
            check_prompt("mix_prompts", one, given.get("steps", USUAL_STEPS), combines=False)
        for one in (given["prompt"], *prompts):
            if len(parts(one)) > 1:
                raise SettingError.of("mix_prompts", f"must not contain AND, got {one!r}")
    return prompts


def _shares(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    if weights is None:
        weights = (1.0,) * count
    if not isinstance(weights, tuple | list) or len(weights) != count:
        raise SettingError.of(
            "mix_weights", f"must be {count} numbers, one for each prompt, got {weights!r}"
        )
    for weight in weights:
        check_number("mix_weights", weight, -MAX_MIX_WEIGHT, MAX_MIX_WEIGHT)
    total = sum(weights)
    if total < 1e-3:
        raise SettingError.of("mix_weights", f"must add up to more than 0, got {list(weights)}")
    if abs(total - 1) < _ROUNDED:
        return tuple(float(weight) for weight in weights)
    return tuple(weight / total for weight in weights)
