"""Make file names from templates: ``{prompt:.30}-{seed}.png`` with the values of a Recipe.

The text around the fields does not change; it may contain folders. The values do change: a prompt
can contain slashes, dots, newlines and thousands of characters, so every value is converted to a
plain part of one file name.
"""

import difflib
import os
import re
import string
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.recipe import FIELDS, Recipe
from sdloop.rules import check_local

DEFAULT_NAME = "{prompt:.50}-{seed}.png"
ENLARGED_NAME = "{image:.40}-{factor:g}x-{seed}.png"

# File systems count bytes, not characters. 8 bytes are reserved for the number of ``numbered``.
_MAX_BYTES = 255
_VALUE_MAX_BYTES = _MAX_BYTES - 8

_NAMES = (*FIELDS, "index")
_PLAIN_ASCII = frozenset(string.ascii_letters + string.digits + "._+=-")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")  # by Windows


@dataclass(frozen=True, slots=True)
class _Piece:
    """Fixed text of a template, or with a ``field`` the format of its value."""

    text: str
    field: str | None = None


def expand_name(template: str, recipe: Recipe, *, index: int = 0, file: str | None = None) -> str:
    """Fill in ``template`` for this Recipe, the ``index``-th picture of its run.

    The fields are those of the Recipe and ``index``, with Python's format specs; ``{{`` is a brace.
    ``image`` is the name of the input picture without folder and suffix. ``file``, for a picture
    made from the settings of another file, is the name of that file, also without both.
    A value without any valid character becomes ``_``. If a name is longer than file systems allow,
    the longest value is shortened, so that seed and suffix remain.

    Raises ``SettingError`` for an invalid template, an unknown field, and fixed text that is too
    long.

    >>> expand_name("out/{seed:05d}-{prompt:.30}.png", Recipe(prompt="frogs / stilts", seed=4))
    'out/00004-frogs-stilts.png'
    """
    filled = []
    for component in _components(template, file is not None):
        texts = [
            piece.text
            if piece.field is None
            else _formatted(template, piece, _value(recipe, piece.field, index, file))
            for piece in component
        ]
        filled.append(_fitted(component, texts, template))
    return "".join(filled)


def check_inside(name: str) -> str:
    """Return ``name`` if it stays inside the output folder; for names that come from files.

    Raises ``SettingError`` for an absolute path, an address, and ``..``.

    >>> check_inside("a/b.png")
    'a/b.png'
    """
    check_local("output", name)
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        raise SettingError(f"a file name must stay inside the output folder, got {name!r}")
    return name


def numbered(path: Path, number: int) -> Path:
    """The ``number``-th name for a picture ``path``; the first is ``path`` itself.

    >>> numbered(Path("out/frog.png"), 2).as_posix()
    'out/frog-2.png'
    """
    if number == 1:
        return path
    ending = f"-{number}{path.suffix}"
    return path.with_name(_cut(path.stem, _MAX_BYTES - len(os.fsencode(ending))) + ending)


def plain(text: str, letters: int) -> str:
    """The first ``letters`` characters of ``text``, as a plain part of a file name.

    >>> plain("a {red|green} frog", 12)
    'a-red-green'
    """
    return _plain(text[:letters])


@lru_cache(maxsize=64)
def _components(template: str, is_after: bool) -> list[list[_Piece]]:
    """The folders and the file of a checked template; every component but the last ends in "/"."""
    _check_text(template)
    components: list[list[_Piece]] = [[]]
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise SettingError(f"the name template {template!r} is invalid: {error}") from error
    for literal, field, spec, conversion in parsed:
        first, *others = re.split(r"(?<=/)", literal)
        components[-1].append(_Piece(first))
        components += [[_Piece(text)] for text in others]
        if field is not None:
            _check_field(template, field, spec or "", conversion, is_after=is_after)
            components[-1].append(_Piece(spec or "", field))
    return components


def _value(recipe: Recipe, field: str, index: int, file: str | None) -> Any:
    if field == "index":
        return index
    if field == "file":
        return PurePath(file or "").stem
    if field == "image" and recipe.image is not None:
        return "stdin" if recipe.image == "-" else PurePath(recipe.image).stem
    return getattr(recipe, field)


def _check_text(template: str) -> None:
    """Refuse text that no file name can contain. Invalid UTF-8 from the shell is allowed."""
    if template == "-":
        raise SettingError(
            "output must be a file name, because the paths are printed to standard output, got '-'"
        )
    try:
        encoded = os.fsencode(template)
    except UnicodeEncodeError as error:
        raise SettingError(f"a file name must be valid text, got {template!r}") from error
    if b"\0" in encoded:
        raise SettingError(f"a file name cannot contain NUL, got {template!r}")


def _check_field(
    template: str, field: str, spec: str, conversion: str | None, *, is_after: bool
) -> None:
    """Allow plain fields only: ``{seed.__class__}`` could read the program's internals."""
    if field not in _NAMES and not (field == "file" and is_after):
        near = difflib.get_close_matches(field, _NAMES, n=1)
        hint = f"did you mean {{{near[0]}}}?" if near else f"use one of {', '.join(_NAMES)}"
        raise SettingError(f"the name template {template!r} has an unknown {{{field}}}: {hint}")
    if conversion or "{" in spec or re.search(r"\d{4}", spec):
        raise SettingError(
            f"the name template {template!r} must use {{{field}}} with a plain format, "
            f"with a width of at most 999"
        )


def _formatted(template: str, piece: _Piece, value: Any) -> str:
    if value is None:
        value = ""
    elif isinstance(value, tuple):
        value = "x".join(map(str, value))
    try:
        return _plain(format(value, piece.text))
    except (ValueError, OverflowError) as error:
        raise SettingError(
            f"the name template {template!r} cannot format {{{piece.field}}}: {error}"
        ) from error


@lru_cache(maxsize=1024)  # pictures of a batch often share their prompts
def _plain(value: str) -> str:
    """Convert ``value`` to a part of a file name that is valid in shells and all file systems.

    >>> _plain(" ../Frogs, on\\nstilts? 東京 ")
    'Frogs-on-stilts-東京'
    """
    kept = (character if _is_plain(character) else "-" for character in value)
    text = re.sub("-{2,}", "-", "".join(kept)).strip("-. ")
    return f"_{text}" if not text or _RESERVED.match(text) else text


def _is_plain(character: str) -> bool:
    return character in _PLAIN_ASCII or (character > "\x7f" and character.isprintable())


def _fitted(component: list[_Piece], texts: list[str], template: str) -> str:
    """The component's text; the longest values are cut until it is short enough."""
    while True:
        text = "".join(texts)
        excess = len(os.fsencode(text.removesuffix("/"))) - _VALUE_MAX_BYTES
        values = [i for i, piece in enumerate(component) if piece.field is not None]
        if excess <= 0 or not values:
            break
        longest = max(values, key=lambda i: len(os.fsencode(texts[i])))
        size = len(os.fsencode(texts[longest]))
        if size <= 1:
            break
        texts[longest] = _cut(texts[longest], max(1, size - excess)).rstrip("-. ") or "_"
    if excess > _MAX_BYTES - _VALUE_MAX_BYTES:
        raise SettingError(
            f"a file name must be at most {_MAX_BYTES} bytes long, and the fixed text of "
            f"{template!r} is longer"
        )
    return text


def _cut(text: str, size: int) -> str:
    """The longest beginning of ``text`` that is at most ``size`` bytes of a file name."""
    while len(os.fsencode(text)) > size:
        excess = len(os.fsencode(text)) - size
        text = text[: -max(1, excess // 4)]
    return text
