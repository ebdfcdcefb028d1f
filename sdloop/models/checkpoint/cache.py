"""The models that were downloaded, from the Hugging Face hub and Civitai, and can run offline."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.civitai import held_files
from sdloop.models.checkpoint.find import read_file, read_folder
from sdloop.models.checkpoint.folder import Incomplete
from sdloop.models.checkpoint.repository import known_absent
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.checkpoint.weight_files import guessed_absent, names_in
from sdloop.models.checkpoint.weight_names import STEMS, variants_of

# Folders of parts, whose files are no models.
_PARTS = (*STEMS, "safety_checker", "image_encoder")


def cached_checkpoints() -> Iterator[tuple[Checkpoint, str | None]]:
    """Every model in the caches that sdloop can run, and the revision that selects it.

    First those in diffusers' layout, then single files. The revision is None for the commit that
    ``main`` pointed at when it was downloaded, else a branch, a tag or a commit. Models that are of
    another family, incomplete, damaged or unreadable are skipped: most of a cache belongs to other
    programs.
    """
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    yield from _folders(cache)
    for snapshot, inside in _single_files(cache):
        home, commit = snapshot.parent.parent, snapshot.name
        with contextlib.suppress(ModelError, SettingError, OSError):
            found = _runs(f"{_name(home)}/{inside}", snapshot / inside)
            yield dataclasses.replace(found, revision=commit), _revision_of(home, commit)
    for address, path in held_files():
        with contextlib.suppress(ModelError, SettingError, OSError):
            yield _runs(address, path), None


def _folders(cache: Path) -> Iterator[tuple[Checkpoint, str | None]]:
    """The models in diffusers' layout, each in its first complete variant."""
    indices = cache.glob("models--*/snapshots/*/model_index.json")
    for snapshot in sorted(index.parent for index in indices):
        home, commit = snapshot.parent.parent, snapshot.name
        try:
            found, revision = _whole(_name(home), snapshot), _revision_of(home, commit)
        except (ModelError, SettingError, OSError):
            continue
        if found is not None:
            yield dataclasses.replace(found, revision=commit), revision


def _name(home: Path) -> str:
    return home.name.removeprefix("models--").replace("--", "/")


def _single_files(cache: Path) -> Iterator[tuple[Path, str]]:
    """The files that may be whole models, and not parts of one: snapshot and name in it."""
    for snapshot in sorted(cache.glob("models--*/snapshots/*")):
        for path in sorted(snapshot.rglob("*")):
            name = path.relative_to(snapshot)
            if name.suffix in (".safetensors", ".ckpt") and name.parts[0] not in _PARTS:
                yield snapshot, name.as_posix()


def _runs(name: str, path: Path) -> Checkpoint:
    """The model in a single file; raises ``ModelError`` for anything else, also without a VAE."""
    found = read_file(name, path)
    if "vae" not in found.weights:
        raise ModelError(f"{path} holds no VAE")
    return found


def _whole(name: str, snapshot: Path) -> Checkpoint | None:
    """The model, or its first complete variant: SDXL is often downloaded only as fp16."""
    there = variants_of(names_in(snapshot, "unet/"), ("unet",))
    for variant in (None, *sorted(there)):
        for absent in (known_absent(name, snapshot), guessed_absent(snapshot, variant)):
            with contextlib.suppress(Incomplete):
                return read_folder(name, snapshot, variant, absent)
    return None


def _revision_of(home: Path, commit: str) -> str | None:
    """The branch or tag of ``commit`` in the cache: None for main; else the commit itself."""
    refs = home / "refs"
    files = sorted(file for file in refs.rglob("*") if file.is_file())
    names = [str(f.relative_to(refs)) for f in files if f.read_bytes().strip() == commit.encode()]
    return None if "main" in names else next(iter(names), commit)
