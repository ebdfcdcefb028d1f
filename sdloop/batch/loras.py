"""Find the LoRAs that flags and prompts name, also by their names in --lora-dir."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdloop.errors import SettingError
from sdloop.places.path import home
from sdloop.recipe.check import check_alone
from sdloop.recipe.loras import Lora, split_other_tags, split_tags


def with_loras(fields: Mapping[str, Any], folder: str | None) -> dict[str, Any]:
    """A Recipe's ``fields`` with the LoRAs of its prompt added to its own, all as file paths.

    LoRAs in a prompt are only looked up in ``folder``; those in ``loras`` only if they are bare
    names. Raises ``SettingError`` for a name without a folder, ``ModelError`` for one that is not
    in it.
    """
    prompt = fields.get("prompt")
    rest, called = split_tags(prompt) if isinstance(prompt, str) else (prompt, ())
    loras = check_alone("loras", fields.get("loras", ()))
    if not loras and not called:
        return dict(fields)
    named = [_in_folder(lora, folder) if _is_name(lora, folder) else lora for lora in loras]
    named += [_in_folder(lora, folder) for lora in called]
    return {**fields, "prompt": rest, "loras": named}


def without_other_tags(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` without the tags in the prompt that A1111 takes out and sdloop does not know.

    There they are no words, so they must not be words here. Each is told in a warning.
    """
    prompt = fields.get("prompt")
    rest, tags = split_other_tags(prompt) if isinstance(prompt, str) else (prompt, ())
    for tag in tags:
        warnings.warn(f"left out of the prompt: {tag}, only <lora:…> is known", stacklevel=2)
    return {**fields, "prompt": rest} if tags else dict(fields)


def _is_name(lora: Lora, folder: str | None) -> bool:
    """Whether it is a bare name to look up in the folder: not a file here and not a hub id."""
    return folder is not None and "/" not in lora.name and not Path(lora.name).exists()


def _in_folder(lora: Lora, folder: str | None) -> Lora:
    from sdloop.models.checkpoint.lora_folder import lora_in

    if folder is None:
        raise SettingError(f"prompt names the LoRA {lora.name!r}: give its folder with --lora-dir")
    return replace(lora, name=str(lora_in(home(folder), lora.name)))
