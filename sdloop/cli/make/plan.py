"""From what was asked for to a plan: resolved Recipes, models that are there, files to write."""

import json
import os
from collections.abc import Sequence

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.planned import Planned
from sdloop.batch.prompts import blaming
from sdloop.batch.resolving import Resolver
from sdloop.batch.unfinished import made_before
from sdloop.batch.wanted import Wanted
from sdloop.cli.files import exists_rule, name_pictures
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.terminal.output import emit, say
from sdloop.images.input.read import OpenImage
from sdloop.metadata.picture import check_output


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
    resolve = resolver(options, open_image)
    # Pictures before models, which may have to be fetched.
    for step in (resolve.look, resolve.checkpoint):
        for one in wanted:
            with blaming(one.where):
                step(one.recipe)
    resolved = []
    for one in wanted:
        with blaming(one.where):
            resolved.append(resolve(one.recipe))
    paths = name_pictures(wanted, [each.recipe for each in resolved], command)
    plan = [
        Planned(
            recipe=each.recipe,
            picture=each.picture,
            checkpoint=each.checkpoint,
            path=path,
            exists=exists_rule(one.output, command, overwrite=options.overwrite),
            output=one.output,
            loras=each.loras,
            made=made_before(path, each.recipe),
        )
        for one, each, path in zip(wanted, resolved, paths, strict=True)
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


def resolver(options: OutputOptions, open_image: OpenImage) -> Resolver:
    """What resolves the Recipes of a command; a dry run fetches nothing."""
    if options.quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read when the hub's library is imported
    tell = (lambda _: None) if options.quiet else say
    return Resolver(open_image, may_fetch=not options.dry_run, tell=tell)


def print_recipes(plan: Sequence[Planned]) -> None:
    """Print the plan as ``--from-file`` takes it: a Recipe in JSON per line."""
    for one in plan:
        values = one.recipe.to_dict() | ({} if one.output is None else {"output": one.output})
        emit(json.dumps(values, ensure_ascii=False))
