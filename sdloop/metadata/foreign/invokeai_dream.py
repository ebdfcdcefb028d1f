"""Read the PNG text "Dream" of InvokeAI 1: the command that makes the picture again.

::

    "a red frog [blurry]" -s 50 -S 4 -W 512 -H 512 -C 7.5 -A k_lms

Source: ``dream_prompt_str`` in ``ldm/dream/args.py`` of invoke-ai/InvokeAI. The first versions put
no blank between a flag and its value, and ``-m`` for the sampler.
"""

import re
from typing import Any

_COMMAND = re.compile(r'\s*"(?P<prompt>.*)"\s+(?P<flags>-\w.*)', re.DOTALL)
_FLAG = re.compile(r"(?:^|\s)-([A-Za-z])\s*([^\s-]\S*)")
_NAMES = {
    "s": "steps",
    "S": "seed",
    "W": "width",
    "H": "height",
    "C": "cfg_scale",
    "A": "sampler",
    "m": "sampler",
}
_QUIET = ("b", "n", "g")  # how many pictures, and on one sheet


def dream_settings(text: str) -> dict[str, Any] | None:
    """The settings under the names of "sd-metadata"; None if the text is another one."""
    found = _COMMAND.fullmatch(text)
    if found is None:
        return None
    settings: dict[str, Any] = {"prompt": found["prompt"]}
    for flag, value in _FLAG.findall(found["flags"]):
        if flag not in _QUIET:
            settings[_NAMES.get(flag, f"-{flag}")] = _value(value)
    return settings if {"steps", "seed"} <= settings.keys() else None


def _value(text: str) -> int | float | str:
    if re.fullmatch(r"\d{1,20}", text, re.ASCII):
        return int(text)
    return float(text) if re.fullmatch(r"\d{1,9}\.\d{0,9}", text, re.ASCII) else text
