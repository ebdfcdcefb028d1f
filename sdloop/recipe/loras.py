"""LoRAs by name and scale: in a Recipe, in flags, and in prompts (``<lora:name:0.8>``)."""

import re
from dataclasses import dataclass
from typing import Any

from sdloop.errors import SettingError
from sdloop.rules import check_number, check_text

MAX_SCALE = 100.0

_SCALED = re.compile(r"(?P<name>.+):(?P<scale>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))", re.DOTALL)
# A tag between blanks is removed together with one of them.
_TAG = re.compile(r"(?:(?<=\s)|^)<lora:(?P<alone>[^<>]*)>(?:\s+|$)|<lora:(?P<amid>[^<>]*)>")
# The other tags that A1111 removes from a prompt: <hypernet:…>, <lyco:…> and those of extensions.
_OTHER = r"<(?!lora:)\w+:[^<>]+>"
_OTHER_TAG = re.compile(rf"(?:(?<=\s)|^)(?P<alone>{_OTHER})(?:\s+|$)|(?P<amid>{_OTHER})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """A LoRA: small changes to a model's weights, trained separately.

    ``name`` is a file, a folder with one, or a hub id. ``scale`` is how much of the changes is
    added: 1 is as trained, below 0 is the opposite. ``sha256`` is that of the file.
    """

    name: str
    scale: float = 1.0
    sha256: str | None = None

    def __post_init__(self) -> None:
        check_text("loras.name", self.name, optional=False)
        if not self.name:
            raise SettingError("loras.name must name a file or a hub id, got ''", field="loras")
        check_number("loras.scale", self.scale, -MAX_SCALE, MAX_SCALE)
        # Equal values get the same form: 1 and 1.0, 0.0 and -0.0.
        object.__setattr__(self, "scale", float(self.scale) + 0.0)
        sha256: object = self.sha256
        if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", str(sha256)):
            raise SettingError(f"loras.sha256 must be 64 hex digits, got {sha256!r}", field="loras")

    def __str__(self) -> str:
        return f"{self.name}:{self.scale:g}"

    def to_dict(self) -> dict[str, Any]:
        sha256 = {} if self.sha256 is None else {"sha256": self.sha256}
        return {"name": self.name, "scale": self.scale, **sha256}


def parse_lora(text: str) -> Lora:
    """Parse ``NAME[:SCALE]``; the text after the last colon is the scale if it is a number.

    >>> parse_lora("style/ink.safetensors:0.8")
    Lora(name='style/ink.safetensors', scale=0.8, sha256=None)
    """
    found = _SCALED.fullmatch(text)
    return Lora(name=text) if found is None else Lora(name=found["name"], scale=float(found[2]))


def checked_loras(values: Any) -> tuple[Lora, ...]:
    """LoRAs from any of their forms: ``Lora``, the text of a flag, or a table from ``to_dict``."""
    if not isinstance(values, list | tuple):
        raise SettingError.of("loras", f"must be a list, got {values!r}")
    loras = tuple(_checked(value) for value in values)
    for lora in loras:
        if sum(other.name == lora.name for other in loras) > 1:
            raise SettingError.of("loras", f"must name each LoRA once, got {lora.name!r} twice")
    return loras


def _checked(value: Any) -> Lora:
    if isinstance(value, Lora):
        return value
    if isinstance(value, str):
        return parse_lora(value)
    if not isinstance(value, dict):
        raise SettingError.of("loras", f"must be texts like 'ink.safetensors:0.8', got {value!r}")
    for key in value:
        if key not in ("name", "scale", "sha256"):
            raise SettingError.of(
                "loras", f"have an unknown key {key!r}: they take name, scale, sha256"
            )
    if "name" not in value:
        raise SettingError(f"loras.name must be given, got {value!r}", field="loras")
    return Lora(**value)


def split_tags(prompt: str) -> tuple[str, tuple[Lora, ...]]:
    """``prompt`` without its ``<lora:name:scale>`` tags, and the LoRAs they name, in order.

    The rest of the prompt does not change, except that surplus blanks are removed. The default
    scale is 1. Raises ``SettingError`` for an invalid tag or one without an end.

    >>> split_tags("a frog <lora:ink:0.8> on stilts")
    ('a frog on stilts', (Lora(name='ink', scale=0.8, sha256=None),))
    """
    if "<lora:" not in prompt:
        return prompt, ()
    insides = [found["alone"] or found["amid"] or "" for found in _TAG.finditer(prompt)]
    return without_tags(prompt), tuple(_called(inside) for inside in insides)


def without_tags(prompt: str) -> str:
    """``prompt`` without its ``<lora:…>`` tags, valid or not."""
    if "<lora:" not in prompt:
        return prompt
    rest = _TAG.sub("", prompt).strip()
    if "<lora:" in rest:
        raise SettingError.of("prompt", f"must end each <lora: with >, got {prompt!r}")
    return rest


def split_other_tags(prompt: str) -> tuple[str, tuple[str, ...]]:
    """``prompt`` without the A1111 tags that do not name a LoRA, and these tags.

    >>> split_other_tags("a frog <hypernet:ink:0.8> on stilts <lora:ink:1>")
    ('a frog on stilts <lora:ink:1>', ('<hypernet:ink:0.8>',))
    """
    tags = tuple(found["alone"] or found["amid"] for found in _OTHER_TAG.finditer(prompt))
    return (_OTHER_TAG.sub("", prompt).strip() if tags else prompt), tags


def _called(inside: str) -> Lora:
    """The LoRA of a tag; A1111 allows two scales, for the text encoder and for the UNet."""
    name, *scales = inside.split(":")
    called = [parse_lora(f"{name}:{scale or 1}") for scale in scales or ["1"]]
    usual = f"must name a LoRA as in <lora:name> or <lora:name:0.8>, got <lora:{inside}>"
    if not name.strip() or len(called) > 2 or any(lora.name != name for lora in called):
        raise SettingError.of("prompt", usual)
    if called[0] != called[-1]:
        raise SettingError.of(
            "prompt",
            f"{usual}: it has the scale {called[0].scale:g} for the text encoder and "
            f"{called[-1].scale:g} for the UNet, which must be equal",
        )
    return called[0]
