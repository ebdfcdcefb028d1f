"""Files are written completely or not at all, and never overwritten unless requested."""

import errno
import os
import resource
import stat
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from sdloop.errors import FileError
from sdloop.metadata.atomic import check_writable, write_whole

DATA = b"picture" * 1000
CALLS = ("mkdir", "open", "fsync", "link", "unlink", "close")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_folders_are_made_and_the_umask_decides_the_mode(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        path = write_whole(tmp_path / "a" / "b" / "c.png", DATA)
    finally:
        os.umask(old)
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_what_is_there_stays_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(FileError, match=r"'.*a\.png' already exists.*--overwrite$"):
        write_whole(path, DATA)
    with pytest.raises(FileError, match="--overwrite"):
        check_writable(path)
    assert path.read_bytes() == b"old"
    assert write_whole(path, DATA, exists="number") == tmp_path / "a-2.png"
    assert write_whole(path, DATA, exists="number") == tmp_path / "a-3.png"
    assert write_whole(path, DATA, exists="overwrite") == path
    assert path.read_bytes() == DATA
    assert _names(tmp_path) == ["a-2.png", "a-3.png", "a.png"]


def test_a_dangling_link_is_a_name_in_use(tmp_path: Path) -> None:
    link = tmp_path / "a.png"
    link.symlink_to("nowhere")
    with pytest.raises(FileError, match="already exists"):
        write_whole(link, DATA)
    with pytest.raises(FileError, match="already exists"):
        check_writable(link)


def test_overwriting_keeps_a_link_and_replaces_what_it_leads_to(tmp_path: Path) -> None:
    link, target = tmp_path / "a.png", tmp_path / "elsewhere" / "b.png"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_whole(link, DATA, exists="overwrite")
    assert link.is_symlink()
    assert target.read_bytes() == DATA


def test_folders_and_devices_are_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "a.png"
    folder.mkdir()
    for check in (partial(write_whole, folder, DATA), partial(check_writable, folder)):
        with pytest.raises(FileError, match="it is a folder"):
            check()
        with pytest.raises(FileError, match="not a regular file"):
            check(exists="overwrite")
    with pytest.raises(FileError, match="not a regular file"):
        write_whole(Path("/dev/null"), DATA, exists="overwrite")


@pytest.mark.parametrize("path", ["file/a.png", "file/b/a.png", "/proc/none/a.png", "a\0.png"])
def test_an_impossible_place_is_one_line(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    with pytest.raises(FileError, match=r"^cannot write ") as caught:
        write_whole(tmp_path / path, DATA)
    assert "\n" not in str(caught.value)
    assert _names(tmp_path) == ["file"]


def test_a_folder_that_is_none_is_known_before_the_work(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    check_writable(tmp_path / "new" / "folders" / "a.png")
    with pytest.raises(FileError, match="not a writable folder"):
        check_writable(tmp_path / "file" / "a.png")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FileError, match="not a writable folder"):
        check_writable(tmp_path / "a.png")
    assert _names(tmp_path) == ["file"]


@pytest.mark.parametrize("data", [DATA, b"x" * 2000], ids=["written", "buffered"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(FileError, match=r"cannot write .*: File too large"):
            write_whole(tmp_path / "a.png", data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def _fail_at(monkeypatch: pytest.MonkeyPatch, number: int, seen: list[str]) -> None:
    """Make the ``number``-th of the CALLS fail; ``seen`` takes the names of all."""

    def wrapped(name: str):
        original = getattr(os, name)

        def call(*args, **kwargs):
            seen.append(name)
            if len(seen) == number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return original(*args, **kwargs)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, wrapped(name))


@pytest.mark.parametrize("number", range(1, 12))
def test_when_any_call_fails_there_is_a_whole_file_or_none(tmp_path: Path, number: int) -> None:
    path, seen = tmp_path / "folder" / "a.png", []
    (tmp_path / "folder").mkdir()
    with pytest.MonkeyPatch.context() as monkeypatch:
        _fail_at(monkeypatch, number, seen)
        try:
            write_whole(path, DATA)
            written = True
        except FileError as error:
            assert "Input/output error" in str(error)
            written = False
    left = sorted(path.parent.iterdir())
    assert not written or path in left
    if path in left:
        assert path.read_bytes() == DATA
    # The one thing that cannot be tidied up is the failing of tidying up.
    if seen[number - 1 : number] != ["unlink"]:
        assert left in ([], [path])


@pytest.mark.parametrize("call", ["fsync", "link", "unlink"])
def test_a_killed_process_leaves_no_half_file(tmp_path: Path, call: str) -> None:
    path = tmp_path / "a.png"
    code = (
        "import os, pathlib, signal; from sdloop.metadata.atomic import write_whole\n"
        f"os.{call} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"write_whole(pathlib.Path({str(path)!r}), {DATA!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    assert path.exists() == (call == "unlink")
    assert not path.exists() or path.read_bytes() == DATA
    assert all(other.name.startswith(".") for other in tmp_path.iterdir() if other != path)


def test_parallel_writers_take_different_names(tmp_path: Path) -> None:
    taken: list[Path] = []

    def write(number: int) -> None:
        taken.append(write_whole(tmp_path / "a.png", b"%d" % number, exists="number"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 12
    assert {path.read_bytes() for path in taken} == {b"%d" % number for number in range(12)}
    assert sorted(tmp_path.iterdir()) == sorted(taken)


def test_a_file_system_without_links_keeps_every_promise(tmp_path: Path, monkeypatch) -> None:
    def no_links(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.png"
    assert write_whole(path, DATA).read_bytes() == DATA
    with pytest.raises(FileError, match="already exists"):
        write_whole(path, b"other")
    assert write_whole(path, b"other", exists="number") == tmp_path / "a-2.png"
    assert path.read_bytes() == DATA

    def no_renames(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", no_renames)
    with pytest.raises(FileError, match="Input/output error"):
        write_whole(tmp_path / "b.png", DATA)
    assert _names(tmp_path) == ["a-2.png", "a.png"]


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    assert write_whole(tmp_path / "a.png", DATA).read_bytes() == DATA
