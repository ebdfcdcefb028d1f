"""Compare how pictures were made: versions, device, weights and so on."""

from collections.abc import Mapping
from typing import Any

# These values follow from the others.
_FOLLOWS = frozenset({"key", "sigmas"})


def flat(made: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a file's ``made``; names become "versions.torch", "weights.unet/…"."""
    values: dict[str, Any] = {}
    for name, value in made.items():
        if isinstance(value, Mapping):
            values |= {f"{name}.{key}": part for key, part in value.items()}
        elif name not in _FOLLOWS:
            values[name] = value
    return values


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The values that differ, by name; None if one side does not have the value."""
    names = dict.fromkeys([*one, *other])
    pairs = {name: (one.get(name), other.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def short(name: str, value: Any) -> str:
    """Format a value for people; hashes are shortened."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    hashed = name.startswith("weights.") or name.endswith("sha256")
    return f"{str(value)[:12]}…" if hashed and isinstance(value, str) else str(value)
