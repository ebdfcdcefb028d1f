"""What decides a model's pictures: the sha256 of its weight files."""

import hashlib
import re
from pathlib import Path

from sdloop.checkpoint.value import Checkpoint


def weight_hashes(checkpoint: Checkpoint) -> dict[str, str]:
    """The sha256 of each weight file, by names that do not depend on where the files lie.

    "unet/diffusion_pytorch_model.safetensors" in a folder, "model.safetensors" for a single file,
    "vae.safetensors" for a single-file VAE in its place.
    """
    named: dict[str, Path] = {}
    for part, files in checkpoint.weights.items():
        for file in files:
            if file == checkpoint.path:
                named[f"model{file.suffix}"] = file
            elif file == checkpoint.vae_path:
                named[f"vae{file.suffix}"] = file
            else:
                named[f"{part}/{file.name}"] = file
    return {name: _sha256(file) for name, file in named.items()}


def _sha256(file: Path) -> str:
    # The hub's cache names large files by their sha256 already; small ones by git's hash.
    blob = file.resolve()
    if (
        file.is_symlink()
        and blob.parent.name == "blobs"
        and re.fullmatch(r"[0-9a-f]{64}", blob.name)
    ):
        return blob.name
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
