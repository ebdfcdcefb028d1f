"""A prompt with the settings in its line, and where that is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sdloop.errors import SdloopError, SettingError


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A prompt with the settings in its line: all others come from the command.

    ``where`` names its line for error messages; ``output`` is the file name in it, and ``name`` a
    template for the file where nobody names it. ``key`` is the content key of a line that a plan
    was printed in: that one is a whole Recipe, and final.
    """

    settings: Mapping[str, Any]
    where: str = ""
    output: str | None = None
    name: str | None = None
    key: str | None = None


@contextmanager
def blaming(where: str) -> Iterator[None]:
    """Begin the message of an error with the place in a file that it comes from, if it does."""
    try:
        yield
    except SdloopError as error:
        if not where:
            raise
        blamed = type(error)(f"{where}: {error}")
        if isinstance(error, SettingError) and isinstance(blamed, SettingError):
            blamed.field = error.field
        raise blamed from error
