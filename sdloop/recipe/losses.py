"""A Recipe's losses in their one form, and none of their settings without them."""

from collections.abc import Mapping
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.fields import LOSSES
from sdloop.recipe.loss_grammar import parse_loss


def settled_losses(given: Mapping[str, Any]) -> dict[str, Any]:
    """The losses in their one form; raises ``SettingError`` for what is set without any."""
    if "losses" not in given:
        for name in LOSSES:
            if given.get(name) is not None:
                raise SettingError.of(name, "needs losses, but none are given")
        return {}
    named = [parse_loss(one) for one in given["losses"]]
    clips = any(one.kind == "clip" for one in named)
    for name in ("loss_clip", "loss_clip_sha256"):
        if name in given and not clips:
            raise SettingError.of(name, "needs a clip=… among the losses")
    if given.get("guidance") == "cfg++":
        raise SettingError.of(
            "losses",
            "move the latents between a prediction and its step, and guidance cfg++ puts "
            "that together from two predictions: drop one",
        )
    return {"losses": tuple(map(str, named))}
