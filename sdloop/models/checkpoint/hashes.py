"""The hashes of all that decides a model's pictures: weights, configs and vocabularies."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdloop.models.checkpoint.hash_cache import file_sha256
from sdloop.models.checkpoint.value import Checkpoint


def model_hashes(checkpoint: Checkpoint) -> dict[str, str]:
    """The sha256 of all that decides a model's pictures, by names that do not depend on its path.

    "unet/diffusion_pytorch_model.safetensors" for weights in a folder, "model.safetensors" for a
    single file, "vae.safetensors" or "unet.safetensors" for a single file that replaces this part;
    "configs" for all configs together, and names like "tokenizer/merges.txt" for the vocabularies.
    Those of a refiner begin with "refiner/".
    """
    files = {**_weights(checkpoint), **_vocabularies(checkpoint)}
    hashes = {name: sha256_of(file) for name, file in files.items()}
    said: dict[str, Any] = {part: said_by(config) for part, config in checkpoint.configs.items()}
    if checkpoint.scores:
        said["scores"] = True
    said["force_zeros_for_empty_prompt"] = checkpoint.force_zeros_for_empty_prompt
    text = json.dumps(said, sort_keys=True, ensure_ascii=False)
    hashes |= {"configs": hashlib.sha256(text.encode()).hexdigest()}
    if checkpoint.refiner is not None:
        hashes |= {f"refiner/{n}": sha256 for n, sha256 in model_hashes(checkpoint.refiner).items()}
    return hashes


def folder_sha256(config: Mapping[str, Any], files: Sequence[Path]) -> str:
    """The hash of one part in a folder: of its config and weights."""
    text = json.dumps([said_by(config), *map(sha256_of, files)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_copy(one: Checkpoint, other: Checkpoint, part: str) -> bool:
    """Whether a part of two models has the same config, and files with the same content."""
    if part not in one.weights or part not in other.weights:
        return False
    if said_by(one.configs[part]) != said_by(other.configs[part]):
        return False
    mine, theirs = ([sha256_of(file) for file in c.weights[part]] for c in (one, other))
    return mine == theirs


def said_by(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config says about the model."""
    return {key: value for key, value in config.items() if key not in _SAYS_NOTHING}


# Keys that only say which version wrote a config, and from where.
_SAYS_NOTHING = frozenset(
    {"_diffusers_version", "_name_or_path", "transformers_version", "torch_dtype", "dtype"}
)


def _weights(checkpoint: Checkpoint) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for part, files in checkpoint.weights.items():
        for file in files:
            if file == checkpoint.path:
                named[f"model{file.suffix.lower()}"] = file
            elif file == checkpoint.vae_path:
                named[f"vae{file.suffix.lower()}"] = file
            elif file == checkpoint.unet_path:
                named[f"unet{file.suffix.lower()}"] = file
            else:
                named[f"{part}/{file.name}"] = file
    return named


def _vocabularies(checkpoint: Checkpoint) -> dict[str, Path]:
    return {
        f"{part}/{name}": folder / name
        for part, folder in checkpoint.tokenizers.items()
        for name in ("vocab.json", "merges.txt", "tokenizer.json")
        if (folder / name).is_file()
    }


def sha256_of(file: Path) -> str:
    """The sha256 of a weight file, of which several kinds of cache may know it."""
    # The hub's cache already names large files by their sha256, but small ones by git's hash.
    blob = file.resolve()
    if (
        file.is_symlink()
        and blob.parent.name == "blobs"
        and re.fullmatch(r"[0-9a-f]{64}", blob.name)
    ):
        return blob.name
    return file_sha256(file)
