"""The plan of a command, and its Recipes on stdout."""

import json
import os
from collections.abc import Sequence

from sdloop.batch.plan_all import plan_pictures
from sdloop.batch.planned import Planned
from sdloop.batch.settings import CommandSettings
from sdloop.batch.wanted import Wanted
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.terminal.output import emit, say
from sdloop.images.input.read import OpenImage
from sdloop.pipeline.resolve import Resolver


def plan_for(
    wanted: Sequence[Wanted],
    command: CommandSettings,
    options: OutputOptions,
    open_image: OpenImage,
    *,
    check: bool = True,
) -> list[Planned]:
    """The plan of a command: see ``plan_pictures``."""
    return plan_pictures(
        wanted,
        resolver(options, open_image),
        command,
        overwrite=options.overwrite,
        check=check and not options.dry_run,
    )


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
