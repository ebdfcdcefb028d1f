"""LoRAs as they are asked for: by flags, in prompts, by their names in a folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.batch.text_input import home
from sdloop.errors import SettingError
from sdloop.recipe.loras import Lora, checked_loras, split_tags

if TYPE_CHECKING:
    pass


def with_loras(fields: Mapping[str, Any], folder: str | None) -> dict[str, Any]:
    """A Recipe's ``fields`` with the LoRAs of its prompt after its own, all of them as files.

    What a prompt calls is looked for in ``folder`` alone; what ``loras`` holds, if it is a bare
    name. Raises ``SettingError`` for a name without a folder, ``ModelError`` for one that is not in
    it.
    """
    prompt = fields.get("prompt")
    rest, called = split_tags(prompt) if isinstance(prompt, str) else (prompt, ())
    loras = checked_loras(fields.get("loras", ()))
    if not loras and not called:
        return dict(fields)
    named = [_in_folder(lora, folder) if _is_name(lora, folder) else lora for lora in loras]
    named += [_in_folder(lora, folder) for lora in called]
    return {**fields, "prompt": rest, "loras": named}


def _is_name(lora: Lora, folder: str | None) -> bool:
    """Whether it can only be in the folder: a file beside us and a hub id go before."""
    return folder is not None and "/" not in lora.name and not Path(lora.name).exists()


def _in_folder(lora: Lora, folder: str | None) -> Lora:
    from sdloop.models.checkpoint.lora_folder import lora_in

    if folder is None:
        raise SettingError(f"prompt calls the LoRA {lora.name!r}: give its folder with --lora-dir")
    return replace(lora, name=str(lora_in(home(folder), lora.name)))
