"""A model on disk: found, recognised and hashed, not loaded. No torch in here."""

from sdloop.checkpoint.find import (
    LAYOUTS,
    MINI,
    VOCABULARY,
    Checkpoint,
    find_checkpoint,
    local_path,
    weight_hashes,
)

__all__ = [
    "LAYOUTS",
    "MINI",
    "VOCABULARY",
    "Checkpoint",
    "find_checkpoint",
    "local_path",
    "weight_hashes",
]
