"""Read mflux's metadata: JSON in the EXIF comment; in a PNG, EXIF is in a chunk.

Source: ``GeneratedImage._get_metadata`` and ``ImageUtil._embed_metadata`` of filipstrand/mflux,
``src/mflux/utils``: ``mflux_version``, ``model``, ``seed``, ``steps``, ``guidance``, ``height``,
``width``, ``lora_paths``, ``image_path`` …, ``prompt``, ``negative_prompt``; None if not used.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sdloop.metadata.foreign.value import Foreign, Item, gathered, noise, seed_items, texts

# These need no note: they are read elsewhere, or change no setting.
_NO_SETTINGS = frozenset(
    {
        *("mflux_version", "model", "base_model", "precision", "quantize", "created_at"),
        *("generation_time_seconds", "prompt", "negative_prompt", "seed", "steps", "guidance"),
        *("height", "width"),
    }
)


def is_mflux(values: Mapping[str, Any]) -> bool:
    return "mflux_version" in values


def read_mflux(values: Mapping[str, Any]) -> Foreign:
    """Read the settings from a JSON object for which ``is_mflux`` is true."""
    settings, left_out = gathered(_items(values))
    model = values.get("model")
    return Foreign(
        source="mflux",
        settings=settings,
        fields=texts(values),
        left_out=tuple(left_out),
        model=None if model is None else str(model),
    )


def _items(values: Mapping[str, Any]) -> Iterator[Item]:
    for name in ("prompt", "negative_prompt", "steps", "width", "height"):
        if values.get(name) is not None:
            yield f"{name}: {values[name]}", {name: values[name]}
    if values.get("seed") is not None:
        yield from seed_items(values["seed"])
    # mflux has no emphasis syntax: brackets are plain text.
    yield "emphasis", {"emphasis": "none"}
    guidance = values.get("guidance")
    if guidance is not None and values.get("negative_prompt"):
        yield f"guidance: {guidance}", {"guidance_scale": guidance}
    elif guidance is not None:
        # FLUX gets the number as an input of the model; it is not classifier-free guidance.
        yield f"guidance: {guidance} (an input of the model, not a guidance_scale)", None
    for name, text in texts(values).items():
        if name not in _NO_SETTINGS:
            yield f"{name}: {text}", None
    yield f"noise: {noise('MLX')}", None
