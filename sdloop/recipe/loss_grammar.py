"""Parse the losses that guide a picture.

::

    loss  := NAME [ "=" SCALE ]                                   blue=200
           | "palette=" COLOUR { "," COLOUR } [ ":" SCALE ]       palette=#112233,gold:400
           | "like=" FILE [ ",ssim" ] [ ",mask=" FILE ] [ ":" SCALE ]
           | "clip=" TEXT [ ":" SCALE ]                           clip=a red sky:15
           | MODULE ":" FUNCTION [ "=" SCALE ]                    my_losses:warmth=100

A NAME is one of ``LEVELS``, "symmetry" or "smooth". Each loss has a default SCALE; a negative
scale reverses its effect.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sdloop.errors import SettingError
from sdloop.images.input.frame import settled_colour
from sdloop.recipe.parse import parse_number, split_numbers
from sdloop.rules import check_number

LEVELS = ("red", "green", "blue", "brightness")
MAX_SCALE = 1e7

# Scales with a visible effect that do not destroy the embedded model's pictures.
USUAL_SCALES: Mapping[str, float] = {
    **dict.fromkeys(LEVELS, 50.0),
    "palette": 200.0,
    "like": 100.0,
    "ssim": 50.0,
    "symmetry": 500.0,
    "smooth": 200.0,
    "clip": 10.0,
    "call": 100.0,
}
NAMES = tuple(name for name in USUAL_SCALES if name not in ("ssim", "call"))
PLAIN = (*LEVELS, "symmetry", "smooth")

_SCALE = "the scale of a loss in losses"
_CALL = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)(?:=(.*))?")
_LIKE = re.compile(r"(?P<file>.+?)(?P<ssim>,ssim)?(?:,mask=(?P<mask>.+))?", re.S)


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedLoss:
    """A loss on the picture, and its scale.

    ``kind`` is one of ``NAMES``, or "call". ``colours`` are those of a palette. ``file``, ``ssim``
    and ``mask`` are the target of like=FILE, and how the difference to it is measured. ``text`` is
    the text of clip=TEXT. ``module`` and ``function`` name a Python function. ``str()`` gives the
    normalised text.
    """

    kind: str
    scale: float
    colours: tuple[str, ...] = ()
    file: str | None = None
    ssim: bool = False
    mask: str | None = None
    text: str | None = None
    module: str | None = None
    function: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The picture files that the loss names."""
        return tuple(file for file in (self.file, self.mask) if file is not None)

    @property
    def sources(self) -> tuple[str, ...]:
        """Everything that is hashed: the picture files, or the Python module."""
        return self.files if self.module is None else (self.module,)

    def __str__(self) -> str:
        scale = f"{self.scale:.12g}"
        match self.kind:
            case "palette":
                return f"palette={','.join(self.colours)}:{scale}"
            case "like":
                ssim, mask = ",ssim" if self.ssim else "", f",mask={self.mask}" if self.mask else ""
                return f"like={self.file}{ssim}{mask}:{scale}"
            case "clip":
                return f"clip={self.text}:{scale}"
            case "call":
                return f"{self.module}:{self.function}={scale}"
            case plain:
                return f"{plain}={scale}"


def parse_loss(text: str) -> NamedLoss:
    """Parse the text of a loss; the ``SettingError`` for an unknown name lists the known ones.

    >>> parse_loss("blue").scale, str(parse_loss("like=park.png,ssim"))
    (50.0, 'like=park.png,ssim:50')
    """
    call = _CALL.fullmatch(text.strip())
    if call is not None:
        scale = _scale(None if call[3] is None else parse_number(_SCALE, call[3]), "call")
        return NamedLoss(kind="call", scale=scale, module=call["module"], function=call["function"])
    kind, equals, rest = (part.strip() for part in text.partition("="))
    if kind not in NAMES:
        near = difflib.get_close_matches(kind, NAMES, n=1)
        hint = f"did you mean {near[0]!r}? The others are" if near else "the losses are"
        raise SettingError(
            f"losses: {kind!r} is not a loss; {hint} {_listed()}, MODULE:FUNCTION", field="losses"
        )
    if kind in PLAIN:
        number = parse_number(_SCALE, rest) if equals else None
        return NamedLoss(kind=kind, scale=_scale(number, kind))
    rest, scales = split_numbers(rest)
    rest, number = rest.strip(), scales[0] if scales else None
    if not rest:
        raise SettingError(
            f"losses: {kind} needs something after =, as in {_EXAMPLES[kind]!r}", field="losses"
        )
    match kind:
        case "palette":
            colours = tuple(settled_colour("losses", one.strip()) for one in rest.split(","))
            return NamedLoss(kind=kind, scale=_scale(number, kind), colours=colours)
        case "like":
            found = _LIKE.fullmatch(rest)
            assert found is not None  # it takes any text
            ssim = found["ssim"] is not None
            scale = _scale(number, "ssim" if ssim else kind)
            return NamedLoss(
                kind=kind, scale=scale, file=found["file"], ssim=ssim, mask=found["mask"]
            )
        case _:
            return NamedLoss(kind=kind, scale=_scale(number, kind), text=rest)


_EXAMPLES = {
    "palette": "palette=#112233,gold",
    "like": "like=FILE",
    "clip": "clip=a red sky",
}


def _listed() -> str:
    return ", ".join(NAMES)


def _scale(number: float | None, kind: str) -> float:
    if number is None:
        return USUAL_SCALES[kind]
    check_number(_SCALE, number, -MAX_SCALE, MAX_SCALE)
    return number
