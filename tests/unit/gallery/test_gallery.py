"""The parts of ``sdloop pick``: scanning a folder, lists of paths, thumbnails."""

import io
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.pick_folder import picture, plain, three
from PIL import Image

from sdloop.errors import FileError
from sdloop.gallery.choices import Choices, choices_of, choose
from sdloop.gallery.copies import copy_whole
from sdloop.gallery.folder import content_of, id_of, scan
from sdloop.gallery.index import Index
from sdloop.gallery.thumbnails import SIDE, cache_folder, forget_old, thumbnail


def paths(folder: Path) -> list[str]:
    return sorted(seen.path for seen in scan(folder))


def test_pictures_of_all_folders_below_and_nothing_else(tmp_path: Path) -> None:
    """What is hidden, half written, a link or no picture is not there."""
    three(tmp_path / "out")
    plain(tmp_path / "elsewhere.png")
    out = tmp_path / "out"
    for name in (".hidden.png", ".sdloop-0123.part", "notes.txt", "two\nlines.png", "film.mp4"):
        (out / name).write_bytes(b"")
    plain(out / ".cache" / "a.png")
    (out / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (out / "inside.png").symlink_to(out / "cat.png")
    (out / "folder").symlink_to(tmp_path)
    os.mkfifo(out / "pipe.png")
    assert paths(out) == ["cat.png", "frogs/4.png", "plain.jpg"]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot read"):
        list(scan(tmp_path / "none"))


@pytest.mark.parametrize("path", ["../elsewhere.png", "link.png", "folder/elsewhere.png", "a\0b"])
def test_nothing_outside_of_the_folder_is_opened(tmp_path: Path, path: str) -> None:
    """Even where a picture became a link after it was seen."""
    out = three(tmp_path / "out")
    plain(tmp_path / "elsewhere.png")
    (out / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (out / "folder").symlink_to(tmp_path)
    assert content_of(out, "cat.png") == (out / "cat.png").read_bytes()
    with pytest.raises(FileError, match="cannot read"):
        content_of(out, path)


def test_choices_are_lines_in_the_order_of_choosing(tmp_path: Path) -> None:
    choose(tmp_path, "b.png", "pick")
    choose(tmp_path, "a b/東京 #1.png", "pick")
    choose(tmp_path, "c.png", "reject")
    choose(tmp_path, "b.png", "pick")
    assert (tmp_path / "picks.txt").read_text("utf-8") == "b.png\na b/東京 #1.png\n"
    assert (tmp_path / "rejects.txt").read_text("utf-8") == "c.png\n"
    assert choose(tmp_path, "b.png", "reject") == choices_of(tmp_path)
    assert choices_of(tmp_path) == Choices(picks=["a b/東京 #1.png"], rejects=["c.png", "b.png"])
    choose(tmp_path, "c.png", "none")
    choose(tmp_path, "b.png", "none")
    assert (tmp_path / "rejects.txt").read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picks.txt", "rejects.txt"]


def test_lists_may_be_edited_by_hand(tmp_path: Path) -> None:
    """Also on Windows, and with what is gone; and a name need not be text."""
    (tmp_path / "picks.txt").write_bytes(b"gone.png\r\nb.png\r\n\r\nb.png\nodd-\xff.png")
    (tmp_path / "rejects.txt").write_bytes(b"b.png\nc.png\n")
    assert choices_of(tmp_path).rejects == ["c.png"]
    choose(tmp_path, "a.png", "pick")
    assert (tmp_path / "picks.txt").read_bytes() == b"gone.png\nb.png\nodd-\xff.png\na.png\n"


def test_a_choice_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "picks.txt").mkdir()
    with pytest.raises(FileError, match=r"picks\.txt"):
        choose(tmp_path, "a.png", "pick")


def test_loras_and_controls_are_the_texts_of_their_flags(tmp_path: Path) -> None:
    loras = ["ink.safetensors:0.8:0.5", "oil.safetensors"]
    picture(tmp_path / "a.png", loras=loras, controls=["canny/=edges.png:0.5"])
    settings = Index(tmp_path).news(0).pictures[0]["settings"]
    assert settings["loras"] == "ink.safetensors:0.8:0.5, oil.safetensors:1"
    assert settings["controls"] == "canny/=edges.png:0.5"


def test_news_are_what_changed_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdloop.gallery.index._EVERY", 0)
    out = three(tmp_path / "out")
    index = Index(out)
    first = index.news(0)
    assert [facts["path"] for facts in first.pictures] == ["plain.jpg", "frogs/4.png", "cat.png"]
    assert first.unread == 0
    assert first.pictures[0]["settings"] == {}
    settings = first.pictures[1]["settings"]
    assert (settings["prompt"], settings["seed"], settings["guidance_scale"]) == ("a frog", 4, 7.5)
    assert index.news(first.number).pictures == []
    picture(out / "new.png", seconds=1e9 + 9, prompt="a new one")
    picture(out / "cat.png", seconds=1e9 + 8, prompt="another cat", steps=7)
    (out / "plain.jpg").unlink()
    second = index.news(first.number)
    assert [facts["settings"]["prompt"] for facts in second.pictures] == [
        "another cat",
        "a new one",
    ]
    assert second.gone == [id_of("plain.jpg")]
    assert index.picture(id_of("plain.jpg")) is None
    plain(out / "plain.jpg")
    third = index.news(second.number)
    assert ([facts["path"] for facts in third.pictures], third.gone) == (["plain.jpg"], [])


def test_a_large_folder_is_told_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first; and nobody is told anything twice."""
    clock = SimpleNamespace(monotonic=iter(range(1, 1000)).__next__)
    monkeypatch.setattr("sdloop.gallery.index.time", clock)
    monkeypatch.setattr("sdloop.gallery.index._AT_ONCE", 2)
    index = Index(three(tmp_path / "out"))
    first = index.news(0)
    second = index.news(first.number)
    told = [[facts["path"] for facts in news.pictures] for news in (first, second)]
    assert (told, first.unread) == ([["plain.jpg"], ["frogs/4.png"]], 2)


def test_thumbnails_are_made_once_and_kept_elsewhere(tmp_path: Path) -> None:
    out = tmp_path / "out"
    plain(out / "wide.png", size=(2000, 500))
    (seen,) = scan(out)
    data, content_type = thumbnail(out, seen, tmp_path / "cache")
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.format, content_type) == ((SIDE, 96), "JPEG", "image/jpeg")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(b"kept")
    assert thumbnail(out, seen, tmp_path / "cache") == (b"kept", "image/jpeg")
    assert [path.name for path in out.iterdir()] == ["wide.png"]
    plain(out / "wide.png", size=(2000, 1000), seconds=1e9 + 1)
    (changed,) = scan(out)
    data, _ = thumbnail(out, changed, tmp_path / "cache")
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (SIDE, 192)


def test_small_pictures_are_their_own_thumbnails(tmp_path: Path) -> None:
    out = three(tmp_path / "out")
    for seen in scan(out):
        data, content_type = thumbnail(out, seen, tmp_path / "cache")
        assert data == (out / seen.path).read_bytes()
        assert content_type == seen.content_type
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    plain(tmp_path / "out" / "a.png", size=(900, 900))
    (tmp_path / "cache").write_text("in the way")
    (seen,) = scan(tmp_path / "out")
    assert thumbnail(tmp_path / "out", seen, tmp_path / "cache")[1] == "image/jpeg"


def test_what_is_no_picture_has_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (seen,) = scan(tmp_path)
    with pytest.raises(FileError, match=r"a\.png"):
        thumbnail(tmp_path, seen, tmp_path / "cache")


def test_old_thumbnails_are_forgotten(tmp_path: Path) -> None:
    for name, days in (("old.jpg", 91), ("new.jpg", 89), ("other.txt", 200)):
        (tmp_path / name).write_bytes(b"")
        then = time.time() - days * 24 * 3600
        os.utime(tmp_path / name, (then, then))
    forget_old(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.jpg", "other.txt"]


def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "sdloop" / "thumbnails"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert Path.home() in cache_folder().parents


def test_copies_lose_nothing(tmp_path: Path) -> None:
    out = three(tmp_path / "out")
    target = tmp_path / "target"
    assert copy_whole(out, ["frogs/4.png", "cat.png"], target) == [
        target / "frogs" / "4.png", target / "cat.png"
    ]  # fmt: skip
    assert copy_whole(out, ["frogs/4.png", "cat.png"], target) == []
    picture(out / "cat.png", prompt="another")
    for _ in range(2):
        copy_whole(out, ["cat.png"], target)
    assert sorted(path.name for path in target.iterdir()) == ["cat-2.png", "cat.png", "frogs"]
    assert (target / "cat-2.png").read_bytes() == (out / "cat.png").read_bytes()
