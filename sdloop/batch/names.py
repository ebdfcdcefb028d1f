"""Choose the file name of each picture."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.prompts import Prompt
from sdloop.errors import SettingError
from sdloop.metadata.atomic import Exists
from sdloop.metadata.names import DEFAULT_NAME, ENLARGED_NAME, check_inside, expand_name
from sdloop.metadata.picture import format_of
from sdloop.places.path import StorePath, location
from sdloop.recipe.fields import ROWS
from sdloop.recipe.kinds import Number
from sdloop.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """How a command names its pictures: a file name or template, a folder and a format.

    The default name also contains the ``swept`` settings. With ``distinct``, a name that the user
    chose may be that of only one picture; otherwise the next one gets a number, as with the default
    name.
    """

    output: str | None = None
    outdir: str | None = None
    format: str | None = None
    swept: tuple[str, ...] = ()
    distinct: bool = False

    @classmethod
    def of(
        cls, command: CommandSettings, *, swept: tuple[str, ...] = (), distinct: bool = False
    ) -> Self:
        output, outdir, format = command.output, command.outdir, command.format
        return cls(output=output, outdir=outdir, format=format, swept=swept, distinct=distinct)

    def is_chosen(self, own: str | None) -> bool:
        """Whether the user chose a picture's exact name; ``own`` is the one in its line, if any."""
        return own is not None or self.output is not None

    def exists(self, own: str | None, *, overwrite: bool) -> Exists:
        """What to do if the file exists: a default name gets a number."""
        if overwrite:
            return "overwrite"
        return "fail" if self.is_chosen(own) else "number"


def path_of(recipe: Recipe, index: int, naming: Naming, prompt: Prompt) -> Path:
    """The file of the ``index``-th resolved Recipe.

    Raises ``SettingError`` for a template that is invalid, names a folder or a file outside, or
    contradicts the format.
    """
    own = prompt.output
    if own is not None and prompt.key is not None:
        return _printed_path(own, naming.outdir)
    folder = location(naming.outdir) if naming.outdir is not None else Path()
    chosen = own if own is not None else naming.output
    if chosen is None:
        template = _usual(recipe, naming.swept) if prompt.name is None else prompt.name
        path = folder / expand_name(template, recipe, index=index, file=prompt.file)
        return path if naming.format is None else path.with_suffix(f".{naming.format}")
    name = expand_name(chosen, recipe, index=index, file=prompt.file)
    # Path.is_dir() would raise for a name that is too long.
    if name.endswith("/") or os.path.isdir(name):  # noqa: PTH112
        raise SettingError(f"output must name a file, got the folder {name!r}: use --outdir for it")
    if own is not None or naming.outdir is not None:
        check_inside(name)
    path = _suffixed(location(name), None if own is not None else naming.format)
    return path if isinstance(path, StorePath) else folder / path


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


def _printed_path(output: str, outdir: str | None) -> Path:
    """The file that a line of a plan names, as it stands there; see ``lines.output_of``."""
    path, within = location(output), location("" if outdir is None else outdir)
    stored = isinstance(within, StorePath)
    folder = str(within) if stored else os.path.abspath(within)  # noqa: PTH100
    if path.is_absolute() and ".." not in path.parts and path.is_relative_to(folder):
        return path
    if not output or output.endswith("/"):
        raise SettingError(f"output must name a file, got {output!r}")
    if path.is_absolute():
        raise SettingError(f"output must be in {folder!r}, or its folder --outdir, got {output!r}")
    return within / check_inside(output)
