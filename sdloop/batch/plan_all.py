"""Plan a short list of pictures: all are resolved and named before the first is made."""

from collections.abc import Sequence

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.names import exists_rule, name_pictures
from sdloop.batch.planned import Planned
from sdloop.batch.prompts import blaming
from sdloop.batch.unfinished import made_before
from sdloop.batch.wanted import Wanted
from sdloop.metadata.picture import check_output
from sdloop.pipeline.resolve import Resolver


def plan_pictures(
    wanted: Sequence[Wanted],
    resolve: Resolver,
    command: CommandSettings,
    *,
    overwrite: bool = False,
    check: bool = True,
) -> list[Planned]:
    """Resolve each Recipe against its model, which is found but not loaded, and name its file.

    All errors that can be found early are raised here, before torch is imported. ``check`` also
    checks that each file can be written.
    """
    # Pictures before models, which may have to be downloaded.
    for step in (resolve.picture, resolve.checkpoint):
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
            exists=exists_rule(one.output, command, overwrite=overwrite),
            output=one.output,
            loras=each.loras,
            made=made_before(path, each.recipe),
        )
        for one, each, path in zip(wanted, resolved, paths, strict=True)
    ]
    if check:
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
