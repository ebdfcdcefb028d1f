"""The models that lie in the Hugging Face cache, ready to run without a network."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.find import read_folder
from sdloop.models.checkpoint.folder import STEMS, Incomplete, variants
from sdloop.models.checkpoint.value import Checkpoint


def cached_checkpoints() -> Iterator[tuple[Checkpoint, str | None]]:
    """Every model of the cache that sdloop runs, and the revision to ask for it by.

    That is None for what the hub's ``main`` pointed at when it was fetched, else a branch, a tag
    or a commit. Whatever is of another family, incomplete, damaged or closed to us is passed over:
    most of a cache belongs to other programs.
    """
    from huggingface_hub import constants

    indices = Path(constants.HF_HUB_CACHE).glob("models--*/snapshots/*/model_index.json")
    for snapshot in sorted(index.parent for index in indices):
        home, commit = snapshot.parent.parent, snapshot.name
        name = home.name.removeprefix("models--").replace("--", "/")
        try:
            found, revision = _whole(name, snapshot), _asked_by(home, commit)
        except (ModelError, SettingError, OSError):
            continue
        if found is not None:
            yield dataclasses.replace(found, revision=commit), revision


def _whole(name: str, snapshot: Path) -> Checkpoint | None:
    """The model as it is, or in the first variant that is whole: SDXL is often fetched in one."""
    for variant in (None, *variants(snapshot, "unet/", STEMS["unet"])):
        with contextlib.suppress(Incomplete):
            return read_folder(name, snapshot, variant)
    return None


def _asked_by(home: Path, commit: str) -> str | None:
    """The name that the cache knows ``commit`` by: None for main, or the commit itself."""
    refs = home / "refs"
    files = sorted(file for file in refs.rglob("*") if file.is_file())
    names = [str(f.relative_to(refs)) for f in files if f.read_bytes().strip() == commit.encode()]
    return None if "main" in names else next(iter(names), commit)
