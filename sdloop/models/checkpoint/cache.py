"""The models in the Hugging Face cache that can run offline."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.find import read_folder
from sdloop.models.checkpoint.folder import Incomplete
from sdloop.models.checkpoint.repository import known_absent
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.checkpoint.weight_files import guessed_absent, names_in
from sdloop.models.checkpoint.weight_names import variants_of


def cached_checkpoints() -> Iterator[tuple[Checkpoint, str | None]]:
    """Every model in the cache that sdloop can run, and the revision that selects it.

    The revision is None for the commit that ``main`` pointed at when it was downloaded, else a
    branch, a tag or a commit. Models that are of another family, incomplete, damaged or unreadable
    are skipped: most of a cache belongs to other programs.
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
    """The model, or its first complete variant: SDXL is often downloaded only as fp16."""
    there = variants_of(names_in(snapshot, "unet/"), ("unet",))
    for variant in (None, *sorted(there)):
        for absent in (known_absent(name, snapshot), guessed_absent(snapshot, variant)):
            with contextlib.suppress(Incomplete):
                return read_folder(name, snapshot, variant, absent)
    return None


def _asked_by(home: Path, commit: str) -> str | None:
    """The branch or tag of ``commit`` in the cache: None for main; else the commit itself."""
    refs = home / "refs"
    files = sorted(file for file in refs.rglob("*") if file.is_file())
    names = [str(f.relative_to(refs)) for f in files if f.read_bytes().strip() == commit.encode()]
    return None if "main" in names else next(iter(names), commit)
