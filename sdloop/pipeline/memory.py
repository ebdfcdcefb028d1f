"""Choose which weights stay on a GPU, by what a Recipe's run loads."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from sdloop.latents.vae_memory import TILE, WHOLE_PIXELS
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.components.device import make_current, pick_device, pick_dtype
from sdloop.models.components.fit import pick_memory
from sdloop.models.components.load import Components, without_numbers
from sdloop.models.components.predict import Needs, most_of, needs_of
from sdloop.models.components.safety import with_safety_checker
from sdloop.pipeline.demanding import has_losses, most_demanding, needing
from sdloop.pipeline.loaded_model import loaded_model
from sdloop.pipeline.loss_memory import steering_phase
from sdloop.recipe.recipe import Recipe


def memory_for(
    checkpoint: Checkpoint,
    recipes: Iterable[Recipe],
    *,
    device: str,
    dtype: str,
    memory: str,
    safety: str = "off",
) -> str:
    """``memory`` for resolved Recipes; "auto" becomes the first choice that fits all of them.

    All that a run loads counts: LoRAs, ControlNets, T2I-Adapters, an IP-Adapter with its image
    encoder, a refiner, the safety checker, and the gradients of losses. Memory that this process
    has reserved counts as free: the model that it has loaded is this one, or will be dropped.
    """
    place = pick_device(device)
    if memory != "auto" or place.type != "cuda":
        return memory
    make_current(place)
    precision = pick_dtype(dtype, place)
    runs = [
        _Run(
            needing=(*needing(recipe), recipe.final_size),
            path=checkpoint.path,
            dtype=precision,
            fp8=dtype == "fp8",
            safety=safety == "flag",
            checkpoint=checkpoint,
            recipe=recipe,
        )
        for recipe in most_demanding(recipes, lambda one: one)
    ]
    return pick_memory(
        memory,
        checkpoint,
        place,
        precision,
        needs=lambda: most_of(map(_needs_of_run, runs)),
        own=torch.cuda.memory_reserved(place),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """A model and a Recipe; equal to others that need as much memory."""

    needing: tuple[object, ...]
    path: Path
    dtype: torch.dtype
    fp8: bool
    safety: bool
    checkpoint: Checkpoint = field(compare=False)
    recipe: Recipe = field(compare=False)


@lru_cache(maxsize=32)  # a worker's next call often needs the same
def _needs_of_run(run: _Run) -> Needs:
    components = without_numbers(run.checkpoint, run.dtype, fp8=run.fp8)
    return needs_for(components, run.recipe, safety=run.safety)


def needs_for(components: Components, recipe: Recipe, *, safety: bool = False) -> Needs:
    """What a resolved Recipe needs with a model whose ``components`` are on the meta device."""
    model = loaded_model(components)
    whole, _ = model.with_parts(recipe)
    if safety:
        whole = with_safety_checker(whole)
    width, height = recipe.final_size
    small = width * height <= WHOLE_PIXELS
    seen: dict[str, Any] = {
        "size": (width, height) if recipe.tile is None else (recipe.tile, recipe.tile),
        "decoded": (width, height) if small else (TILE, TILE),
        "rows": 2 if recipe.guided else 1,
    }
    needs = needs_of(whole, base=components, **seen)
    if not has_losses(recipe):
        return needs
    exact = recipe.loss_mode == "exact"
    steering = steering_phase(whole, needs.phases["step"], exact=exact, **seen)
    return replace(needs, phases={**needs.phases, "steering": steering})
