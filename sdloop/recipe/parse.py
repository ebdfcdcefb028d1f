"""Parse numbers, pairs and flags from the text of the command line or a prompt file."""

import re

from sdloop.errors import SettingError
from sdloop.rules import Size


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
