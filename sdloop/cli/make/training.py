"""Teach a model a new word: the work of ``sdloop train-embedding``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.settings import Settings
from sdloop.cli.make.image_files import image_files
from sdloop.cli.make.model import loaded
from sdloop.cli.make.training_progress import training_progress
from sdloop.cli.options.groups import given
from sdloop.cli.options.model import WeightsOptions
from sdloop.cli.options.training import TrainingOptions
from sdloop.cli.terminal.output import emit, say
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.images.input.read import open_image
from sdloop.metadata.atomic import check_writable
from sdloop.rules import check_local, check_whole
from sdloop.training.settings import state_file_of

if TYPE_CHECKING:
    from sdloop.models.components.load import Components
    from sdloop.training.settings import Training

_EXAMPLE = 'sdloop train-embedding pictures/ --token "<my-frog>" --init frog -o my-frog.safetensors'

_TRAINING = ("token", "init", "vectors", "steps", "learning_rate", "batch_size", "seed")


def train(pictures: Sequence[str] | None, training: TrainingOptions, model: WeightsOptions) -> None:
    """Learn a word from the pictures, and print the path of its file."""
    settings = Settings.of(given(model)).over(standing_settings(None))
    output = _output(training)
    names = _files(pictures or [], "pictures")
    held_out = [] if training.held_out is None else _files([training.held_out], "held_out")
    for name in ("sample_every", "save_every"):
        if getattr(training, name) is not None:
            check_whole(name, getattr(training, name), 1, 10**6)
    chosen = _training(training)
    components = _load(settings, quiet=training.quiet)
    path = _run(components, chosen, names, held_out, output, training)
    emit(str(path))


def _training(options: TrainingOptions) -> "Training":
    from sdloop.training.settings import Training

    values = {name: value for name, value in given(options).items() if name in _TRAINING}
    for name in ("token", "init"):
        if name not in values:
            raise SettingError(f"{name} must be given, as in: {_EXAMPLE}")
    if options.templates:
        values["templates"] = tuple(options.templates)
    return Training(**values, flips=not options.no_flips)


def _output(options: TrainingOptions) -> Path:
    if options.output is None:
        raise SettingError(f"output must be given, as in: {_EXAMPLE}")
    check_local("output", options.output)
    output = Path(options.output)
    if output.suffix != ".safetensors":
        raise SettingError(f"output must end in .safetensors, got {options.output!r}")
    if not options.resume:
        for path in (output, state_file_of(output)):
            check_writable(path, exists="overwrite" if options.overwrite else "fail")
    return output


def _files(names: Sequence[str], field: str) -> list[str]:
    if not names:
        raise SettingError(f"{field} must be given, as in: {_EXAMPLE}")
    return image_files(names)


def _load(settings: Settings, *, quiet: bool) -> "Components":
    from sdloop.models.checkpoint.find import find_checkpoint

    recipe, command = settings.recipe, CommandSettings(**settings.command)
    checkpoint = find_checkpoint(
        recipe.get("model", "mini"),
        revision=recipe.get("revision"),
        variant=recipe.get("variant"),
        vae=recipe.get("vae"),
        unet=recipe.get("unet"),
    )
    if not quiet:
        say(f"loading {checkpoint.name}")
    return loaded(checkpoint, command)


def _run(
    components: "Components",
    chosen: "Training",
    names: list[str],
    held_out: list[str],
    output: Path,
    options: TrainingOptions,
) -> Path:
    from sdloop.training.pictures import encoded_pictures
    from sdloop.training.run import TrainingRun

    pictures = encoded_pictures(components, [open_image(name) for name in names])
    others = encoded_pictures(components, [open_image(name) for name in held_out])
    run = TrainingRun(
        components=components,
        training=chosen,
        pictures=pictures,
        held_out=others if held_out else None,
        output=output,
        resume=options.resume,
        save_every=100 if options.save_every is None else options.save_every,
        sample_every=options.sample_every,
        tell=(lambda line: None) if options.quiet else say,
        progress=training_progress(chosen.steps, quiet=options.quiet),
    )
    try:
        return run.run()
    except KeyboardInterrupt:
        if run.began:
            say("stopped before the last step; the result so far is saved, --resume continues")
        raise
