"""The label of generated pictures: IPTC's Digital Source Type, as other programs read it."""

import itertools
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, work_in
from helpers.pictures import gradient
from PIL import Image

from sdloop.animation.write import write_moving
from sdloop.metadata.chunks import read_texts
from sdloop.metadata.detail import Metadata
from sdloop.metadata.picture import read_record, write_picture
from sdloop.metadata.record import texts_of
from sdloop.metadata.xmp import label
from sdloop.recipe.recipe import Recipe

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED, EDITED = f"{IPTC}trainedAlgorithmicMedia", f"{IPTC}compositeWithTrainedAlgorithmicMedia"
NAME = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"

RECIPE = Recipe(prompt="東京, a frog", seed=4, width=16, height=8)
PAINTED = Recipe(prompt="a frog", seed=4, steps=4, strength=0.5, image="a.png", mask="b.png")
FRAME = Image.new("RGB", (16, 8), "red")


def in_packet(packet: bytes) -> list[str | None]:
    """What an XML parser finds in a packet, which has one Description."""
    return [one.text for one in ElementTree.fromstring(packet).iter(NAME)]


def by_pillow(path: Path) -> Any:
    pytest.importorskip("defusedxml", reason="Pillow needs it to read XMP")
    with Image.open(path) as image:
        found = image.getxmp()
    return found["xmpmeta"]["RDF"]["Description"]["DigitalSourceType"]


@pytest.mark.parametrize("metadata", ["full", "minimal"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_pillow_reads_it_from_pictures(tmp_path: Path, suffix: str, metadata: Metadata) -> None:
    for name, recipe, expected in (("made", RECIPE, GENERATED), ("edited", PAINTED, EDITED)):
        path = write_picture(FRAME, tmp_path / f"{name}{suffix}", recipe=recipe, metadata=metadata)
        assert by_pillow(path) == expected
        assert read_record(path).recipe == recipe
    with Image.open(path) as image:
        packet = image.info["xmp"]
    assert in_packet(packet if isinstance(packet, bytes) else packet.encode()) == [EDITED]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_without_metadata_there_is_none_and_none_of_the_input(tmp_path: Path, suffix: str) -> None:
    image = FRAME.copy()
    image.info["xmp"] = b"of an input picture"
    path = write_picture(image, tmp_path / f"a{suffix}", recipe=RECIPE, metadata="none")
    assert b"DigitalSourceType" not in path.read_bytes()
    with Image.open(path) as read:
        assert "xmp" not in read.info


def moving(path: Path, **facts: Any) -> bytes:
    texts = texts_of(RECIPE, {}, "full", moving=facts)
    frames = iter([FRAME, FRAME.rotate(180)])
    write_moving(path, frames, durations=itertools.repeat(0.1), texts=lambda: texts)
    record = read_record(path)
    assert (record.recipe, record.moving) == (RECIPE, facts)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".mp4"])
def test_it_is_in_what_moves(tmp_path: Path, suffix: str) -> None:
    """A walk from prompt to prompt is generated, and frames that exist are edited."""
    if suffix == ".mp4":
        pytest.importorskip("av")
    for facts, kind in (({"walk": 2}, GENERATED), ({"frames_sha256": ["ab"]}, EDITED)):
        data = moving(tmp_path / f"{next(iter(facts))}{suffix}", **facts)
        packet = label(edited=kind == EDITED)["XML:com.adobe.xmp"].encode()
        assert data.count(packet) == 1
        if suffix == ".webp":
            assert by_pillow(tmp_path / f"{next(iter(facts))}{suffix}") == kind
        before = data[: data.index(packet)]
        place = {".gif": b"\x21\xff\x0bXMP DataXMP", ".webp": b"XMP ", ".png": b"XML:com.adobe.xmp"}
        if suffix == ".mp4":
            assert before.endswith(bytes.fromhex("be7acfcb97a942e89c71999491e3afac"))
        else:
            assert place[suffix] in before[-40:]


def test_every_reader_of_a_gifs_blocks_finds_its_end(tmp_path: Path) -> None:
    """Whatever letter of the packet is taken for a length, the trailer leads to its last zero."""
    data = moving(tmp_path / "a.gif", walk=2)
    start = data.index(b"XMP DataXMP") + 11
    for at in range(start, start + 300):
        while data[at]:
            at += 1 + data[at]
        assert data[at : at + 2] == b"\0;"
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 2


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    """Only --metadata none leaves it out, which is told once; files without it can be used."""
    work_in(tmp_path / "here", monkeypatch, tiny_model)
    gradient().save("photo.png")
    txt2img, img2img, rerun = Command("txt2img"), Command("img2img"), Command("rerun")
    txt2img.make("a cat", "--seed", "4", "-o", "a.png")
    img2img.make("photo.png", "a cat", "--strength", "0.5", "--seed", "4", "-o", "b.png")
    assert in_packet(read_xmp("a.png")) == [GENERATED]
    assert in_packet(read_xmp("b.png")) == [EDITED]
    flags = ("--seed", "4..5", "--steps", "1", "--metadata", "none", "--outdir", "bare")
    result = txt2img.run("a cat", *flags)
    assert result.stderr.count("leaves out the label that the picture is AI-generated") == 1
    assert "label" not in txt2img.run("a cat", *flags, "--overwrite", "-q").stderr
    assert all(b"xmp" not in path.read_bytes() for path in Path("bare").iterdir())
    remove_xmp("a.png", "old.png")
    assert "parameters" in read_texts(Path("old.png"))
    rerun.make("old.png", "-o", "again.png")
    assert Path("again.png").read_bytes() == Path("a.png").read_bytes()
    assert Command("verify").run("old.png").exit_code == 0
    assert Command("diff").run("old.png", "a.png").exit_code == 0


def read_xmp(name: str) -> bytes:
    with Image.open(name) as image:
        packet = image.info["xmp"]
        return packet if isinstance(packet, bytes) else packet.encode()


def remove_xmp(name: str, into: str) -> None:
    """A file as sdloop wrote it before it had a label."""
    data = Path(name).read_bytes()
    mark = data.index(b"iTXtXML:com.adobe.xmp") - 4
    length = int.from_bytes(data[mark : mark + 4])
    Path(into).write_bytes(data[:mark] + data[mark + 12 + length :])
