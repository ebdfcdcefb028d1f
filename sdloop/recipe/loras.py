"""LoRAs by name and scale: in a Recipe, in flags, and in prompts (``<lora:name:0.8>``)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.parse import short_number, split_numbers
from sdloop.rules import check_digest, check_number, check_text

MAX_SCALE = 100.0

# A tag between blanks is removed together with one of them.
_TAG = re.compile(r"(?:(?<=\s)|^)<lora:(?P<alone>[^<>]*)>(?:\s+|$)|<lora:(?P<amid>[^<>]*)>")
# The other tags that A1111 removes from a prompt: <hypernet:…>, <lyco:…> and those of extensions.
_OTHER = r"<(?!lora:)\w+:[^<>]+>"
_OTHER_TAG = re.compile(rf"(?:(?<=\s)|^)(?P<alone>{_OTHER})(?:\s+|$)|(?P<amid>{_OTHER})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """A LoRA: small changes to a model's weights, trained separately.

    ``name`` is a file, a folder with one, or a hub id. ``scale`` is how much of the changes is
    added: 1 is as trained, below 0 is the opposite. ``text_scale`` is the same for the text
    encoders, if they have one of their own. ``sha256`` is that of the file.
    """

    name: str
    scale: float = 1.0
    text_scale: float | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        check_text("loras.name", self.name, optional=False)
        if not self.name:
            raise SettingError.of("loras.name", "must name a file or a hub id, got ''")
        check_number("loras.scale", self.scale, -MAX_SCALE, MAX_SCALE)
        # Equal values get the same form: 1 and 1.0, 0.0 and -0.0.
        object.__setattr__(self, "scale", float(self.scale) + 0.0)
        if self.text_scale is not None:
            check_number("loras.text_scale", self.text_scale, -MAX_SCALE, MAX_SCALE)
            text = float(self.text_scale) + 0.0
            object.__setattr__(self, "text_scale", None if text == self.scale else text)
        check_digest("loras.sha256", self.sha256, optional=True)

    def __str__(self) -> str:
        return ":".join([self.name, *map(short_number, self.scales)])

    @property
    def scales(self) -> tuple[float, ...]:
        """The scales as they are written: one, or that of the text encoders and that of the UNet.

        Both are written after a name that would be read as one with a scale.
        """
        if self.text_scale is None and not split_numbers(self.name)[1]:
            return (self.scale,)
        return (self.scale if self.text_scale is None else self.text_scale, self.scale)

    @property
    def does_nothing(self) -> bool:
        return self.scale == 0 and self.text_scale is None

    def to_dict(self) -> dict[str, Any]:
        text_scale = {} if self.text_scale is None else {"text_scale": self.text_scale}
        sha256 = {} if self.sha256 is None else {"sha256": self.sha256}
        return {"name": self.name, "scale": self.scale, **text_scale, **sha256}


def parse_lora(text: str) -> Lora:
    """Parse ``NAME[:SCALE]``, or ``NAME:TEXT_SCALE:SCALE`` as in A1111's tags.

    >>> str(parse_lora("style/ink.safetensors:0.80"))
    'style/ink.safetensors:0.8'
    >>> parse_lora("ink:0.8:0.5")
    Lora(name='ink', scale=0.5, text_scale=0.8, sha256=None)
    """
    name, scales = split_numbers(text, most=2)
    text_scale = scales[0] if len(scales) > 1 else None
    return Lora(name=name, scale=scales[-1] if scales else 1.0, text_scale=text_scale)


def check_loras(loras: Sequence[Lora]) -> None:
    """Raise ``SettingError`` for a LoRA that is named twice."""
    names = [lora.name for lora in loras]
    for name in names:
        if names.count(name) > 1:
            raise SettingError.of("loras", f"must name each LoRA once, got {name!r} twice")


def split_tags(prompt: str) -> tuple[str, tuple[Lora, ...]]:
    """``prompt`` without its ``<lora:name:scale>`` tags, and the LoRAs they name, in order.

    The rest of the prompt does not change, except that surplus blanks are removed. The default
    scale is 1. Raises ``SettingError`` for an invalid tag or one without an end.

    >>> prompt, (ink,) = split_tags("a frog <lora:ink:0.8> on stilts")
    >>> prompt, str(ink)
    ('a frog on stilts', 'ink:0.8')
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
    """The LoRA of a tag, with A1111's one or two scales: for the text encoders, and for the UNet.

    They may be named, as in ``te=0.8:unet=0.5``.
    """
    name, *parts = inside.split(":")
    named = dict(part.strip().split("=", 1) for part in parts if "=" in part)
    scales = [part for part in parts if "=" not in part] or ["1"]
    text = named.pop("te", scales[0] or "1")
    whole = named.pop("unet", scales[1] if len(scales) > 1 else text)
    lora = parse_lora(f"{name}:{text}:{whole}") if name.strip() else None
    if lora is None or lora.name != name or named or len(scales) > 2:
        raise SettingError.of(
            "prompt", f"must name a LoRA as in <lora:name> or <lora:name:0.8>, got <lora:{inside}>"
        )
    return lora
