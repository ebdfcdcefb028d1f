"""Check and normalise the guidance settings of a Recipe."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.guidance_grammar import (
    PLUS_PLUS_SCALE,
    SHAPES,
    parse_guidance,
    parse_interval,
    parse_schedule,
)
from sdloop.recipe.parse import short_number

GUIDANCE_FIELDS = ("guidance", "guidance_interval")


def settled_guidance(given: Mapping[str, Any]) -> dict[str, Any]:
    """The normalised guidance fields; raises ``SettingError`` if they contradict each other."""
    settled: dict[str, Any] = {}
    if "guidance" in given:
        guidance = parse_guidance(given["guidance"])
        settled["guidance"] = None if guidance.name == "cfg" else str(guidance)
    if "guidance_interval" in given:
        lowest, highest = parse_interval(given["guidance_interval"])
        end = "" if math.isinf(highest) else short_number(highest)
        settled["guidance_interval"] = f"{short_number(lowest)}..{end}"
    if "guidance_schedule" in given:
        shape, scales = parse_schedule(given["guidance_schedule"])
        values = (".." if shape in SHAPES else ",").join(map(short_number, scales))
        settled["guidance_schedule"] = f"{shape}:{values}" if shape in SHAPES else values
        _check_schedule(given, scales)
    _check_together(given, settled)
    for kind in ("pag", "slg"):
        if f"{kind}_layers" in given:
            settled[f"{kind}_layers"] = _settled_layers(kind, given)
    return settled


def _settled_layers(kind: str, given: Mapping[str, Any]) -> str:
    name = f"{kind}_layers"
    if f"{kind}_scale" not in given:
        raise SettingError.of(name, f"needs {kind}_scale, which sets how much, got {given[name]!r}")
    layers = [one.strip() for one in given[name].split(",")]
    if "" in layers:
        raise SettingError.of(
            name, f"must be names of layers, as in mid or mid,up_blocks.1, got {given[name]!r}"
        )
    return ",".join(layers)


def _check_schedule(given: Mapping[str, Any], scales: Sequence[float]) -> None:
    if "guidance_scale" in given:
        raise SettingError.of(
            "guidance_schedule",
            "cannot be combined with guidance_scale, got guidance_scale "
            f"{given['guidance_scale']:g}: remove one of them",
        )
    if set(scales) == {1}:
        raise SettingError.of(
            "guidance_schedule",
            f"must have a scale other than 1, got {given['guidance_schedule']!r}",
        )


def _check_together(given: Mapping[str, Any], settled: Mapping[str, Any]) -> None:
    for name in GUIDANCE_FIELDS:
        if settled.get(name) is not None and given.get("guidance_scale") == 1:
            raise SettingError.of(
                name,
                f"needs guidance, and guidance_scale 1 switches it off, got "
                f"{name} {settled[name]!r}",
            )
    if settled.get("guidance") == "cfg++":
        scales = [given["guidance_scale"]] if "guidance_scale" in given else []
        if "guidance_schedule" in given:
            scales = list(parse_schedule(given["guidance_schedule"])[1])
        for scale in scales:
            if scale > 1:
                raise SettingError.of(
                    "guidance",
                    f"cfg++ needs scales from 0 to 1 ({PLUS_PLUS_SCALE:g} is "
                    f"about as strong as 7.5 with cfg), got {scale:g}",
                )
