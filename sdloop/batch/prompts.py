"""A prompt with the settings of its line, and the place of that line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sdloop.errors import SdloopError, SettingError


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A prompt with the settings in its line; all others come from the command.

    ``where`` names its line for error messages; ``output`` is the file name in the line, and
    ``name`` the default template for it. ``file`` is the picture that is remade, if any. ``key`` is
    the content key of a line of a printed plan: such a line is a complete Recipe and final.
    """

    settings: Mapping[str, Any]
    where: str = ""
    output: str | None = None
    name: str | None = None
    file: str | None = None
    key: str | None = None


@contextmanager
def blaming(where: str) -> Iterator[None]:
    """Prefix error messages with the place in a file, if there is one."""
    try:
        yield
    except SdloopError as error:
        if not where:
            raise
        blamed = type(error)(f"{where}: {error}")
        if isinstance(error, SettingError) and isinstance(blamed, SettingError):
            blamed.field = error.field
        raise blamed from error
