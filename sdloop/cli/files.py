"""Which file each picture becomes."""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdloop.cli.recipes import Wanted, blaming
from sdloop.cli.settings import CommandSettings
from sdloop.errors import SettingError
from sdloop.png import format_of
from sdloop.png.atomic import Exists
from sdloop.png.names import DEFAULT_NAME, ENLARGED_NAME, check_inside, expand_name, numbered
from sdloop.recipe import Recipe


def name_pictures(
    wanted: Sequence[Wanted], recipes: Sequence[Recipe], command: CommandSettings
) -> list[Path]:
    """The file of each picture; ``recipes`` are the resolved ones, whose values the names show.

    Raises ``SettingError`` for a template that gives two pictures one name.
    """
    taken: dict[Path, int] = {}
    paths = []
    for index, (one, recipe) in enumerate(zip(wanted, recipes, strict=True)):
        with blaming(one.where):
            path = _path(one, recipe, index, command)
        if path in taken:
            if is_named(one, command):
                raise SettingError(
                    f"output must name each picture differently, and {str(path)!r} would be "
                    f"picture {taken[path] + 1} and {index + 1}: use {{seed}} or {{index}} in it"
                )
            path = _free(path, taken)
        taken[path] = index
        paths.append(path)
    return paths


def is_named(one: Wanted, command: CommandSettings) -> bool:
    """Whether somebody chose this picture's name, so that it must be that one or none."""
    return one.output is not None or command.output is not None


def exists_rule(one: Wanted, command: CommandSettings, *, overwrite: bool) -> Exists:
    """What to do about a file of that name: names that we chose step aside."""
    if overwrite:
        return "overwrite"
    return "fail" if is_named(one, command) else "number"


def _path(one: Wanted, recipe: Recipe, index: int, command: CommandSettings) -> Path:
    folder = home(command.outdir) if command.outdir is not None else Path()
    chosen = one.output if one.output is not None else command.output
    if chosen is None:
        template = DEFAULT_NAME
        if recipe.image is not None:
            template = ENLARGED_NAME if recipe.scale else f"{{image:.40}}-{DEFAULT_NAME}"
        name = expand_name(template, recipe, index=index)
        return folder / Path(name).with_suffix(f".{command.format or 'png'}")
    name = expand_name(chosen, recipe, index=index)
    # Path.is_dir() would raise for a name that is too long.
    if name.endswith("/") or os.path.isdir(name):  # noqa: PTH112
        raise SettingError(f"output must name a file, got the folder {name!r}: use --outdir for it")
    if one.output is not None or command.outdir is not None:
        check_inside(name)
    return folder / _suffixed(home(name), None if one.output is not None else command.format)


def _suffixed(path: Path, format: str | None) -> Path:
    """``path`` with the suffix of the format, where it has none of its own."""
    if not path.suffix:
        return path.with_name(f"{path.name}.{format or 'png'}")
    if format is not None and format_of(path) != format_of(Path(f"x.{format}")):
        raise SettingError(f"output must agree with format {format}, got {str(path)!r}")
    return path


def home(name: str) -> Path:
    """Shells know what ``~/`` is, but nobody asks them about the names in a settings file."""
    return Path(name).expanduser() if name.startswith("~/") else Path(name)


def _free(path: Path, taken: Mapping[Path, int]) -> Path:
    return next(
        candidate
        for candidate in (numbered(path, number) for number in itertools.count(2))
        if candidate not in taken
    )
