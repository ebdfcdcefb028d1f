"""A Recipe's losses in their one form, and none of their settings without them."""

from collections.abc import Mapping
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.loss_grammar import parse_loss

GUIDE_MODES = ("cheap", "exact")
GUIDE_FIELDS = (
    *("guides", "guides_sha256", "guide_every", "guide_mode", "guide_clip", "guide_clip_sha256"),
)


def settled_guides(given: Mapping[str, Any]) -> dict[str, Any]:
    """The losses in their one form; raises ``SettingError`` for what is set without any."""
    if "guides" not in given:
        for name in GUIDE_FIELDS:
            if given.get(name) is not None:
                raise SettingError(f"{name} is for steered pictures, and there are no guides")
        return {}
    named = [parse_loss(one) for one in given["guides"]]
    clips = any(one.kind == "clip" for one in named)
    for name in ("guide_clip", "guide_clip_sha256"):
        if name in given and not clips:
            raise SettingError(f"{name} is for a clip=… among the guides, and there is none")
    if given.get("guidance") == "cfg++":
        raise SettingError(
            "guides move the latents between a prediction and its step, and guidance cfg++ puts "
            "that together from two predictions: drop one"
        )
    return {"guides": tuple(map(str, named))}
