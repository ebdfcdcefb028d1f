"""Parse numbers, pairs and flags from the text of the command line or a prompt file.

Numbers may follow a text, each after a colon, as in a flag for a LoRA, a ControlNet, a region or
a loss::

    numbered := TEXT { ":" NUMBER } [ ":" NUMBER ".." NUMBER ]     edges.png:0.8:0..0.5

TEXT may contain colons: what follows one counts as a number if it looks like one. So do nan and
inf, which are then refused, and not taken for the end of a file's name.
"""

import re

from sdloop.errors import SettingError
from sdloop.rules import Size

_NUMBER = r"\s*[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan|inf(?:inity)?)\s*"
_NUMBERED = re.compile(rf"(.*):({_NUMBER})", re.IGNORECASE | re.DOTALL)
_RANGED = re.compile(rf"(.*):({_NUMBER})\.\.({_NUMBER})", re.IGNORECASE | re.DOTALL)


def parse_whole(name: str, text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        raise SettingError.of(name, f"must be a whole number, got {text!r}")
    return int(text)


def parse_number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingError.of(name, f"must be a number, got {text!r}") from None


def parse_flag(name: str, text: str) -> bool:
    found = {"true": True, "false": False}.get(text.strip().lower())
    if found is None:
        raise SettingError.of(name, f"must be true or false, got {text!r}")
    return found


def parse_numbers(name: str, text: str, *, whole: bool = False) -> tuple[float, ...]:
    """Numbers with commas between them.

    >>> parse_numbers("timesteps", "999, 500,1", whole=True)
    (999, 500, 1)
    """
    parse = parse_whole if whole else parse_number
    return tuple(parse(name, part) for part in text.split(","))


def parse_pair(name: str, text: str) -> Size:
    """Two whole numbers: ``512x768``, or ``0,64`` for crop_top_left.

    >>> parse_pair("size", "512x768")
    (512, 768)
    """
    found = re.fullmatch(r"([0-9]{1,9})\s*[xX×,]\s*([0-9]{1,9})", text.strip())
    if found is None:
        example = "0,0" if name == "crop_top_left" else "512x768"
        raise SettingError.of(name, f"must be two whole numbers like {example}, got {text!r}")
    return int(found[1]), int(found[2])


def split_numbers(text: str, most: int = 1) -> tuple[str, tuple[float, ...]]:
    """A text, and the numbers behind it: ``most`` at the most.

    >>> split_numbers("C:/ink.safetensors:0.8"), split_numbers("ink:0.8:0.5", most=2)
    (('C:/ink.safetensors', (0.8,)), ('ink', (0.8, 0.5)))
    """
    found = _NUMBERED.fullmatch(text) if most else None
    if found is None:
        return text, ()
    rest, numbers = split_numbers(found[1], most - 1)
    return rest, (*numbers, float(found[2]))


def split_range(text: str) -> tuple[str, tuple[float, float] | None]:
    """A text, and the two ends of the range behind it, if there is one.

    >>> split_range("edges.png:0.8:0..0.5")
    ('edges.png:0.8', (0.0, 0.5))
    """
    found = _RANGED.fullmatch(text)
    return (text, None) if found is None else (found[1], (float(found[2]), float(found[3])))


def short_number(number: float) -> str:
    """The shortest text that reads back as exactly this number."""
    return str(number).removesuffix(".0")
