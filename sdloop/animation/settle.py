"""Resolve one Recipe for all frames of an animation, and collect the file's other settings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sdloop.animation.read import Frames
from sdloop.errors import SettingError
from sdloop.images.input.read import InputFacts
from sdloop.models.checkpoint.embedding import find_embedding
from sdloop.prompt.learned.facts import FindEmbedding
from sdloop.recipe.fields_image import GROWTH
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve

USUAL_FPS = 12.0


def frames_recipe(
    model: Defaults,
    frames: Frames,
    recipe: Recipe,
    *,
    carry: float,
    hashes: Mapping[str, str],
    find_embedding: FindEmbedding = find_embedding,
) -> Recipe:
    """Resolve ``recipe`` for all of ``frames``; its ``image`` is the name of the animation.

    Raises ``SettingError`` for a mask, a depth map or ControlNets, outpainting, for frames of
    several sizes without ``resize``, and for a ``carry`` when frames are enlarged. Also raises what
    ``resolve`` raises.
    """
    for name in ("mask", "depth_map", *GROWTH):
        value = getattr(recipe, name)
        if value is not None:
            raise SettingError(f"{name} cannot be used for frames, got {value!r}")
    if len(frames.sizes) > 1 and recipe.resize is None:
        first, second = ("x".join(map(str, size)) for size in frames.sizes[:2])
        raise SettingError(
            f"frames must all have one size unless resize is set, got {first} and {second}"
        )
    for one in (*recipe.controls, *recipe.t2i_adapters):
        raise SettingError.of(one.field, f"cannot be used for frames, which differ, got {one}")
    whole = replace(recipe, image=frames.name, image_sha256=frames.sha256)
    facts = InputFacts(sha256=frames.sha256, size=frames.sizes[0])
    settled = resolve(whole, model, facts, hashes=hashes, find_embedding=find_embedding)
    if carry and settled.factor is not None:
        raise SettingError(
            f"carry must be 0 for enlarged frames, got {carry:g}: with factor {settled.factor:g}, "
            "the results are larger than the input frames"
        )
    return settled


def durations_of(frames: Frames, fps: float | None) -> tuple[float, ...]:
    """The seconds of each frame: from ``fps``, else from the file, else from ``USUAL_FPS``."""
    if fps is None and frames.durations is not None:
        return frames.durations
    return (1 / (USUAL_FPS if fps is None else fps),) * len(frames)


def moving_facts(
    frames: Frames, *, carry: float, durations: Sequence[float], loop: int
) -> dict[str, Any]:
    """The facts of an animation besides its Recipe, for ``sdloop.metadata.record.texts_of``."""
    steady = len(set(durations)) == 1
    return {
        "frames": len(frames),
        "carry": carry,
        "fps": round(len(durations) / sum(durations), 6),
        **({} if steady else {"durations": [round(seconds, 6) for seconds in durations]}),
        "loop": loop,
        "frames_sha256": list(frames.sha256s),
    }
