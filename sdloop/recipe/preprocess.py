"""How a picture becomes the map that a ControlNet or T2I-Adapter follows.

``canny:photo.png`` is the picture ``photo.png`` and how it is changed.
"""

from collections.abc import Mapping
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.limits import DEPTH_MODEL, POSE_MODEL

DEPTH, POSE = "depth", "pose"
PREPROCESSES = ("canny", "soft-edge", "lineart", "grey", DEPTH, POSE)
# The kinds that a model makes: which part it is, and the usual one.
MODELS = {DEPTH: ("depth_estimator", DEPTH_MODEL), POSE: ("pose_estimator", POSE_MODEL)}
# What other programs have, so that nobody takes it for the name of a file.
_ELSEWHERE = (
    *("openpose", "dwpose", "vitpose", "hed", "softedge", "pidinet", "mlsd", "normal"),
    *("scribble", "seg", "segment", "shuffle", "tile", "gray", "line-art"),
)


def check_preprocess(kind: str, name: str = "preprocess") -> None:
    """Raise ``SettingError`` for a kind of map that sdloop cannot make."""
    if kind not in PREPROCESSES:
        raise SettingError.of(
            name,
            f"must be one of {', '.join(PREPROCESSES)}, got {kind!r}: for others, make the map "
            "with another program, and give it without a name before it",
        )


def split_kind(image: str) -> tuple[str | None, str]:
    """The kind of map that stands before the name of a picture, if one does; and this name.

    >>> split_kind("canny:photo.png"), split_kind("photo.png")
    (('canny', 'photo.png'), (None, 'photo.png'))
    """
    kind, colon, file = image.partition(":")
    return (kind, file) if colon and kind in (*PREPROCESSES, *_ELSEWHERE) else (None, image)


def check_preprocesses(given: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` for settings of maps that no picture is made into."""
    followed = (*given["controls"], *given["t2i_adapters"])
    if "preprocess" in given and all(one.preprocess is not None for one in followed):
        raise SettingError.of(
            "preprocess",
            "needs controls or t2i_adapters whose picture does not say it itself, "
            f"got {given['preprocess']!r}",
        )
    kinds = {one.preprocess for one in followed} | {given.get("preprocess")}
    for name in ("preprocess_model", "preprocess_model_sha256") if not kinds & {*MODELS} else ():
        if name in given:
            raise SettingError.of(name, f"needs the preprocess {DEPTH} or {POSE}")
    if kinds >= {*MODELS}:
        raise SettingError.of(
            "preprocess_model",
            f"is one model, and cannot make {DEPTH} and {POSE}: make one of these maps first, with "
            "sdloop inspect control",
        )
