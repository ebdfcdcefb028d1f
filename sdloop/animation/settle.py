"""One Recipe for all the frames of a clip, and what a file of them says beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sdloop.animation.read import Clip
from sdloop.errors import SettingError
from sdloop.images.input.read import InputFacts
from sdloop.recipe.fields_image import GROWTH
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve

USUAL_FPS = 12.0


def clip_recipe(
    model: Defaults,
    clip: Clip,
    recipe: Recipe,
    *,
    carry: float,
    lora_hashes: Mapping[str, str],
) -> Recipe:
    """``recipe`` resolved for ``clip``, which its ``image`` names: the frames share all of it.

    Raises ``SettingError`` for a mask and for growth, for frames of several sizes unless ``resize``
    says what is done about it, and for a ``carry`` of what is larger than the frames; else what
    ``resolve`` does.
    """
    for name in ("mask", *GROWTH):
        value = getattr(recipe, name)
        if value is not None:
            raise SettingError(f"{name} means nothing for frames, got {value!r}")
    if len(clip.sizes) > 1 and recipe.resize is None:
        first, second = ("x".join(map(str, size)) for size in clip.sizes[:2])
        raise SettingError(
            f"frames must be of one size unless resize is given, got {first} and {second}"
        )
    whole = replace(recipe, image=clip.name, image_sha256=clip.sha256)
    facts = InputFacts(sha256=clip.sha256, size=clip.sizes[0])
    settled = resolve(whole, model, facts, lora_hashes=lora_hashes)
    if carry and settled.factor is not None:
        raise SettingError(
            f"carry must be 0 for frames that are enlarged, got {carry:g}: what they start from is "
            f"smaller than the last result, which factor {settled.factor:g} has made larger"
        )
    return settled


def durations_of(clip: Clip, fps: float | None) -> tuple[float, ...]:
    """The seconds of each frame: at ``fps``, or as they were brought, or at ``USUAL_FPS``."""
    if fps is None and clip.durations is not None:
        return clip.durations
    return (1 / (USUAL_FPS if fps is None else fps),) * len(clip)


def moving_facts(
    clip: Clip, *, carry: float, durations: Sequence[float], loop: int
) -> dict[str, Any]:
    """What decides a file of frames beside its Recipe, for ``sdloop.metadata.record.texts_of``."""
    steady = len(set(durations)) == 1
    return {
        "frames": len(clip),
        "carry": carry,
        "fps": round(len(durations) / sum(durations), 6),
        **({} if steady else {"durations": [round(seconds, 6) for seconds in durations]}),
        "loop": loop,
        "frames_sha256": list(clip.sha256s),
    }
