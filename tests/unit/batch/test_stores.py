"""Pictures in a bucket: written once, read by the commands for files, and resumed by an index."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, work_in
from helpers.s3_server import BUCKET, SECRET, Bucket, s3_bucket

import sdloop.batch.run
import sdloop.batch.units
from sdloop.batch.found import Found, found_in
from sdloop.batch.index import FOLDER, Entry, compact, write_entries
from sdloop.errors import AlreadyMade, FileError
from sdloop.gallery.choices import choices_of, choose
from sdloop.gallery.copies import copy_whole
from sdloop.gallery.folder import content_of, scan
from sdloop.metadata.atomic import write_filled, write_whole
from sdloop.metadata.keys import key_of
from sdloop.places.path import location

pytest.importorskip("obstore", reason="obstore is in the extra sdloop[cluster]")

BATCH, TXT2IMG = Command("batch"), Command("txt2img")
OUT = f"s3://{BUCKET}/out"
PLAN = ("a red house", "--seed", "1..4", "--batch-size", "2", "--outdir")
KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with s3_bucket(monkeypatch) as found:
        yield found


def pictures_asked(bucket: Bucket) -> list[str]:
    return [line for line in bucket.asked if line.endswith(".png") and "PUT" not in line]


def test_the_bytes_are_those_of_a_folder(bucket: Bucket) -> None:
    on_disk = BATCH.make(*PLAN, "out")
    stored = BATCH.make(*PLAN, OUT)
    assert stored == [name.replace("out", OUT, 1) for name in on_disk]
    assert bucket.pictures() == {name: Path(name).read_bytes() for name in on_disk}
    for name in on_disk:
        assert bucket.objects[name].attributes["sdloopkey"] == key_of(Path(name))


def test_a_batch_resumes_from_its_index(bucket: Bucket) -> None:
    made, before = BATCH.make(*PLAN, OUT), bucket.pictures()
    bucket.asked.clear()
    assert BATCH.make(*PLAN, OUT) == []
    assert pictures_asked(bucket) == []
    # Nobody is fooled by an entry whose picture is gone, or has become another one.
    del bucket.objects["out/a-red-house-2.png"]
    assert BATCH.make(*PLAN, OUT) == [made[1]]
    assert bucket.pictures() == before
    assert BATCH.make(*PLAN, OUT, "--rescan") == []
    assert pictures_asked(bucket) != []


def test_without_its_index_the_keys_are_asked_for(bucket: Bucket) -> None:
    BATCH.make(*PLAN, OUT)
    for name in [name for name in bucket.objects if FOLDER in name]:
        del bucket.objects[name]
    assert BATCH.make(*PLAN, OUT) == []
    assert not any(line.startswith("GET out/a-red") for line in bucket.asked[-8:])


def test_a_picture_that_another_computer_has_written_meanwhile(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    BATCH.make(*PLAN, OUT)
    before = bucket.pictures()
    monkeypatch.setattr(sdloop.batch.units, "found_in", lambda *_, **__: Found())
    monkeypatch.setattr(sdloop.batch.run, "is_there", lambda *_, **__: False)
    assert BATCH.make(*PLAN, OUT) == []
    assert bucket.pictures() == before


def test_a_busy_store_is_asked_again(bucket: Bucket) -> None:
    bucket.busy = 3
    assert TXT2IMG.make("a frog", "--seed", "4", "--outdir", OUT) == [f"{OUT}/a-frog-4.png"]


def test_the_commands_for_files(bucket: Bucket) -> None:
    (made,) = TXT2IMG.make("a frog", "--seed", "4", "-o", f"{OUT}/{{seed}}.png")
    assert made == f"{OUT}/4.png"
    assert json.loads(Command("show").run(made, "--json").stdout)["recipe"]["seed"] == 4
    assert made in Command("show").run(OUT).stdout
    assert "equal" in Command("verify").run(made).stdout
    (again,) = Command("rerun").run(made).stdout.splitlines()
    assert Path(again).read_bytes() == bucket.pictures()["out/4.png"]
    assert Command("sheet").run(OUT, "-o", "sheet.png").exit_code == 0
    (changed,) = Command("img2img").make(made, "a cat", "--seed", "5", "--outdir", OUT)
    assert json.loads(Command("show").run(changed, "--json").stdout)["recipe"]["image"] == made
    refusal = TXT2IMG.refused("a frog", "--seed", "4", "-o", made, code=3)
    assert "already exists" in refusal


def test_a_printed_plan_names_the_bucket(bucket: Bucket) -> None:
    plan = BATCH.run(*PLAN, OUT, "--dry-run").stdout
    assert json.loads(plan.splitlines()[0])["output"] == f"{OUT}/a-red-house-1.png"
    lines = BATCH.run("--from-file", "-", "--outdir", OUT, stdin=plan).stdout.splitlines()
    assert lines == [f"{OUT}/a-red-house-{seed}.png" for seed in range(1, 5)]


def test_the_page_for_picking(bucket: Bucket) -> None:
    root = location(OUT)
    for name in ("1.png", "b/2.png", ".hidden/3.png", "note.txt"):
        write_whole(root / name, name.encode())
    assert [one.path for one in scan(root)] == ["1.png", "b/2.png"]
    assert content_of(root, "b/2.png") == b"b/2.png"
    assert (
        list(choose(root, "b/2.png", "pick").picks) == list(choices_of(root).picks) == ["b/2.png"]
    )
    target = location(f"{OUT}-picks")
    assert [str(path) for path in copy_whole(root, ["1.png"], target)] == [f"{target}/1.png"]
    assert copy_whole(root, ["1.png"], target) == []
    write_whole(target / "1.png", b"another", exists="overwrite")
    assert [str(path) for path in copy_whole(root, ["1.png"], target)] == [f"{target}/1-2.png"]
    assert copy_whole(root, ["1.png"], target) == []


def test_a_name_is_taken_once(bucket: Bucket) -> None:
    path = location(f"{OUT}/a.png")
    write_whole(path, b"first", key=KEY, once=True)
    with pytest.raises(AlreadyMade, match=r"out/a\.png' is this picture already"):
        write_whole(path, b"late", key=KEY, once=True)
    other = write_whole(path, b"other", key=KEY[::-1], once=True, exists="number")
    assert str(other) == f"{OUT}/a-2.png"
    with pytest.raises(FileError, match="already exists"):
        write_whole(path, b"other", key=KEY[::-1], once=True)
    assert write_filled(path, lambda file: file.write(b"new"), exists="overwrite") == path
    assert bucket.pictures() == {"out/a.png": b"new", "out/a-2.png": b"other"}


def test_on_disk_too() -> None:
    (made,) = BATCH.make("a frog", "--seed", "4", "--outdir", "out")
    data, key = Path(made).read_bytes(), key_of(Path(made))
    with pytest.raises(AlreadyMade):
        write_whole(Path(made), data, key=key, once=True, exists="number")
    assert write_whole(Path(made), data, key=KEY, once=True, exists="number") != Path(made)


def test_a_refusal_shows_no_secret(bucket: Bucket) -> None:
    bucket.closed = True
    for command, words in ((TXT2IMG, ("a frog", "--seed", "4", "--outdir", OUT)),
                           (BATCH, (*PLAN, OUT)), (Command("show"), (OUT,))):  # fmt: skip
        result = command.run(*words)
        assert result.exit_code == 3
        assert "the store refuses the access: check the credentials" in result.stderr
        assert SECRET not in result.output and "Debug" not in result.output


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    told = "an address in a bucket needs obstore: pip install 'sdloop[cluster]'"
    assert TXT2IMG.refused("a frog", "--seed", "4", "--outdir", OUT) == told
    assert BATCH.refused(*PLAN, OUT) == told
    assert Command("show").refused(OUT) == told


def test_an_index_on_disk() -> None:
    made = BATCH.make(*PLAN, "out")
    assert not Path("out", FOLDER).exists()
    (written,) = Command("index").run("compact", "out").stdout.splitlines()
    assert found_in(Path("out")).opened == 0
    BATCH.make("a blue house", *PLAN[1:], "out")
    assert len(list(Path("out", FOLDER).iterdir())) == 2
    assert (found := found_in(Path("out"))).opened == 0 and len(found) == 8
    (compacted,) = Command("index").run("compact", "out").stdout.splitlines()
    assert [str(path) for path in Path("out", FOLDER).iterdir()] == [compacted] != [written]
    assert Command("index").run("compact", "out").stdout.splitlines() == [compacted]
    assert Path(compacted).is_file()
    # The size does not fit any more: the file is opened, as without an index.
    Path(made[0]).write_bytes(Path(made[0]).read_bytes()[:-9])
    assert (found := found_in(Path("out"))).opened == 1 and len(found) == 7
    assert found_in(Path("out"), rescan=True).opened == 8


def test_a_damaged_index_is_only_slower() -> None:
    BATCH.make(*PLAN, "out")
    entry = Entry(key=KEY, name="gone.png", size=1, sha256=KEY)
    file = write_entries(Path("out"), [entry])
    file.write_text(file.read_text() + '{"key": 4}\n[]\nnonsense\n\x00')
    assert (found := found_in(Path("out"))).opened == 4 and len(found) == 4
    assert compact(Path("out"), []) is None
    assert Command("index").refused("compact", "missing", code=3).endswith("not a folder")


@pytest.mark.parametrize("address", ["s3://", "s3:///x", "s3://b/../x", "https://b/x", "s4://b"])
def test_what_is_no_address(address: str) -> None:
    assert "an address must" in TXT2IMG.refused("a frog", "--seed", "4", "--outdir", address)


def test_file_addresses_are_folders(place: Path) -> None:
    (made,) = TXT2IMG.make("a frog", "--seed", "4", "--outdir", f"file://{place}/my%20frogs")
    assert made == f"{place}/my frogs/a-frog-4.png"
    assert Path(made).is_file()


@pytest.mark.slow
def test_a_hundred_thousand_finished_pictures_are_not_opened(monkeypatch: Any) -> None:
    """Files of one byte: to open one would show that it is no picture."""
    import time

    folder, entries = Path("many"), []
    folder.mkdir()
    for number in range(100_000):
        (folder / f"{number}.png").write_bytes(b"x")
        key = f"{number:064x}"[::-1]
        entries.append(Entry(key=key, name=f"{number}.png", size=1, sha256=key))
    for start in range(0, len(entries), 1000):
        write_entries(folder, entries[start : start + 1000])
    began = time.monotonic()
    found = found_in(folder)
    print(f"100,000 pictures from the index in {time.monotonic() - began:.1f} s")
    assert (found.opened, len(found)) == (0, 100_000)
    assert time.monotonic() - began < 20
