"""The EXIF comment: read in any encoding, declared or not."""

import struct
from pathlib import Path

import pytest
from helpers.foreign import MFLUX, png_with
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, features

from sdloop.errors import FileError
from sdloop.metadata.comment import comment_text
from sdloop.metadata.picture import read_record
from sdloop.recipe.limits import MAX_SEED

TEXT = (
    "a red frog, 東京 é\nNegative prompt: snow\n"
    "Steps: 8, Sampler: Euler a, CFG scale: 2, Seed: 77, Size: 64x64, Version: v1.9"
)
UNICODE, ASCII = b"UNICODE\0", b"ASCII\0\0\0"


def exif(comment: bytes, *, first_folder: bool = False, kind: int = 7) -> bytes:
    """An EXIF block with this comment, in EXIF's folder or in the first one."""
    head = b"MM\0*" + struct.pack(">I", 8)
    if first_folder:
        return head + struct.pack(">HHHIII", 1, 0x9286, kind, len(comment), 26, 0) + comment
    head += struct.pack(">HHHIII", 1, 0x8769, 4, 1, 26, 0)
    return head + struct.pack(">HHHIII", 1, 0x9286, kind, len(comment), 44, 0) + comment


def picture(path: Path, block: bytes) -> Path:
    Image.new("RGB", (64, 64)).save(path, exif=b"Exif\0\0" + block)
    return path


COMMENTS = {
    "no name": TEXT.encode(),
    "an end mark": TEXT.encode() + b"\0",
    "named ASCII": ASCII + TEXT.encode(),
    "eight zeros": b"\0" * 8 + TEXT.encode(),
    "UTF-16 without a name": TEXT.encode("utf-16-le"),
    "UTF-16 with a mark": UNICODE + TEXT.encode("utf-16"),
    "big UTF-16 with a mark": UNICODE + b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "UTF-8 with a mark": UNICODE + b"\xef\xbb\xbf" + TEXT.encode(),
    "UTF-8 named UNICODE": UNICODE + TEXT.encode(),
    "UTF-8 named UNICODE with an end mark": UNICODE + TEXT.encode() + b"\0",
    "little UTF-16": UNICODE + TEXT.encode("utf-16-le"),
    "big UTF-16": UNICODE + TEXT.encode("utf-16-be") + b"\0\0",
}


@pytest.mark.parametrize("name", COMMENTS)
def test_every_encoding(name: str) -> None:
    assert comment_text(COMMENTS[name]) == TEXT


def test_latin_1_where_nothing_else_fits() -> None:
    assert comment_text("ein Fröschlein".encode("latin-1")) == "ein Fröschlein"


@given(st.binary())
def test_any_bytes_can_be_read(data: bytes) -> None:
    for code in (b"", UNICODE, ASCII, b"JIS\0\0\0\0\0"):
        comment_text(code + data).encode()


SUFFIXES = [".jpg", ".webp", ".png", *([".avif"] if features.check("avif") else [])]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("first_folder", [False, True])
def test_every_format_and_folder(tmp_path: Path, suffix: str, first_folder: bool) -> None:
    for kind, comment in ((7, UNICODE + TEXT.encode("utf-16-be")), (2, TEXT.encode() + b"\0")):
        block = exif(comment, first_folder=first_folder, kind=kind)
        record = read_record(picture(tmp_path / f"a{suffix}", block))
        assert record.settings["prompt"] == "a red frog, 東京 é"
        assert record.settings["seed"] == 77


def test_a_tag_that_is_damaged_hides_no_other(tmp_path: Path) -> None:
    comment = TEXT.encode()
    block = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 2)
    block += struct.pack(">HHII", 0x010F, 2, 4000, 9999)
    block += struct.pack(">HHIII", 0x9286, 7, len(comment), 38, 0) + comment
    assert read_record(picture(tmp_path / "a.jpg", block)).settings["seed"] == 77


@pytest.mark.parametrize("comment", [b"My holiday, 2019", b'{"sensor_type": 3}', b"Steps: many"])
def test_what_a_camera_says_is_no_prompt(tmp_path: Path, comment: bytes) -> None:
    for data in (ASCII + comment, comment, UNICODE + comment.decode().encode("utf-16-be")):
        with pytest.raises(FileError, match="contains no settings"):
            read_record(picture(tmp_path / "a.jpg", exif(data)))


def test_the_comment_of_a_gif_is_no_prompt(tmp_path: Path) -> None:
    Image.new("P", (8, 8)).save(tmp_path / "a.gif", comment=b"Created with a program")
    with pytest.raises(FileError, match="contains no settings"):
        read_record(tmp_path / "a.gif")


def test_a_comment_and_a_text_chunk_beside_each_other(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", TEXT)
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path, pnginfo=info, exif=b"Exif\0\0" + exif(b"My holiday"))
    assert read_record(path).settings["seed"] == 77


LONG = 124263196777517


def test_seeds_of_64_bits_are_read_alike(tmp_path: Path) -> None:
    line = f"a frog\nSteps: 8, Sampler: Euler, Seed: {LONG}, Size: 64x64"
    sdcpp = f"{line}, Version: stable-diffusion.cpp"
    invokeai = {"positive_prompt": "a frog", "seed": LONG}
    kinds: dict[str, dict[str, object]] = {
        "a1111": {"parameters": line},
        "sd.cpp": {"parameters": sdcpp},
        "mflux": {"parameters": {**MFLUX, "seed": LONG}},
        "invokeai": {"invokeai_metadata": invokeai},
        "old": {"sd_metadata": {"image": {"prompt": "a frog", "seed": LONG}}},
    }
    for name, texts in kinds.items():
        record = read_record(png_with(tmp_path / f"{name}.png", **texts))  # type: ignore[arg-type]
        assert record.settings["seed"] == LONG & MAX_SEED == 1202969645, name
        told = [line for line in record.left_out if line.lower().startswith("seed")]
        assert len(told) == 1 and str(LONG) in told[0] and "1202969645" in told[0], name


def test_a_variation_seed_of_64_bits(tmp_path: Path) -> None:
    line = f"a frog\nSteps: 8, Seed: 1, Variation seed: {LONG}, Variation seed strength: 0.2"
    record = read_record(png_with(tmp_path / "a.png", parameters=line))
    assert record.settings["variation_seed"] == 1202969645
    assert any(line.startswith(f"Variation seed: {LONG}") for line in record.left_out)
    longer = line.replace(str(LONG), str(2**64))
    record = read_record(png_with(tmp_path / "a.png", parameters=longer))
    assert "variation_seed" not in record.settings
    assert f"Variation seed: {2**64}" in record.left_out
