"""LoRAs by their names in a folder, however another system wrote these names."""

import difflib
from pathlib import Path

from sdloop.errors import ModelError
from sdloop.models.checkpoint.addresses import ENDINGS
from sdloop.models.checkpoint.lora import listed
from sdloop.spelling import called, files_below


def lora_in(folder: Path, name: str) -> Path:
    """The LoRA called ``name`` in ``folder`` or a subfolder: a file's name without its suffix.

    Raises ``ModelError``, with the nearest names, if there is no such LoRA or more than one.
    """
    if not folder.is_dir():
        raise ModelError(f"lora_dir must be a folder, got {str(folder)!r}")
    within = files_below(folder, ENDINGS)
    found = called(name, within, ENDINGS)
    if len(found) > 1:
        raise ModelError(f"{len(found)} LoRAs are called {name!r}: {listed(map(str, found))}")
    if not found:
        names = [inside.with_suffix("").as_posix() for inside in within.values()]
        known = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or sorted(names)
        hint = f"there {'is' if len(known) == 1 else 'are'} {listed(known)}" if known else "empty"
        raise ModelError(f"there is no LoRA {name!r} in {folder}: {hint}")
    return found[0]
