"""Under which circumstances pictures were made, and which of them differ."""

from collections.abc import Mapping
from typing import Any

# What follows from the rest.
_FOLLOWS = frozenset({"key", "sigmas"})


def flat(made: Mapping[str, Any]) -> dict[str, Any]:
    """The circumstances in a file, one below the other: "versions.torch", "weights.unet/…"."""
    values: dict[str, Any] = {}
    for name, value in made.items():
        if isinstance(value, Mapping):
            values |= {f"{name}.{key}": part for key, part in value.items()}
        elif name not in _FOLLOWS:
            values[name] = value
    return values


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is not the same in both, by name, None where one does not have it."""
    names = dict.fromkeys([*one, *other])
    pairs = {name: (one.get(name), other.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def short(name: str, value: Any) -> str:
    """A value for people: of a hash the beginning."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    hashed = name.startswith("weights.") or name.endswith("sha256")
    return f"{str(value)[:12]}…" if hashed and isinstance(value, str) else str(value)
