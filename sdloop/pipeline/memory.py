"""Choose which weights stay on a GPU, by what a Recipe's run loads."""

from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from sdloop.latents.vae_memory import TILE, WHOLE_PIXELS
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.components.device import make_current, pick_device, pick_dtype
from sdloop.models.components.fit import pick_memory
from sdloop.models.components.load import Components, without_numbers
from sdloop.models.components.predict import Needs, needs_of
from sdloop.models.components.safety import with_safety_checker
from sdloop.pipeline.loaded_model import loaded_model
from sdloop.recipe.batchable import shape_of
from sdloop.recipe.recipe import Recipe


def memory_for(
    checkpoint: Checkpoint,
    recipe: Recipe,
    *,
    device: str,
    dtype: str,
    memory: str,
    safety: str = "off",
) -> str:
    """``memory`` for a resolved Recipe; "auto" becomes the first choice that fits.

    All that its run loads counts: LoRAs, ControlNets, T2I-Adapters, an IP-Adapter with its image
    encoder, a refiner, the safety checker. Memory that this process has reserved counts as free:
    the model that it has loaded is this one, or will be dropped.
    """
    place = pick_device(device)
    if memory != "auto" or place.type != "cuda":
        return memory
    make_current(place)
    precision = pick_dtype(dtype, place)
    run = _Run(
        shape=shape_of(recipe),
        path=checkpoint.path,
        dtype=precision,
        fp8=dtype == "fp8",
        safety=safety == "flag",
        checkpoint=checkpoint,
        recipe=recipe,
    )
    own = torch.cuda.memory_reserved(place)
    needs = partial(_needs_of_run, run)
    return pick_memory(memory, checkpoint, place, precision, needs=needs, own=own)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """A model and a Recipe; equal to others that need as much memory."""

    shape: tuple[Any, ...]
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
    return needs_of(
        whole,
        size=(width, height) if recipe.tile is None else (recipe.tile, recipe.tile),
        decoded=(width, height) if small else (TILE, TILE),
        rows=2 if recipe.guided else 1,
        base=components,
    )
