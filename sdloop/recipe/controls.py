"""ControlNets and T2I-Adapters with the pictures that they follow: in a Recipe, and in flags."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from sdloop.errors import SettingError
from sdloop.recipe.parse import short_number, split_numbers, split_range
from sdloop.recipe.preprocess import check_preprocess, split_kind
from sdloop.rules import check_digest, check_number, check_text

MAX_SCALE = 100.0

_HASHES = ("model_sha256", "image_sha256")


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """A ControlNet, and the picture that it follows.

    ``model`` is a folder, a file or a hub id. ``image`` is a picture of edges, depths, a pose …:
    what the ControlNet was trained with; ``preprocess`` makes it of another picture. ``scale`` is
    how much of its output is added to the UNet. ``start`` and ``end`` are shares of the steps that
    run: from 0 to 0.5 it acts in their first half. The hashes are those of its weights, and of the
    picture's file.
    """

    model: str
    image: str
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    model_sha256: str | None = None
    image_sha256: str | None = None
    preprocess: str | None = None
    field: ClassVar[str] = "controls"

    def __post_init__(self) -> None:
        for name, what in (("model", "a file or a hub id"), ("image", "a picture's file")):
            check_text(f"{self.field}.{name}", getattr(self, name), optional=False)
            if getattr(self, name) in ("", "-"):
                rule = f"must name {what}, got {getattr(self, name)!r}"
                raise SettingError.of(f"{self.field}.{name}", rule)
        bounds = {"scale": (-MAX_SCALE, MAX_SCALE), "start": (0, 1), "end": (0, 1)}
        for name, (lowest, highest) in bounds.items():
            check_number(f"{self.field}.{name}", getattr(self, name), lowest, highest)
            # Equal values get the same form: 1 and 1.0, 0.0 and -0.0.
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)
        if self.preprocess is not None:
            check_text(f"{self.field}.preprocess", self.preprocess, optional=False)
            check_preprocess(self.preprocess, f"{self.field}.preprocess")
        if self.start >= self.end:
            ends = f"{self.start:g}..{self.end:g}"
            raise SettingError.of(f"{self.field}.start", f"must be less than the end, got {ends}")
        for name in _HASHES:
            check_digest(f"{self.field}.{name}", getattr(self, name), optional=True)

    def __str__(self) -> str:
        """The text of its flag.

        >>> str(parse_control("canny=edges.png:0.80:0..0.5"))
        'canny=edges.png:0.8:0..0.5'
        """
        image = self.image if self.preprocess is None else f"{self.preprocess}:{self.image}"
        if self.preprocess is None and split_kind(image)[0] is not None:
            image = f"./{image}"  # a file whose name begins like one
        return f"{self.model}={image}{self._numbers}"

    @property
    def _numbers(self) -> str:
        """Its scale and range as they are written, where they must be."""
        ambiguous = bool(split_numbers(self.image)[1] or split_range(self.image)[1])
        part = (self.start, self.end) != (0, 1)
        scale = f":{short_number(self.scale)}" if ambiguous or part or self.scale != 1 else ""
        return f"{scale}:{short_number(self.start)}..{short_number(self.end)}" if part else scale

    @property
    def does_nothing(self) -> bool:
        return self.scale == 0

    @property
    def shape(self) -> tuple[Any, ...]:
        """What must be equal for pictures that share a forward pass: all but the picture."""
        return self.field, self.model, self.model_sha256, self.scale, self.start, self.end

    def to_dict(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        usual = {"start": 0.0, "end": 1.0, "preprocess": None, **dict.fromkeys(_HASHES)}
        return {n: v for n, v in values.items() if n not in usual or v != usual[n]}


class T2IAdapter(Control):
    """A T2I-Adapter, and the picture that it follows.

    What it sees is computed once, and added to the UNet's layers in each step.
    """

    __slots__ = ()
    field: ClassVar[str] = "t2i_adapters"


Kind = TypeVar("Kind", bound=Control)


def parse_control(text: str, kind: type[Kind] = Control) -> Kind:  # type: ignore[assignment]
    """Parse ``MODEL=[PREPROCESS:]IMAGE[:SCALE][:START..END]``.

    MODEL ends at the first "=", or at the last one if it is a web address.

    >>> parse_control("org/canny=edges.png:0.8").scale
    0.8
    """
    address = re.match("https?://", text, re.IGNORECASE)
    model, equals, rest = text.rpartition("=") if address else text.partition("=")
    if not equals or not model:
        raise SettingError.of(kind.field, f"must be like MODEL=edges.png:0.8, got {text!r}")
    rest, ends = split_range(rest)
    rest, scales = split_numbers(rest)
    preprocess, image = split_kind(rest)
    scale, (start, end) = scales[0] if scales else 1.0, ends or (0.0, 1.0)
    return kind(model=model, image=image, preprocess=preprocess, scale=scale, start=start, end=end)


def check_controls(given: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` for settings of ControlNets without one."""
    if given["guess_mode"] and not given["controls"]:
        raise SettingError.of("guess_mode", "needs controls, but none are given")
