"""The kinds of values that a Recipe's settings have: which are allowed, and how they are written.

Each kind has two methods: ``checked`` takes a value from Python, TOML or JSON, ``parsed`` takes
text from the command line or a prompt file. Both raise ``SettingError`` with the setting's name.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sdloop.errors import SettingError
from sdloop.images.input.frame import settled_colour
from sdloop.recipe.parse import parse_flag, parse_number, parse_numbers, parse_pair, parse_whole
from sdloop.rules import (
    check_choice,
    check_digest,
    check_number,
    check_text,
    check_whole,
    checked_pair,
)


class Kind(Protocol):
    """The allowed values of a setting."""

    @property
    def typed(self) -> Any:
        """The type of the flag's value, for typer."""

    def checked(self, name: str, value: Any) -> Any:
        """The normalised value."""

    def parsed(self, name: str, text: str) -> Any:
        """The value of a text; its range is not checked yet, see ``checked``."""


class _Written:
    """A kind whose value and text are the same."""

    typed = str

    def parsed(self, name: str, text: str) -> Any:
        return text


@dataclass(frozen=True, slots=True)
class Text(_Written):
    """Any text, or one of ``choices``; ``read`` raises an error for a text that breaks its grammar.

    ``likely`` are texts for shell completion, if these are not the choices.
    """

    choices: tuple[str, ...] = ()
    read: Callable[[str], object] | None = None
    likely: tuple[str, ...] = ()

    @property
    def suggested(self) -> tuple[str, ...]:
        return self.likely or self.choices

    def checked(self, name: str, value: Any) -> str:
        check_text(name, value, optional=False)
        if self.choices:
            check_choice(name, value, self.choices)
        if self.read is not None:
            self.read(value)
        return str(value)


class Colour(_Written):
    """The name of a colour, or #rrggbb."""

    def checked(self, name: str, value: Any) -> str:
        check_text(name, value, optional=False)
        return settled_colour(name, value)


class File(_Written):
    """The name of a file."""

    def checked(self, name: str, value: Any) -> str:
        check_text(name, value, optional=False)
        if value == "":
            raise SettingError.of(name, "must name a file, got ''")
        return str(value)


class Hash(_Written):
    """The sha256 of a file; resolving the Recipe fills it in."""

    def checked(self, name: str, value: Any) -> str:
        check_digest(name, value)
        return str(value)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from ``lowest`` to ``highest``."""

    lowest: int
    highest: int
    typed = int

    def checked(self, name: str, value: Any) -> int:
        check_whole(name, value, self.lowest, self.highest)
        return int(value)

    def parsed(self, name: str, text: str) -> int:
        return parse_whole(name, text)


@dataclass(frozen=True, slots=True)
class Number:
    """A number from ``lowest`` to ``highest``."""

    lowest: float
    highest: float
    typed = float

    def checked(self, name: str, value: Any) -> float:
        check_number(name, value, self.lowest, self.highest)
        return float(value)

    def parsed(self, name: str, text: str) -> float:
        return parse_number(name, text)


class Flag:
    """True or false."""

    typed = bool

    def checked(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise SettingError.of(name, f"must be true or false, got {value!r}")
        return value

    def parsed(self, name: str, text: str) -> bool:
        return parse_flag(name, text)


class Pair:
    """Two whole numbers, such as width and height."""

    typed = str

    def checked(self, name: str, value: Any) -> Any:
        return checked_pair(name, value)

    def parsed(self, name: str, text: str) -> tuple[int, int]:
        return parse_pair(name, text)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Several numbers; the rules for the whole list are checked elsewhere."""

    whole: bool = False
    typed = str

    def checked(self, name: str, value: Any) -> Any:
        return value

    def parsed(self, name: str, text: str) -> tuple[float, ...]:
        return parse_numbers(name, text, whole=self.whole)


@dataclass(frozen=True, slots=True)
class Several:
    """One value or more, all of the same kind; on the command line, one flag for each."""

    kind: Kind = Text()
    typed = list[str]

    def checked(self, name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or not value:
            raise SettingError.of(name, f"must be a list of at least one text, got {value!r}")
        return tuple(self.kind.checked(name, one) for one in value)

    def parsed(self, name: str, text: str) -> tuple[Any, ...]:
        return (self.kind.parsed(name, text),)


@dataclass(frozen=True, slots=True)
class Compound:
    """Values with parts, such as LoRAs with their scales; without any, an empty list.

    ``made`` is their dataclass. Each value is one of it, a table with its fields, or a text like
    ``example`` that ``read`` parses.
    """

    made: type[Any]
    read: Callable[[str], Any]
    example: str
    typed = list[str]

    def checked(self, name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise SettingError.of(name, f"must be a list, got {value!r}")
        return tuple(self._one(name, one) for one in value)

    def _one(self, name: str, value: Any) -> Any:
        if type(value) is self.made:
            return value
        if isinstance(value, str):
            return self.read(value)
        if not isinstance(value, dict):
            raise SettingError.of(name, f"must be texts like {self.example!r}, got {value!r}")
        parts = {field.name: field for field in dataclasses.fields(self.made)}
        for part in value:
            if part not in parts:
                takes = ", ".join(parts)
                raise SettingError.of(name, f"have an unknown key {part!r}: they take {takes}")
        for part, field in parts.items():
            if part not in value and field.default is dataclasses.MISSING:
                raise SettingError.of(f"{name}.{part}", f"must be given, got {value!r}")
        return self.made(**value)

    def parsed(self, name: str, text: str) -> tuple[str, ...]:
        return (text,)
