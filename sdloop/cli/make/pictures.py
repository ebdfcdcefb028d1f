"""Make pictures and write them: Recipes → model → loop → files; all commands use this."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.planned import Planned
from sdloop.batch.unfinished import was_printed
from sdloop.cli.make.json_line import json_line
from sdloop.cli.make.model import loaded
from sdloop.cli.make.step_files import StepFiles
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.terminal.notices import tell_stop
from sdloop.cli.terminal.output import emit
from sdloop.cli.terminal.preview import Preview
from sdloop.cli.terminal.progress import Progress
from sdloop.images.input.read import OpenImage
from sdloop.models.checkpoint.value import ModelNames
from sdloop.pipeline.model_names import model_of
from sdloop.worker.inside import HOST
from sdloop.worker.messages import Carried

if TYPE_CHECKING:
    from sdloop.pipeline.picture import Picture


def make_pictures(
    plan: Sequence[Planned],
    command: CommandSettings,
    options: OutputOptions,
    open_image: OpenImage,
) -> list[Path]:
    """Make the pictures, and print the path or the JSON of each when its file is written.

    Returns their paths, in the order of the plan.
    """
    paths = {id(planned): planned.made for planned in plan if planned.made is not None}
    for path in paths.values():
        if not was_printed(path):
            _tell(json.dumps({"path": str(path)}) if options.json else str(path), path)
    missing = [planned for planned in plan if planned.made is None]
    for planned, picture in each_picture(missing, command, options, open_image):
        path = picture.write(planned.path, metadata=command.metadata, exists=planned.exists)
        paths[id(planned)] = path
        _tell(json_line(picture, path) if options.json else str(path), path)
    return [paths[id(planned)] for planned in plan if id(planned) in paths]


def _tell(line: str, path: Path) -> None:
    """Print a finished picture, and remember that: a new worker must not print it again."""
    emit(line)
    HOST.get().carry(Carried(path=str(path)))


def each_picture(
    plan: Sequence[Planned],
    command: CommandSettings,
    options: OutputOptions,
    open_image: OpenImage,
) -> "Iterator[tuple[Planned, Picture]]":
    """Yield each picture when it is finished, before it is written."""
    # One model at a time, even if the lines of a prompt file alternate between two.
    groups: dict[ModelNames, list[Planned]] = {}
    for one in plan:
        groups.setdefault(model_of(one.recipe), []).append(one)
    step_files = StepFiles(plan, command, options)
    preview = Preview(options)
    with Progress(pictures=len(plan), quiet=options.quiet) as progress:
        for group in groups.values():
            for planned, picture in _make(
                group, command, open_image, progress, step_files, preview
            ):
                if not options.quiet:
                    tell_stop(picture)
                yield planned, picture


def _make(
    group: Sequence[Planned],
    command: CommandSettings,
    open_image: OpenImage,
    progress: Progress,
    step_files: StepFiles,
    preview: Preview,
) -> "Iterator[tuple[Planned, Picture]]":
    """Make the pictures of one model."""
    from sdloop.pipeline.generate import stream_resolved
    from sdloop.pipeline.loaded_model import loaded_model
    from sdloop.pipeline.picture import Picture

    checkpoint = group[0].checkpoint
    progress.loading(checkpoint.name)
    recipes = [planned.recipe for planned in group]
    components = loaded(checkpoint, command, recipes)
    preview.new_model()
    # Pictures come in order, so each one belongs to the next planned picture.
    finished = 0
    events = stream_resolved(
        loaded_model(components), recipes, batch_size=command.batch_size, open_image=open_image
    )
    for event in events:
        if not isinstance(event, Picture):
            progress.step(event, preview.picture(event, components.vae))
            pictures = group[finished : finished + len(event.latents)]
            step_files.save(event, pictures, components)
            continue
        planned = group[finished]
        finished += 1
        progress.picture()
        yield planned, event
