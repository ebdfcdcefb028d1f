"""What the inspect commands share: a Recipe from flags, its model, and saving the sheet."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.animation.write import check_moving
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.loras import with_loras, without_other_tags
from sdloop.batch.seeds import random_seed
from sdloop.batch.settings import Settings
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.make.model import loaded
from sdloop.cli.options.sheet import SheetOptions
from sdloop.cli.terminal.output import emit, say
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.metadata.atomic import Exists, check_writable, write_whole
from sdloop.metadata.sheets import sheet_png
from sdloop.pipeline.resolve import Resolver
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_local

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdloop.models.components.load import Components


def sheet_path(options: SheetOptions, default: str, *, moving: tuple[str, ...] = ()) -> Path:
    """The path of the sheet; raises an error now if it could not be written later.

    ``moving`` are the suffixes for which the command makes an animation instead of a sheet.
    """
    if options.output == "-":
        raise SettingError(
            "output must be a file name, because the paths are printed to standard output, got '-'"
        )
    check_local("output", options.output)
    path = Path(default if options.output is None else options.output)
    suffix = path.suffix.lower()
    if suffix in moving:
        check_moving(path, exists=exists(options))
        return path
    if suffix != ".png":
        others = f", or in {', '.join(moving)} for an animation" if moving else ""
        raise SettingError(f"output must end in .png for a sheet{others}, got {path.name!r}")
    check_writable(path, exists=exists(options))
    return path


def write_sheet(
    image: "Image", path: Path, options: SheetOptions, pictures: Sequence[Path] = ()
) -> None:
    """Write the sheet, which shows these ``pictures``, and print its path."""
    write_whole(path, sheet_png(image, pictures), exists=exists(options))
    emit(str(path))


def write_plain(image: "Image", path: Path, options: SheetOptions) -> None:
    """Write a picture that other commands can use, without any text in it, and print its path."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_whole(path, buffer.getvalue(), exists=exists(options))
    emit(str(path))


def exists(options: SheetOptions) -> Exists:
    return "overwrite" if options.overwrite else "fail"


def settings_and_fields(
    flags: Mapping[str, Any], *, seed: int | None, quiet: bool
) -> tuple[Settings, dict[str, Any]]:
    """The flags merged over the user's settings, and the Recipe's fields with the seed."""
    settings = Settings.of(flags).over(standing_settings(None))
    if seed is None:
        seed = random_seed(1)
        if not quiet:
            say(f"seed {seed}, chosen at random")
    fields = with_loras(without_other_tags(settings.recipe), settings.command.get("lora_dir"))
    return settings, {**fields, "seed": seed}


def of_the_model_alone(fields: Mapping[str, Any]) -> Recipe:
    """The Recipe of ``fields``; raises ``SettingError`` for what would change the model itself."""
    recipe = Recipe.from_dict(fields)
    for name in ("loras", "image_prompts"):
        if value := getattr(recipe, name):
            raise SettingError.of(
                name, f"must not be set here, where the model itself is shown, got {value[0]}"
            )
    return recipe


def ready(recipe: Recipe, settings: Settings) -> "tuple[Components, Recipe]":
    """The loaded model of a Recipe, and the Recipe, which is resolved before loading."""
    resolved = Resolver(image_opener())(recipe)
    command = CommandSettings(**settings.command)
    components = loaded(resolved.checkpoint, command, [resolved.recipe])
    return components, resolved.recipe
