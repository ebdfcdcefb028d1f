"""How a Recipe says in what way it is guided, and with which scale at each turn of the loop."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sdloop.errors import SettingError
from sdloop.recipe.model_facts import Defaults
from sdloop.rules import check_choice, check_number

if TYPE_CHECKING:
    from sdloop.recipe.recipe import Recipe

MAX_SCALE = 1e4
PLUS_PLUS_SCALE = 0.6  # for CFG++ what 7.5 is elsewhere (arXiv:2406.08070, section 4.1)


class _Number(NamedTuple):
    """A number of a guidance: its range, and what it is where nobody says (None: it depends)."""

    lowest: float
    highest: float
    usual: float | None
    whole: bool = False


# "cfg" is classifier-free guidance as it is, and what a Recipe has where it names none.
GUIDANCES: Mapping[str, Mapping[str, _Number]] = {
    "cfg": {},
    "apg": {
        "eta": _Number(0, 1, 0),
        "momentum": _Number(-1, 1, -0.5),
        "norm": _Number(0, 1e6, None),
    },
    "cfg-zero": {"zero": _Number(0, 1000, 0, whole=True)},
    "cfg++": {},
    "threshold": {"percentile": _Number(0.5, 1, 0.995), "limit": _Number(0.01, 1e3, 3)},
}
# Those that work on what the UNet takes the clean picture to be.
ON_CLEAN = frozenset({"apg", "threshold", "cfg++"})
SHAPES = ("linear", "cosine")
USUAL_LAYERS = "mid"  # where perturbed attention does the most (arXiv:2403.17377, section 5.3)
GUIDANCE_FIELDS = ("guidance", "guidance_interval")


@dataclass(frozen=True, kw_only=True, slots=True)
class Guidance:
    """A name of ``GUIDANCES``, and all its numbers that have a value; as text ``apg:eta=0``."""

    name: str
    numbers: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{key}={_told(n)}" for key, n in self.numbers.items())])


def parse_guidance(text: str) -> Guidance:
    """The guidance that ``text`` names, with the numbers written in that it leaves out.

    Raises ``SettingError`` for an unknown name or number, and for one out of its range.

    >>> str(parse_guidance("apg:eta=0.25"))
    'apg:eta=0.25:momentum=-0.5'
    """
    name, *told = text.split(":")
    check_choice("guidance", name, tuple(GUIDANCES))
    known = GUIDANCES[name]
    numbers = {key: number.usual for key, number in known.items()}
    for one in told:
        key, _, value = one.partition("=")
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no numbers"
            raise SettingError(f"guidance {name} {takes}, got {one!r}")
        lowest, highest, _, whole = known[key]
        numbers[key] = _number(f"guidance {name}:{key}", value, lowest, highest)
        if whole and numbers[key] != int(float(value)):
            raise SettingError(f"guidance {name}:{key} must be a whole number, got {value!r}")
    return Guidance(name=name, numbers={k: v for k, v in numbers.items() if v is not None})


def parse_interval(text: str) -> tuple[float, float]:
    """The lowest and the highest sigma of ``0.28..5.42``, either of which may be left out.

    >>> parse_interval("0.28..5.42"), parse_interval("..5.42")
    ((0.28, 5.42), (0.0, 5.42))
    """
    low, dots, high = text.partition("..")
    if not dots or not (low or high):
        raise SettingError(f"guidance_interval must be two sigmas, as in 0.28..5.42, got {text!r}")
    lowest = _number("guidance_interval", low or "0", 0, 1e6)
    highest = math.inf if not high else _number("guidance_interval", high, 0, 1e6)
    if not lowest < highest:
        raise SettingError(f"guidance_interval must begin with the lower sigma, got {text!r}")
    return lowest, highest


def parse_schedule(text: str) -> tuple[str, tuple[float, ...]]:
    """The shape and the scales of ``linear:1..9`` or ``cosine:9..1``; a list has the shape "list".

    A list, ``1,3,7.5``, is stretched over the steps: what lies between is on the line.

    >>> parse_schedule("cosine:1..9"), parse_schedule("1,3,7.5")
    (('cosine', (1.0, 9.0)), ('list', (1.0, 3.0, 7.5)))
    """
    shape, colon, ends = text.partition(":")
    parts = ends.split("..") if colon else re.split(r"\s*,\s*", text.strip())
    if (colon and (shape not in SHAPES or len(parts) != 2)) or "" in parts:
        raise SettingError(
            "guidance_schedule must be linear:1..9, cosine:1..9 or a list of scales, as in "
            f"1,3,7.5, got {text!r}"
        )
    scales = tuple(_number("guidance_schedule", one, 0, MAX_SCALE) for one in parts)
    return shape if colon else "list", scales


def _number(name: str, text: str, lowest: float, highest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise SettingError(f"{name} must be a number, got {text!r}") from None
    check_number(name, value, lowest, highest)
    return value


# Fields with a grammar of their own, and what reads them.
SPOKEN: Mapping[str, Callable[[str], object]] = {
    "guidance": parse_guidance,
    "guidance_interval": parse_interval,
    "guidance_schedule": parse_schedule,
}


def _told(number: float) -> str:
    """The number and no other, as short as it goes."""
    return str(number).removesuffix(".0")


def settled_guidance(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of guidance in their one form; raises ``SettingError`` for what contradicts."""
    settled: dict[str, Any] = {}
    if "guidance" in given:
        guidance = parse_guidance(given["guidance"])
        settled["guidance"] = None if guidance.name == "cfg" else str(guidance)
    if "guidance_interval" in given:
        lowest, highest = parse_interval(given["guidance_interval"])
        end = "" if math.isinf(highest) else _told(highest)
        settled["guidance_interval"] = f"{_told(lowest)}..{end}"
    if "guidance_schedule" in given:
        shape, scales = parse_schedule(given["guidance_schedule"])
        told = (".." if shape in SHAPES else ",").join(map(_told, scales))
        settled["guidance_schedule"] = f"{shape}:{told}" if shape in SHAPES else told
        _check_schedule(given, scales)
    _check_together(given, settled)
    for kind in ("pag", "slg"):
        if f"{kind}_layers" in given:
            settled[f"{kind}_layers"] = _settled_layers(kind, given)
    return settled


def _settled_layers(kind: str, given: Mapping[str, Any]) -> str:
    name = f"{kind}_layers"
    if f"{kind}_scale" not in given:
        raise SettingError(f"{name} needs {kind}_scale, which says how much, got {given[name]!r}")
    layers = [one.strip() for one in given[name].split(",")]
    if "" in layers:
        raise SettingError(
            f"{name} must be names of layers, as in mid or mid,up_blocks.1, got {given[name]!r}"
        )
    return ",".join(layers)


def _check_schedule(given: Mapping[str, Any], scales: Sequence[float]) -> None:
    if "guidance_scale" in given:
        raise SettingError(
            "guidance_schedule says the scale of each step, and so does guidance_scale "
            f"{given['guidance_scale']:g} of all: drop one"
        )
    if set(scales) == {1}:
        raise SettingError(
            f"guidance_schedule must have a scale other than 1, got {given['guidance_schedule']!r}"
        )


def _check_together(given: Mapping[str, Any], settled: Mapping[str, Any]) -> None:
    for name in GUIDANCE_FIELDS:
        if settled.get(name) is not None and given.get("guidance_scale") == 1:
            raise SettingError(
                f"{name} needs guidance, and guidance_scale 1 switches it off, got "
                f"{name} {settled[name]!r}"
            )
    if settled.get("guidance") == "cfg++":
        scales = [given["guidance_scale"]] if "guidance_scale" in given else []
        if "guidance_schedule" in given:
            scales = list(parse_schedule(given["guidance_schedule"])[1])
        for scale in scales:
            if scale > 1:
                raise SettingError(
                    f"guidance cfg++ interpolates, with scales of 0 to 1 ({PLUS_PLUS_SCALE:g} does "
                    f"about what 7.5 does elsewhere), got {scale:g}"
                )


def check_guidance(recipe: "Recipe", scheduler: str, knows: frozenset[str]) -> None:
    """Raise ``SettingError`` for a guidance that the scheduler cannot follow."""
    name = parse_guidance(recipe.guidance).name if recipe.guidance is not None else "cfg"
    if name == "cfg++" and scheduler not in ("ddim", "euler"):
        raise SettingError(
            "guidance cfg++ changes how a step adds its noise back, which is known for the "
            f"schedulers ddim and euler, got {scheduler!r}"
        )
    if name in ON_CLEAN and "edm" in knows:
        raise SettingError(
            f"guidance {name} needs the clean picture in terms that EDM's schedulers do not have, "
            f"got {scheduler!r}"
        )


def with_guidance(recipe: "Recipe", model: Defaults) -> "Recipe":
    """With the model's own scale where neither one nor a schedule is named, and layers."""
    scale = recipe.guidance_scale
    if scale is None and recipe.guidance_schedule is None:
        scale = PLUS_PLUS_SCALE if recipe.guidance == "cfg++" else model.guidance_scale
    return dataclasses.replace(
        recipe,
        guidance_scale=scale,
        pag_layers=_layers(recipe.pag_scale, recipe.pag_layers),
        slg_layers=_layers(recipe.slg_scale, recipe.slg_layers),
    )


def _layers(scale: float | None, layers: str | None) -> str | None:
    return USUAL_LAYERS if scale is not None and layers is None else layers


def guidance_scales(
    recipe: "Recipe", *, sigmas: Sequence[float], places: Sequence[float]
) -> list[float]:
    """The scale of each turn of the loop, of a resolved Recipe; 1 where it is not guided.

    ``sigmas`` are the noise levels of the turns, ``places`` where they lie in the whole schedule,
    from 0, its first step, to 1, its last: what starts from a picture has the last of them. So the
    scale belongs to the noise and not to how many steps run.

    Interval: Kynkäänniemi et al. 2024 (arXiv:2404.07724), equation 6; schedules: Wang et al. 2024
    (arXiv:2404.13040), section 4.
    """
    if recipe.guidance_schedule is None:
        assert recipe.guidance_scale is not None  # resolved
        scales = [recipe.guidance_scale] * len(sigmas)
    else:
        shape, values = parse_schedule(recipe.guidance_schedule)
        scales = [
            _between(values, _eased(place) if shape == "cosine" else place) for place in places
        ]
    if recipe.guidance_interval is None:
        return scales
    lowest, highest = parse_interval(recipe.guidance_interval)
    pairs = zip(scales, sigmas, strict=True)
    return [scale if lowest < sigma <= highest else 1.0 for scale, sigma in pairs]


def _eased(place: float) -> float:
    """Half a period of the cosine: slowly from the first value, and slowly to the last."""
    return (1 - math.cos(math.pi * place)) / 2


def _between(values: Sequence[float], place: float) -> float:
    """The value at a place from 0 to 1, on the lines between ``values``."""
    at = place * (len(values) - 1)
    first = min(int(at), len(values) - 2) if len(values) > 1 else 0
    if len(values) == 1:
        return values[0]
    share = at - first
    return (1 - share) * values[first] + share * values[first + 1]
