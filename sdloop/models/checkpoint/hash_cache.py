"""A cache of the hashes of large files, as long as they do not change.

A file is identified by its path, size, times and inode. Each has a small entry in the user's cache
folder, which is replaced atomically, so that programs that run at the same time never read half an
entry. A cache that cannot be read or written is ignored.
"""

import contextlib
import hashlib
import json
import os
import secrets
import sys
import time
from pathlib import Path

LEAST = 2**20  # bytes; smaller files are hashed faster than looked up
# A file that was written this recently may be written again without a change of its times.
_SETTLED = 2.0  # seconds


def file_sha256(file: Path) -> str:
    """The sha256 of ``file``, from the cache if possible; raises ``OSError``."""
    before = file.stat()
    if before.st_size < LEAST:
        return _hashed(file)
    path = file.resolve()
    facts = _facts(path, before)
    entry = cache_folder() / "hashes" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
    known = _read(entry, facts)
    if known is not None:
        return known
    sha256 = _hashed(file)
    settled = time.time() - max(before.st_mtime, before.st_ctime) > _SETTLED
    if settled and _facts(path, file.stat()) == facts:
        _write(entry, {**facts, "sha256": sha256})
    return sha256


def cache_folder() -> Path:
    """sdloop's folder in the user's cache folder (``XDG_CACHE_HOME``, if it is set)."""
    named = os.environ.get("XDG_CACHE_HOME")
    if named:
        return Path(named) / "sdloop"
    usual = {"darwin": "~/Library/Caches", "win32": "~/AppData/Local"}.get(sys.platform, "~/.cache")
    # Path.expanduser() would raise for a user without a home.
    return Path(os.path.expanduser(usual)) / "sdloop"  # noqa: PTH111


def _facts(path: Path, found: os.stat_result) -> dict[str, str | int]:
    return {
        "path": os.fsencode(path).hex(),  # may not be valid text
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,  # cannot be set back by programs
        "inode": found.st_ino,
        "device": found.st_dev,
    }


def _hashed(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _read(entry: Path, facts: dict[str, str | int]) -> str | None:
    try:
        found = json.loads(entry.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    sha256 = found.pop("sha256", None) if isinstance(found, dict) else None
    return sha256 if found == facts and isinstance(sha256, str) and len(sha256) == 64 else None


def _write(entry: Path, values: dict[str, str | int]) -> None:
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = entry.with_name(f".{secrets.token_hex(8)}.part")
        try:
            temporary.write_text(json.dumps(values), encoding="ascii")
            temporary.replace(entry)
        finally:
            temporary.unlink(missing_ok=True)
