"""The pipe that every command making pictures ends in: Recipes → model → loop → files."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sdloop.cli.files import exists_rule, name_pictures
from sdloop.cli.made import circumstances, json_line
from sdloop.cli.options import OutputOptions
from sdloop.cli.progress import Progress
from sdloop.cli.recipes import Wanted, blaming
from sdloop.cli.screen import emit
from sdloop.cli.settings import CommandSettings
from sdloop.png import Metadata, check_output, write_picture
from sdloop.png.atomic import Exists
from sdloop.recipe import Recipe

if TYPE_CHECKING:
    from sdloop.checkpoint import Checkpoint
    from sdloop.components import Components

# Weights of a UNet that one thread runs best: the embedded one has 5 million, SD1's 860.
_SMALL = 50_000_000

_ModelNames = tuple[str, str | None, str | None, str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A picture to make: its Recipe is resolved, and its file is known and can be written.

    ``output`` is the name or template for it that stood in a prompt file.
    """

    recipe: Recipe
    checkpoint: "Checkpoint"
    path: Path
    exists: Exists
    output: str | None


def plan_pictures(
    wanted: Sequence[Wanted], command: CommandSettings, options: OutputOptions
) -> list[Planned]:
    """Resolve each Recipe against its model, which is found but not loaded, and name its file.

    All that can be refused is refused here, before torch is imported.
    """
    if options.quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read when the hub's library is imported
    checkpoints = _find_checkpoints(wanted, may_fetch=not options.dry_run)
    recipes = []
    for one in wanted:
        with blaming(one.where):
            recipes.append(one.recipe.resolved(checkpoints[_model_of(one.recipe)]))
    paths = name_pictures(wanted, recipes, command)
    plan = [
        Planned(
            recipe=recipe,
            checkpoint=checkpoints[_model_of(recipe)],
            path=path,
            exists=exists_rule(one, command, overwrite=options.overwrite),
            output=one.output,
        )
        for one, recipe, path in zip(wanted, recipes, paths, strict=True)
    ]
    if not options.dry_run:
        metadata = _metadata(command)
        for one, planned in zip(wanted, plan, strict=True):
            with blaming(one.where):
                check_output(planned.path, planned.recipe, metadata=metadata, exists=planned.exists)
    return plan


def print_recipes(plan: Sequence[Planned]) -> None:
    """Print the plan as ``--from-file`` takes it: a Recipe in JSON per line."""
    for one in plan:
        values = one.recipe.to_dict() | ({} if one.output is None else {"output": one.output})
        emit(json.dumps(values, ensure_ascii=False))


def make_pictures(
    plan: Sequence[Planned], command: CommandSettings, options: OutputOptions
) -> None:
    """Make the pictures, and print the path of each, or its JSON, when it is on the disk."""
    # One model at a time, even where the lines of a file alternate between two.
    groups: dict[_ModelNames, list[Planned]] = {}
    for one in plan:
        groups.setdefault(_model_of(one.recipe), []).append(one)
    with Progress(pictures=len(plan), quiet=options.quiet) as progress:
        for group in groups.values():
            _make(group, command, options, progress)


def _find_checkpoints(
    wanted: Sequence[Wanted], *, may_fetch: bool
) -> "dict[_ModelNames, Checkpoint]":
    from sdloop.checkpoint import find_checkpoint

    found: dict[_ModelNames, Checkpoint] = {}
    for one in wanted:
        names = model, revision, variant, vae = _model_of(one.recipe)
        if names not in found:
            with blaming(one.where):
                found[names] = find_checkpoint(
                    model, revision=revision, variant=variant, vae=vae, may_fetch=may_fetch
                )
    return found


def _make(
    group: Sequence[Planned], command: CommandSettings, options: OutputOptions, progress: Progress
) -> None:
    """Make the pictures of one model."""
    from sdloop.checkpoint import weight_hashes
    from sdloop.components import load_components
    from sdloop.conductor import Picture, stream

    checkpoint = group[0].checkpoint
    progress.loading(checkpoint.name)
    components = load_components(checkpoint, device=command.device, dtype=command.dtype)
    _settle_threads(components)
    weights = weight_hashes(checkpoint)
    # stream() keeps the order, so the next picture is that of the next plan.
    plans = iter(group)
    recipes = [planned.recipe for planned in group]
    for event in stream(components, recipes, batch_size=command.batch_size):
        if not isinstance(event, Picture):
            progress.step(event)
            continue
        planned = next(plans)
        made = circumstances(event, components, checkpoint, weights)
        written = write_picture(
            event.image,
            planned.path,
            recipe=event.recipe,
            made=made,
            metadata=_metadata(command),
            exists=planned.exists,
        )
        # A name is printed as it was typed, even where it is a link to the file.
        path = written if planned.exists == "number" else planned.path
        progress.picture()
        emit(json_line(event, path, made) if options.json else str(path))


def _settle_threads(components: "Components") -> None:
    """Run a small model on one thread, unless ``OMP_NUM_THREADS`` says how many.

    Below some size threads wait for each other longer than they work, on a busy machine many times
    longer; and with one, a seed's last bits do not depend on how many cores a machine has.
    """
    import torch

    size = sum(weights.numel() for weights in components.unet.parameters())
    if components.device.type == "cpu" and size < _SMALL and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def _model_of(recipe: Recipe) -> _ModelNames:
    return recipe.model, recipe.revision, recipe.variant, recipe.vae


def _metadata(command: CommandSettings) -> Metadata:
    return cast(Metadata, command.metadata)  # checked when the settings were made
