"""Choose the file name of each picture."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.prompts import blaming
from sdloop.batch.text_input import home
from sdloop.batch.wanted import Wanted
from sdloop.errors import SettingError
from sdloop.metadata.atomic import Exists
from sdloop.metadata.names import DEFAULT_NAME, ENLARGED_NAME, check_inside, expand_name, numbered
from sdloop.metadata.picture import format_of
from sdloop.recipe.fields import ROWS
from sdloop.recipe.kinds import Number
from sdloop.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """How a command names its pictures: a file name or template, a folder and a format.

    The default name also contains the ``swept`` settings.
    """

    output: str | None = None
    outdir: str | None = None
    format: str | None = None
    swept: tuple[str, ...] = ()


def path_of(
    recipe: Recipe,
    index: int,
    naming: Naming,
    *,
    own: str | None,
    usual: str | None = None,
    file: str | None = None,
) -> Path:
    """The file of the ``index``-th resolved Recipe; ``own`` is the name in its prompt's line.

    ``usual`` is the default template, and ``file`` the picture that this one remakes, if any.

    Raises ``SettingError`` for a template that is invalid, names a folder or a file outside, or
    contradicts the format.
    """
    folder = home(naming.outdir) if naming.outdir is not None else Path()
    chosen = own if own is not None else naming.output
    if chosen is None:
        template = _usual(recipe, naming.swept) if usual is None else usual
        path = folder / expand_name(template, recipe, index=index, file=file)
        return path if naming.format is None else path.with_suffix(f".{naming.format}")
    name = expand_name(chosen, recipe, index=index, file=file)
    # Path.is_dir() would raise for a name that is too long.
    if name.endswith("/") or os.path.isdir(name):  # noqa: PTH112
        raise SettingError(f"output must name a file, got the folder {name!r}: use --outdir for it")
    if own is not None or naming.outdir is not None:
        check_inside(name)
    return folder / _suffixed(home(name), None if own is not None else naming.format)


def _usual(recipe: Recipe, swept: tuple[str, ...]) -> str:
    template = DEFAULT_NAME
    if recipe.image is not None:
        template = ENLARGED_NAME if recipe.factor else f"{{image:.40}}-{DEFAULT_NAME}"
    stem, dot, suffix = template.rpartition(".")
    for name in swept:
        if f"{{{name}" not in template:
            number = isinstance(ROWS[name].kind, Number) and getattr(recipe, name) is not None
            stem += f"-{{{name}:g}}" if number else f"-{{{name}}}"
    return stem + dot + suffix


def _suffixed(path: Path, format: str | None) -> Path:
    """``path`` with the suffix of the format, if it has none."""
    if not path.suffix:
        return path.with_name(f"{path.name}.{format or 'png'}")
    if format is not None and format_of(path) != format_of(Path(f"x.{format}")):
        raise SettingError(f"output must agree with format {format}, got {str(path)!r}")
    return path


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
    """Whether the user chose this picture's exact name."""
    return own is not None or command.output is not None


def exists_rule(own: str | None, command: CommandSettings, *, overwrite: bool) -> Exists:
    """What to do if the file exists: a default name gets a number.

    ``own`` is the name in the prompt's line.
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
