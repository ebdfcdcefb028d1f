"""Check the settings of masks by words."""

from collections.abc import Mapping
from typing import Any

from sdloop.errors import SettingError
from sdloop.images.input.mask import WORDS, mask_words

_FOR_WORDS = ("mask_model", "mask_model_sha256", "mask_threshold")


def check_mask(given: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` for a mask without words, and for settings of words without any."""
    words = mask_words(given.get("mask"))
    if words is not None and not words.strip():
        raise SettingError.of(
            "mask", f'must say what to find, as in "{WORDS}the face", got {given["mask"]!r}'
        )
    for name in _FOR_WORDS if words is None else ():
        if name in given:
            raise SettingError.of(name, f'needs a mask by words, as in "{WORDS}the face"')
