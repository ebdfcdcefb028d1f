"""Check and normalise the losses of a Recipe, and their settings."""

from collections.abc import Mapping
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.fields import LOSSES
from sdloop.recipe.loss_grammar import parse_loss


def settled_losses(given: Mapping[str, Any]) -> dict[str, Any]:
    """The normalised losses; raises ``SettingError`` for loss settings without a loss."""
    if "losses" not in given:
        for name in LOSSES:
            if given.get(name) is not None:
                raise SettingError.of(name, "needs losses, but none are given")
        return {}
    named = [parse_loss(one) for one in given["losses"]]
    clips = any(one.kind == "clip" for one in named)
    for name in ("loss_clip", "loss_clip_sha256"):
        if name in given and not clips:
            raise SettingError.of(name, "needs the loss clip=TEXT")
    if given.get("guidance") == "cfg++":
        raise SettingError.of(
            "losses",
            "cannot be combined with guidance cfg++, whose step uses two predictions: "
            "remove one of them",
        )
    if given.get("loss_mode") == "exact" and given.get("reuse", 1) > 1:
        raise SettingError.of(
            "reuse",
            "cannot be combined with loss_mode exact, whose gradients go through the whole UNet, "
            f"got {given['reuse']}: remove one of them",
        )
    return {"losses": tuple(map(str, named))}
