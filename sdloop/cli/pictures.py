"""The pipe that every command making pictures ends in: Recipes → model → loop → files."""

from collections.abc import Sequence

from sdloop.cli.loading import loaded
from sdloop.cli.made import circumstances, json_line
from sdloop.cli.options import OutputOptions
from sdloop.cli.plan import ModelNames, Planned, model_of
from sdloop.cli.progress import Progress
from sdloop.cli.screen import emit
from sdloop.cli.settings import CommandSettings
from sdloop.inputs import OpenImage
from sdloop.png import write_picture


def make_pictures(
    plan: Sequence[Planned],
    command: CommandSettings,
    options: OutputOptions,
    open_image: OpenImage,
) -> None:
    """Make the pictures, and print the path of each, or its JSON, when it is on the disk."""
    # One model at a time, even where the lines of a file alternate between two.
    groups: dict[ModelNames, list[Planned]] = {}
    for one in plan:
        groups.setdefault(model_of(one.recipe), []).append(one)
    with Progress(pictures=len(plan), quiet=options.quiet) as progress:
        for group in groups.values():
            _make(group, command, options, open_image, progress)


def _make(
    group: Sequence[Planned],
    command: CommandSettings,
    options: OutputOptions,
    open_image: OpenImage,
    progress: Progress,
) -> None:
    """Make the pictures of one model."""
    from sdloop.checkpoint import model_hashes
    from sdloop.conductor import Picture, stream

    checkpoint = group[0].checkpoint
    progress.loading(checkpoint.name)
    components = loaded(checkpoint, command)
    weights = model_hashes(checkpoint)
    # stream() keeps the order, so the next picture is that of the next plan.
    plans = iter(group)
    recipes = [planned.recipe for planned in group]
    events = stream(components, recipes, batch_size=command.batch_size, open_image=open_image)
    for event in events:
        if not isinstance(event, Picture):
            progress.step(event)
            continue
        planned = next(plans)
        made = circumstances(event, components, planned, weights)
        written = write_picture(
            event.image,
            planned.path,
            recipe=event.recipe,
            made=made,
            metadata=command.metadata,
            exists=planned.exists,
        )
        # A name is printed as it was typed, even where it is a link to the file.
        path = written if planned.exists == "number" else planned.path
        progress.picture()
        emit(json_line(event, path, made) if options.json else str(path))
