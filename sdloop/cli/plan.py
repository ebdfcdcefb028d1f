"""From what was asked for to a plan: resolved Recipes, models that are there, files to write."""

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdloop.batch import ModelNames, Planned, model_of
from sdloop.cli.files import exists_rule, name_pictures
from sdloop.cli.loras import lora_files, lora_finder
from sdloop.cli.output_options import OutputOptions
from sdloop.cli.recipes import Wanted, blaming
from sdloop.cli.screen import emit, say
from sdloop.cli.settings import CommandSettings
from sdloop.cli.unfinished import made_before
from sdloop.inputs import InputFacts, InputImage, OpenImage
from sdloop.png import check_output
from sdloop.recipe import Recipe, facts_of

if TYPE_CHECKING:
    from sdloop.checkpoint import Checkpoint


def plan_pictures(
    wanted: Sequence[Wanted],
    command: CommandSettings,
    options: OutputOptions,
    open_image: OpenImage,
    *,
    check: bool = True,
) -> list[Planned]:
    """Resolve each Recipe against its model, which is found but not loaded, and name its file.

    All that can be refused is refused here, before torch is imported; without ``check``, which
    asks whether each file can be written, that is left to who writes it.
    """
    if options.quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read when the hub's library is imported
    pictures = _look_at_pictures(wanted, open_image, quiet=options.quiet)
    find_lora = lora_finder(may_fetch=not options.dry_run)
    checkpoints = _find_checkpoints(wanted, may_fetch=not options.dry_run)
    recipes, files = [], []
    for one in wanted:
        with blaming(one.where):
            model = checkpoints[model_of(one.recipe)]
            files.append(lora_files(one.recipe, model, find_lora))
            facts, hashes = pictures[_files(one.recipe)], {f.name: f.sha256 for f in files[-1]}
            recipes.append(one.recipe.resolved(model, facts, lora_hashes=hashes))
    paths = name_pictures(wanted, recipes, command)
    plan = [
        Planned(
            recipe=recipe,
            picture=pictures[_files(one.recipe)],
            checkpoint=checkpoints[model_of(recipe)],
            path=path,
            exists=exists_rule(one, command, overwrite=options.overwrite),
            output=one.output,
            loras=loras,
            made=made_before(path, recipe),
        )
        for one, recipe, path, loras in zip(wanted, recipes, paths, files, strict=True)
    ]
    if check and not options.dry_run:
        for one, planned in zip(wanted, plan, strict=True):
            if planned.made is not None:
                continue
            with blaming(one.where):
                check_output(
                    planned.path,
                    planned.recipe,
                    metadata=command.metadata,
                    exists=planned.exists,
                )
    return plan


def print_recipes(plan: Sequence[Planned]) -> None:
    """Print the plan as ``--from-file`` takes it: a Recipe in JSON per line."""
    for one in plan:
        values = one.recipe.to_dict() | ({} if one.output is None else {"output": one.output})
        emit(json.dumps(values, ensure_ascii=False))


Files = tuple[str | None, str | None, float | None, bool]


def _look_at_pictures(
    wanted: Sequence[Wanted], open_image: OpenImage, *, quiet: bool
) -> dict[Files, InputFacts | None]:
    """Read each picture that is started from, before a model is fetched: it may be no picture."""
    found: dict[Files, InputFacts | None] = {}
    told: set[str] = set()

    def opened(name: str) -> InputImage:
        picture = open_image(name)
        if picture.animated and name not in told and not quiet:
            say(f"{picture.name} moves: its first frame is taken")
        told.add(name)
        return picture

    for one in wanted:
        files = _files(one.recipe)
        if files in found:
            continue
        with blaming(one.where):
            found[files] = facts_of(one.recipe, opened)
    return found


def _files(recipe: Recipe) -> Files:
    """What decides how the files that a Recipe names are looked at."""
    return recipe.image, recipe.mask, recipe.mask_blur, recipe.invert_mask


def _find_checkpoints(
    wanted: Sequence[Wanted], *, may_fetch: bool
) -> "dict[ModelNames, Checkpoint]":
    from sdloop.checkpoint import find_checkpoint

    found: dict[ModelNames, Checkpoint] = {}
    for one in wanted:
        names = model, revision, variant, vae = model_of(one.recipe)
        if names not in found:
            with blaming(one.where):
                found[names] = find_checkpoint(
                    model, revision=revision, variant=variant, vae=vae, may_fetch=may_fetch
                )
    return found
