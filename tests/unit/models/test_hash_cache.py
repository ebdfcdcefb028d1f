"""The hash cache for large files never returns the hash of another file."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from sdloop.models.checkpoint import hash_cache
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.hash_cache import cache_folder, file_sha256
from sdloop.models.checkpoint.hashes import model_hashes


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that is large enough, and was written a while ago."""
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"a" * hash_cache.LEAST)
    return file


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose bytes were read."""
    read: list[Path] = []
    original = hash_cache._hashed
    monkeypatch.setattr(hash_cache, "_SETTLED", -1.0)
    monkeypatch.setattr(hash_cache, "_hashed", lambda file: (read.append(file), original(file))[1])
    return read


def test_an_unchanged_file_is_read_once(large: Path, hashed: list[Path]) -> None:
    expected = hashlib.sha256(large.read_bytes()).hexdigest()
    assert [file_sha256(large) for _ in range(3)] == [expected] * 3
    assert hashed == [large]


def test_a_changed_file_is_read_again_even_with_its_old_times(
    large: Path, hashed: list[Path]
) -> None:
    file_sha256(large)
    times = large.stat()
    time.sleep(0.02)
    large.write_bytes(b"b" * hash_cache.LEAST)
    os.utime(large, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file_sha256(large) == hashlib.sha256(large.read_bytes()).hexdigest()
    assert len(hashed) == 2


def test_a_file_that_was_just_written_is_not_remembered(large: Path) -> None:
    file_sha256(large)
    assert not list(cache_folder().rglob("*.json"))


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"sha256": "0"}', b'{"sha256": 1}']
)
def test_a_damaged_cache_is_none(large: Path, hashed: list[Path], damage: bytes) -> None:
    right = file_sha256(large)
    (entry,) = cache_folder().rglob("*.json")
    entry.write_bytes(damage)
    assert file_sha256(large) == right
    assert json.loads(entry.read_bytes())["sha256"] == right
    assert len(hashed) == 2


def test_a_cache_that_cannot_be_written_is_none(
    large: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert file_sha256(large) == file_sha256(large)
    assert len(hashed) == 2


def test_a_link_shares_what_is_known_of_its_file(
    large: Path, hashed: list[Path], tmp_path: Path
) -> None:
    link = tmp_path / "link.safetensors"
    link.symlink_to(large)
    assert file_sha256(link) == file_sha256(large)
    assert len(hashed) == 1


def test_a_models_weights_are_remembered(hashed: list[Path]) -> None:
    checkpoint = find_checkpoint("mini")
    first = model_hashes(checkpoint)
    hashed.clear()
    assert model_hashes(checkpoint) == first
    assert [file for file in hashed if file.suffix == ".safetensors"] == []
