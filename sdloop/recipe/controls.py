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
# What a ControlNet-Union can be told about a picture, by number; the names of xinsir's.
MODES = ("pose", "depth", "soft-edge", "canny", "normal", "segment", "tile", "repaint")
_ALSO = {"openpose": 0, "scribble": 2, "lineart": 3}
_MODED = re.compile(r"(.+)#([a-z-]+|[0-9]{1,3})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """A ControlNet, and the picture that it follows.

    ``model`` is a folder, a file or a hub id. ``image`` is a picture of edges, depths, a pose …:
    what the ControlNet was trained with; ``preprocess`` makes it of another picture. ``scale`` is
    how much of its output is added to the UNet. ``start`` and ``end`` are shares of the steps that
    run: from 0 to 0.5 it acts in their first half. The hashes are those of its weights, and of the
    picture's file. ``mode`` tells a ControlNet-Union what the picture is, by a number or one of
    ``MODES``; it need not be told of what ``preprocess`` made.
    """

    model: str
    image: str
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    model_sha256: str | None = None
    image_sha256: str | None = None
    preprocess: str | None = None
    mode: int | None = None
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
        if self.mode is not None:
            mode = _number_of(self.mode, f"{self.field}.mode")
            # Equal controls have one form.
            object.__setattr__(self, "mode", None if mode == self._made_mode else mode)
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
        model = self.model
        if self.mode is not None:
            model += f"#{MODES[self.mode] if self.mode < len(MODES) else self.mode}"
        elif _MODED.fullmatch(model):
            model += "/"  # a folder whose name ends like one
        return f"{model}={image}{self._numbers}"

    @property
    def _numbers(self) -> str:
        """Its scale and range as they are written, where they must be."""
        ambiguous = bool(split_numbers(self.image)[1] or split_range(self.image)[1])
        part = (self.start, self.end) != (0, 1)
        scale = f":{short_number(self.scale)}" if ambiguous or part or self.scale != 1 else ""
        return f"{scale}:{short_number(self.start)}..{short_number(self.end)}" if part else scale

    @property
    def seen_as(self) -> int | None:
        """The mode, of which a ControlNet-Union must be told."""
        return self._made_mode if self.mode is None else self.mode

    @property
    def _made_mode(self) -> int | None:
        kind = "canny" if self.preprocess == "lineart" else self.preprocess
        return MODES.index(kind) if kind in MODES else None

    @property
    def does_nothing(self) -> bool:
        return self.scale == 0

    @property
    def shape(self) -> tuple[Any, ...]:
        """What must be equal for pictures that share a forward pass: all but the picture."""
        counts = self.scale, self.start, self.end
        return self.field, self.model, self.model_sha256, self.seen_as, *counts

    def to_dict(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        usual = {"start": 0.0, "end": 1.0, **dict.fromkeys(("preprocess", "mode", *_HASHES))}
        return {n: v for n, v in values.items() if n not in usual or v != usual[n]}


class T2IAdapter(Control):
    """A T2I-Adapter, and the picture that it follows.

    What it sees is computed once, and added to the UNet's layers in each step.
    """

    __slots__ = ()
    field: ClassVar[str] = "t2i_adapters"


Kind = TypeVar("Kind", bound=Control)


def parse_control(text: str, kind: type[Kind] = Control) -> Kind:  # type: ignore[assignment]
    """Parse ``MODEL[#MODE]=[PREPROCESS:]IMAGE[:SCALE][:START..END]``.

    MODEL ends at the first "=", or at the last one if it is a web address.

    >>> parse_control("org/canny=edges.png:0.8").scale, parse_control("net#depth=map.png").mode
    (0.8, 1)
    """
    address = re.match("https?://", text, re.IGNORECASE)
    model, equals, rest = text.rpartition("=") if address else text.partition("=")
    if not equals or not model:
        raise SettingError.of(kind.field, f"must be like MODEL=edges.png:0.8, got {text!r}")
    rest, ends = split_range(rest)
    rest, scales = split_numbers(rest)
    preprocess, image = split_kind(rest)
    scale, (start, end) = scales[0] if scales else 1.0, ends or (0.0, 1.0)
    moded = None if address else _MODED.fullmatch(model)
    mode = None
    if moded:
        model, mode = moded[1], _number_of(moded[2], f"{kind.field}.mode")
    return kind(
        model=model,
        image=image,
        scale=scale,
        start=start,
        end=end,
        preprocess=preprocess,
        mode=mode,
    )


def _number_of(mode: object, name: str) -> int:
    """The number of a mode, which may be given by its name."""
    known = {one: number for number, one in enumerate(MODES)} | _ALSO
    number = int(mode) if isinstance(mode, str) and mode.isdigit() else mode
    number = known.get(number, number) if isinstance(number, str) else number
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1000:
        raise SettingError.of(name, f"must be {', '.join(MODES)} or a number, got {mode!r}")
    return number


def check_controls(given: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` for settings of ControlNets without one."""
    if given["guess_mode"] and not given["controls"]:
        raise SettingError.of("guess_mode", "needs controls, but none are given")
