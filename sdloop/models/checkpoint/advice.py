"""A model's advice about its own use: guidance scale, known words, example prompts.

``model_index.json`` may hold it under ``_sdloop``; diffusers ignores keys that begin with an
underscore::

    "_sdloop": {
      "guidance_scale": 2.0,
      "upscale_strength": 0.08,
      "vocabulary": {"subjects": ["frog", "rabbit"], "colours": ["red", "green"]},
      "prompts": ["frogs on stilts", "a red house at night"]
    }
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.few_steps import FewSteps
from sdloop.recipe.limits import USUAL_STEPS
from sdloop.recipe.strength import UPSCALE_STRENGTH
from sdloop.rules import check_number, check_text

_USUAL_GUIDANCE = {"sdxl": 5.0, "refiner": 5.0, "upscaler": 9.0}  # of diffusers' pipelines


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """How a model is best used.

    guidance_scale, steps
        The model's defaults.
    few_steps
        What it is, if it was distilled for a few steps; then these are its settings.
    upscale_strength
        The default strength for enlarged pictures: models for small pictures need a lower one.
    vocabulary
        Kind → the words of that kind that the model was trained on; empty if unknown.
    prompts
        Example prompts.
    """

    guidance_scale: float
    steps: int = USUAL_STEPS
    few_steps: FewSteps | None = None
    upscale_strength: float = UPSCALE_STRENGTH
    vocabulary: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prompts: tuple[str, ...] = ()


def read_advice(
    name: str, family: str, index: Mapping[str, Any], few_steps: FewSteps | None = None
) -> Advice:
    """The advice under ``_sdloop`` in ``index``; else diffusers' guidance scale for the family.

    ``few_steps`` are the settings of a model for a few steps.

    Raises ``ModelError``, with the field, the rule and the value, for an invalid entry.

    >>> read_advice("a model", "sdxl", {}).guidance_scale
    5.0
    """
    own = index.get("_sdloop")
    if own is None and few_steps is not None:
        fields = few_steps.fields
        return Advice(
            guidance_scale=fields["guidance_scale"], steps=fields["steps"], few_steps=few_steps
        )
    if own is None:
        return Advice(guidance_scale=_USUAL_GUIDANCE.get(family, 7.5))
    try:
        return _checked(own)
    except SettingError as error:
        raise ModelError(f"{name}: {error} (in model_index.json)") from error


def _checked(own: Any) -> Advice:
    if not isinstance(own, dict):
        raise SettingError(f"_sdloop must be an object, got {own!r}")
    scale: Any = own.get("guidance_scale")
    check_number("_sdloop.guidance_scale", scale, 0.0, 1e4)
    strength: Any = own.get("upscale_strength", UPSCALE_STRENGTH)
    check_number("_sdloop.upscale_strength", strength, 0.0, 1.0)
    return Advice(
        guidance_scale=float(scale),
        upscale_strength=float(strength),
        vocabulary=_vocabulary("_sdloop.vocabulary", own.get("vocabulary", {})),
        prompts=_texts("_sdloop.prompts", own.get("prompts", [])),
    )


def _vocabulary(name: str, kinds: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(kinds, dict):
        raise SettingError(f"{name} must be lists of words by their kinds, got {kinds!r}")
    return {kind: _texts(f"{name}.{kind}", words) for kind, words in kinds.items()}


def _texts(name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise SettingError(f"{name} must be a list of texts, got {values!r}")
    for number, value in enumerate(values):
        check_text(f"{name}[{number}]", value, optional=False)
    return tuple(values)
