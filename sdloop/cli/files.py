"""Which file each picture of a command becomes, all of them known."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.names import Naming, path_of
from sdloop.batch.prompts import blaming
from sdloop.batch.wanted import Wanted
from sdloop.errors import SettingError
from sdloop.metadata.atomic import Exists
from sdloop.metadata.names import numbered
from sdloop.recipe.recipe import Recipe


def name_pictures(
    wanted: Sequence[Wanted], recipes: Sequence[Recipe], command: CommandSettings
) -> list[Path]:
    """The file of each picture; ``recipes`` are the resolved ones, whose values the names show.

    Raises ``SettingError`` for a template that gives two pictures one name.
    """
    naming = naming_of(command)
    taken: dict[Path, int] = {}
    paths = []
    for index, (one, recipe) in enumerate(zip(wanted, recipes, strict=True)):
        with blaming(one.where):
            path = path_of(recipe, index, naming, own=one.output, usual=one.name, file=one.file)
        if path in taken:
            if is_named(one.output, command):
                raise SettingError(
                    f"output must name each picture differently, and {str(path)!r} would be "
                    f"picture {taken[path] + 1} and {index + 1}: use {{seed}} or {{index}} in it"
                )
            path = _free(path, taken)
        taken[path] = index
        paths.append(path)
    return paths


def naming_of(command: CommandSettings) -> Naming:
    return Naming(output=command.output, outdir=command.outdir, format=command.format)


def is_named(own: str | None, command: CommandSettings) -> bool:
    """Whether somebody chose this picture's name, so that it must be that one or none."""
    return own is not None or command.output is not None


def exists_rule(own: str | None, command: CommandSettings, *, overwrite: bool) -> Exists:
    """What to do about a file of that name: names that we chose step aside.

    ``own`` is the name that stood beside the prompt.
    """
    if overwrite:
        return "overwrite"
    return "fail" if is_named(own, command) else "number"


def _free(path: Path, taken: Mapping[Path, int]) -> Path:
    return next(
        candidate
        for candidate in (numbered(path, number) for number in itertools.count(2))
        if candidate not in taken
    )
