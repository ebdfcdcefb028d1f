"""A repository of the Hugging Face hub: its list of files, and its snapshot in the hub's cache.

Files are downloaded as the hub's own library does, to the same places, so that both share a cache;
the difference is in ``transfer``. Each request is made once: a user can repeat a command.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.hub_errors import explained
from sdloop.models.checkpoint.transfer import Watch, receive, run_jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """What the hub said about a model.

    folder
        The snapshot in the cache, which holds the files that were downloaded.
    names
        All its files.
    why
        What is missing here, for the messages of errors.
    """

    model: str
    revision: str | None
    folder: Path
    names: frozenset[str]
    why: str

    def matching(self, patterns: Collection[str]) -> list[str]:
        """Its files whose names match one of ``patterns``."""
        return sorted(n for n in self.names if any(fnmatchcase(n, p) for p in patterns))

    def fetch(self, names: Collection[str], *, whole: bool = True) -> None:
        """Download the files that are not here yet.

        If with them the snapshot is ``whole``, the revision leads to it from now on. Before, an
        older snapshot serves.
        """
        missing = sorted(name for name in names if not (self.folder / name).is_file())
        with explained(self.model, self.revision, self.why, missing, underway=True):
            run_jobs([partial(_fetch, self, name) for name in missing], self.model)
        if whole:
            _point(self.folder, self.revision)

    def note_absent(self, name: str) -> None:
        """Let the cache say that this file does not exist, as the hub's library does."""
        note = _note(self.folder, name)
        with contextlib.suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()


def ask_hub(model: str, revision: str | None, why: str, files: Collection[str]) -> Repository:
    """Ask the hub for a model's list of files, in one request. Raises ``ModelError``.

    ``files`` are those that are wanted, for messages.
    """
    from huggingface_hub import HfApi, constants

    with explained(model, revision, why, files, underway=False):
        name, wait = revision or constants.DEFAULT_REVISION, constants.HF_HUB_ETAG_TIMEOUT
        info = HfApi().model_info(model, revision=name, timeout=wait)
    names = frozenset(sibling.rfilename for sibling in info.siblings or ())
    folder = _home(model) / "snapshots" / str(info.sha)
    return Repository(model=model, revision=revision, folder=folder, names=names, why=why)


def cached(model: str, revision: str | None) -> Path | None:
    """The snapshot of ``model`` in the cache, complete or not."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # Without patterns, files that sdloop does not need would count as missing.
        return Path(
            snapshot_download(model, revision=revision, local_files_only=True, allow_patterns=[])
        )
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ModelError(
            f"{model!r} is neither a path that exists nor a hub id like owner/name"
        ) from error


def known_absent(model: str, folder: Path) -> Callable[[str], bool]:
    """Whether the cache knows that a snapshot's repository does not have a file.

    It has a list of the files if the hub's library downloaded it, else notes of single files.
    """
    from huggingface_hub import errors, get_cached_repo_tree

    try:
        names = {file.path for file in get_cached_repo_tree(model, revision=folder.name)}
    except errors.CachedRepoTreeNotFoundError:
        return lambda name: _note(folder, name).exists()
    return lambda name: name not in names


def _note(folder: Path, name: str) -> Path:
    return folder.parent.parent / ".no_exist" / folder.name / name


def _home(model: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"


def _point(folder: Path, revision: str | None) -> None:
    """Note in the cache which snapshot a branch or tag is."""
    from huggingface_hub import constants

    name = revision or constants.DEFAULT_REVISION
    ref = folder.parent.parent / "refs" / name
    if name == folder.name or (ref.is_file() and ref.read_text() == folder.name):
        return
    ref.parent.mkdir(parents=True, exist_ok=True)
    temporary = ref.with_name(f".{secrets.token_hex(4)}")
    temporary.write_text(folder.name)
    temporary.replace(ref)


def _fetch(repository: Repository, name: str, watch: Watch) -> None:
    """Download one file of a snapshot into the cache, unless its content is there already."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

    home, commit = repository.folder.parent.parent, repository.folder.name
    url = hf_hub_url(repository.model, name, revision=commit)
    headers = build_hf_headers()
    found = get_hf_file_metadata(url, headers=headers)
    if not found.etag or not re.fullmatch(r"[\w.-]+", found.etag):
        raise ModelError(f"{name} of {repository.model} has no ETag: {url} is not on a hub")
    blob = home / "blobs" / found.etag
    lock = home.parent / ".locks" / home.name / f"{found.etag}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    # Of a large file it is the sha256, of one that lies in git itself git's hash.
    digest = found.etag if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", found.etag) else None
    with WeakFileLock(lock):
        if not blob.exists():
            ask = partial(_ask, url, headers)
            what = f"{name} of {repository.model}"
            receive(ask, blob, watch, size=found.size, digest=digest, what=what)
        _link(blob, repository.folder / name)


@contextlib.contextmanager
def _ask(url: str, own: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[Any]:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session, hf_raise_for_status  # type: ignore[attr-defined]

    wait = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers={**own, **headers}, timeout=wait) as response:
        if response.status_code != 416:
            hf_raise_for_status(response)
        yield response


def _link(blob: Path, pointer: Path) -> None:
    """Put a file of a snapshot in its place: a relative link, so that the cache can be moved."""
    from huggingface_hub import constants

    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.unlink(missing_ok=True)
    if constants.HF_HUB_DISABLE_SYMLINKS:
        shutil.move(blob, pointer)
        return
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except FileExistsError:  # another process was faster
        return
    except OSError:  # a system without links
        shutil.move(blob, pointer)
