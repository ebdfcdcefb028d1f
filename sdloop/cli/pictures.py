"""The pipe that every command making pictures ends in: Recipes → model → loop → files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sdloop.atomic import Exists
from sdloop.cli.files import exists_rule, name_pictures
from sdloop.cli.made import circumstances, json_line
from sdloop.cli.options import OutputOptions
from sdloop.cli.progress import Progress
from sdloop.cli.recipes import Wanted, blaming
from sdloop.cli.screen import emit
from sdloop.cli.settings import CommandSettings
from sdloop.png import Metadata, check_output, write_picture
from sdloop.recipe import Recipe

if TYPE_CHECKING:
    from sdloop.checkpoint import Checkpoint

_ModelNames = tuple[str, str | None, str | None, str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A picture to make: its Recipe is resolved and the name of its file is known."""

    recipe: Recipe
    checkpoint: "Checkpoint"
    path: Path
    exists: Exists


def make_pictures(
    wanted: Sequence[Wanted], command: CommandSettings, options: OutputOptions
) -> None:
    """Make the pictures, and print the path of each, or its JSON, when it is on the disk.

    All that can be refused is refused before torch is imported and the first model loaded.
    """
    plan = plan_pictures(wanted, command, overwrite=options.overwrite)
    if options.dry_run:
        for one, planned in zip(wanted, plan, strict=True):
            emit(_recipe_line(planned.recipe, one.output))
        return
    for planned in plan:
        check_output(
            planned.path, planned.recipe, metadata=_metadata(command), exists=planned.exists
        )
    # One model at a time, even where the lines of a file alternate between two.
    groups: dict[_ModelNames, list[Planned]] = {}
    for planned in plan:
        groups.setdefault(_model_of(planned.recipe), []).append(planned)
    with Progress(pictures=len(plan), quiet=options.quiet) as progress:
        for group in groups.values():
            _make(group, command, options, progress)


def plan_pictures(
    wanted: Sequence[Wanted], command: CommandSettings, *, overwrite: bool
) -> list[Planned]:
    """Resolve each Recipe against its model, which is found but not loaded, and name its file."""
    from sdloop.checkpoint import find_checkpoint

    found: dict[_ModelNames, Checkpoint] = {}
    recipes = []
    for one in wanted:
        names = model, revision, variant, vae = _model_of(one.recipe)
        with blaming(one.where):
            if names not in found:
                found[names] = find_checkpoint(model, revision=revision, variant=variant, vae=vae)
            recipes.append(one.recipe.resolved(found[names]))
    return [
        Planned(
            recipe=recipe,
            checkpoint=found[_model_of(recipe)],
            path=path,
            exists=exists_rule(one, command, overwrite=overwrite),
        )
        for one, recipe, path in zip(
            wanted, recipes, name_pictures(wanted, recipes, command), strict=True
        )
    ]


def _make(
    group: Sequence[Planned], command: CommandSettings, options: OutputOptions, progress: Progress
) -> None:
    """Make the pictures of one model."""
    from sdloop.components import load_components
    from sdloop.generate import Picture, stream

    checkpoint = group[0].checkpoint
    progress.loading(checkpoint.name)
    components = load_components(checkpoint, device=command.device, dtype=command.dtype)
    # stream() keeps the order, so the next picture is that of the next plan.
    plans = iter(group)
    recipes = [planned.recipe for planned in group]
    for event in stream(components, recipes, batch_size=command.batch_size):
        if not isinstance(event, Picture):
            progress.step(event)
            continue
        planned = next(plans)
        made = circumstances(event, components, checkpoint)
        path = write_picture(
            event.image,
            planned.path,
            recipe=event.recipe,
            made=made,
            metadata=_metadata(command),
            exists=planned.exists,
        )
        progress.picture()
        emit(json_line(event, path, made) if options.json else str(path))


def _model_of(recipe: Recipe) -> _ModelNames:
    return recipe.model, recipe.revision, recipe.variant, recipe.vae


def _metadata(command: CommandSettings) -> Metadata:
    return cast(Metadata, command.metadata)  # checked when the settings were made


def _recipe_line(recipe: Recipe, output: str | None) -> str:
    """What ``--from-file`` reads as this very picture."""
    values = recipe.to_dict() if output is None else {**recipe.to_dict(), "output": output}
    return json.dumps(values, ensure_ascii=False)
