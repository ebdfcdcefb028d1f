"""Picture files: metadata are read back, files are complete or absent, none is overwritten."""

import contextlib
import json
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from sdloop.errors import FileError, SettingError
from sdloop.metadata.a1111 import format_parameters
from sdloop.metadata.a1111_write import parameters_of
from sdloop.metadata.chunks import read_texts
from sdloop.metadata.picture import check_output, read_record, write_picture
from sdloop.metadata.record import SCHEMA, Made
from sdloop.recipe.recipe import Recipe

RECIPE = Recipe(
    prompt="東京, a frog on 🐎\n<lora:x:0.8> \"quoted\" 'too'\nSteps: 1, Sampler: forged, Seed: 2",
    negative_prompt="ugly\nNegative prompt: forged, too: yes",
    seed=4,
    width=16,
    height=8,
    steps=20,
    scheduler="dpmpp-2m",
    sigmas="karras",
    clip_skip=2,
    original_size=(32, 16),
)
MADE: Made = {
    "weights": {"unet/diffusion_pytorch_model.safetensors": "ab" * 32},
    "revision": None,
    "sigmas": (14.614641189575195, 1.0, 0.0),
    "key": "cd" * 32,
    "versions": {"sdloop": "0.1.0", "torch": "2.13.0"},
    "device": "cpu",
    "dtype": "float32",
    "seconds": 1.25,
}
SUFFIXES = (".png", ".jpg", ".webp")


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.frombytes("RGB", (16, 8), bytes(i * 7 % 256 for i in range(16 * 8 * 3)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_recipe_comes_back_from_the_file(tmp_path: Path, image, suffix: str) -> None:
    path = write_picture(image, tmp_path / f"a{suffix}", recipe=RECIPE, made=MADE)
    record = read_record(path)
    assert record.recipe == RECIPE
    assert record.source == "sdloop"
    assert record.settings == RECIPE.to_dict()
    assert record.made == {**MADE, "sigmas": list(MADE["sigmas"])}
    assert record.fields["Sampler"] == "DPM++ 2M"
    assert record.fields["Version"] == "sdloop 0.1.0"


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(max_examples=60)
@given(texts, texts, st.sampled_from(SUFFIXES), st.sampled_from(["full", "minimal"]))
def test_any_prompts_come_back(
    tmp_path_factory, image, prompt: str, negative: str, suffix: str, metadata: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    recipe = replace(RECIPE, prompt=prompt, negative_prompt=negative, emphasis="none")
    write_picture(image, path, recipe=recipe, metadata=metadata, exists="overwrite")
    assert read_record(path).recipe == recipe


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_minimal_metadata_says_nothing_about_the_machine(
    tmp_path: Path, image, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    record = read_record(write_picture(image, path, recipe=RECIPE, made=MADE, metadata="minimal"))
    assert record.recipe == RECIPE
    assert record.made == {}
    for word in (b"torch", b"float32", b"2.13.0"):
        assert word not in path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_metadata_means_pixels_alone(tmp_path: Path, image, suffix: str) -> None:
    path = write_picture(image, tmp_path / f"a{suffix}", recipe=RECIPE, metadata="none")
    assert read_texts(path) == {}
    with Image.open(path) as read:
        assert not {"parameters", "sdloop", "exif"} & set(read.info)
    with pytest.raises(FileError, match="contains no settings"):
        read_record(path)


def test_an_infinite_sigma_is_valid_json(tmp_path: Path, image) -> None:
    made: Made = {"sigmas": (float("inf"), 1.0)}
    path = write_picture(image, tmp_path / "a.png", recipe=RECIPE, made=made)
    assert read_record(path).made == {"sigmas": ["inf", 1.0]}


def test_the_pixels_of_png_and_webp_are_exact(tmp_path: Path, image) -> None:
    for suffix in (".png", ".webp"):
        with Image.open(write_picture(image, tmp_path / f"a{suffix}", recipe=RECIPE)) as read:
            assert read.tobytes() == image.tobytes()


def test_text_is_itxt_only_where_it_is_not_latin_1(tmp_path: Path, image) -> None:
    latin = replace(RECIPE, prompt="crème brûlée", negative_prompt=None)
    plain = write_picture(image, tmp_path / "latin.png", recipe=latin).read_bytes()
    other = write_picture(image, tmp_path / "other.png", recipe=RECIPE).read_bytes()
    assert b"tEXtparameters\0" in plain
    assert b"iTXtparameters\0" in other
    assert b"tEXtsdloop\0" in plain
    assert b"tEXtsdloop\0" in other


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_programs_see_the_a1111_text(tmp_path: Path, image, suffix: str) -> None:
    expected = format_parameters(parameters_of(RECIPE, MADE))
    with Image.open(
        write_picture(image, tmp_path / f"a{suffix}", recipe=RECIPE, made=MADE)
    ) as read:
        if suffix == ".png":
            text = read.text["parameters"]
        else:
            comment = read.getexif().get_ifd(0x8769)[0x9286]
            assert comment.startswith(b"UNICODE\0")
            text = comment[8:].decode("utf-16-be")
    assert text == expected


def test_unusual_names_and_modes_are_refused(tmp_path: Path, image) -> None:
    with pytest.raises(SettingError, match=r"must end in \.png, \.jpg, \.jpeg, \.webp, got"):
        write_picture(image, tmp_path / "a.bmp", recipe=RECIPE)
    with pytest.raises(FileError, match="cannot encode this picture as JPEG"):
        write_picture(image.convert("RGBA"), tmp_path / "a.jpg", recipe=RECIPE)
    with pytest.raises(SettingError, match="metadata must be one of full, minimal, none"):
        write_picture(image, tmp_path / "a.png", recipe=RECIPE, metadata="some")
    assert list(tmp_path.iterdir()) == []


def test_sides_beyond_the_format_are_refused_before_the_work(tmp_path: Path) -> None:
    wide = replace(RECIPE, width=2**15)
    check_output(tmp_path / "a.png", wide)
    check_output(tmp_path / "a.jpg", wide)
    with pytest.raises(SettingError, match=r"width must be at most 16383 for \.webp files"):
        check_output(tmp_path / "a.webp", wide)


@pytest.mark.parametrize(("name", "size"), [("a.png", 2**20), ("a.webp", 2**20), ("a.jpg", 2**14)])
def test_texts_that_could_not_be_read_back_are_refused_before_the_work(
    tmp_path: Path, name: str, size: int
) -> None:
    path = tmp_path / name
    check_output(path, RECIPE)
    with pytest.raises(SettingError, match=r"must fit into \d+ bytes .* shorten the prompt"):
        check_output(path, replace(RECIPE, prompt="x" * size))
    check_output(path, replace(RECIPE, prompt="x" * size), metadata="none")


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_a_very_long_prompt_is_read_back(tmp_path: Path, image, name: str) -> None:
    recipe = replace(RECIPE, prompt="東" + "x" * 1_000_000)
    path = write_picture(image, tmp_path / name, recipe=recipe, made=MADE)
    assert read_record(path).recipe == recipe
    with Image.open(path) as read:
        read.load()


def test_the_longest_text_of_a_jpeg_is_one_that_pillow_can_write(tmp_path: Path, image) -> None:
    path, recipe = tmp_path / "a.jpg", RECIPE
    for size in (2**i for i in range(14, -1, -1)):
        longer = replace(recipe, prompt=recipe.prompt + "x" * size)
        with contextlib.suppress(SettingError):
            write_picture(image, path, recipe=longer, made=MADE, exists="overwrite")
            recipe = longer
    assert path.stat().st_size > 2**16
    assert read_record(path).recipe == recipe


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_cut_short_anywhere_is_refused(tmp_path: Path, image, suffix: str) -> None:
    data = write_picture(image, tmp_path / f"a{suffix}", recipe=RECIPE, made=MADE).read_bytes()
    path = tmp_path / f"cut{suffix}"
    for size in {*range(0, len(data), 19), len(data) - 1}:
        path.write_bytes(data[:size])
        with pytest.raises(FileError, match="not a valid picture"):
            read_record(path)


@pytest.fixture(scope="module")
def examples(tmp_path_factory, image) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("examples")
    return {
        suffix: write_picture(image, folder / f"a{suffix}", recipe=RECIPE, made=MADE).read_bytes()
        for suffix in SUFFIXES
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_a_file_error_or_readable(tmp_path_factory, examples, suffix, data):
    damaged = bytearray(examples[suffix])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(damaged)
    with contextlib.suppress(FileError):
        read_record(path)


@settings(max_examples=150)
@given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBP"]), st.binary())
def test_no_bytes_at_all_make_reading_crash(tmp_path_factory, head: bytes, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + rest)
    with pytest.raises(FileError):
        read_record(path)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + _chunk(b"iTXt", b"sdloop"),
        b"\x89PNG\r\n\x1a\n" + _chunk(b"iTXt", b"sdloop\0\0\0en"),
        b"\x89PNG\r\n\x1a\n" + _chunk(b"iTXt", b"sdloop\0\0\0\0\0\xff"),
        b"\x89PNG\r\n\x1a\n" + _chunk(b"zTXt", b"sdloop\0\0not packed"),
        b"\x89PNG\r\n\x1a\n" + _chunk(b"tEXt", b"sdloop\0{}")[:-1] + b"!",
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 2**31, b"tEXt") + b"sdloop\0",
        b"\xff\xd8\xff\xe1\0\0" + bytes(99),
        b"\xff\xd8\xff\xe1\0\1" + bytes(99),
        b"\xff\xd8\xff\xe1\0\x10Exif\0\0MM\0*\xff\xff\xff\xff\xff\xda\0\2\xff\xd9",
        b"\xff\xd8\xff\xe1\0\x10Exif\0\0XX\0*\0\0\0\10\xff\xda\0\2\xff\xd9",
    ],
)
def test_each_kind_of_damage_has_its_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(FileError, match=r"is not a valid picture: (its|the checksum|it is)"):
        read_record(path)


def test_a_folder_that_may_not_be_looked_into_is_one_line(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(FileError, match=r"cannot read .*: Permission denied"):
        read_record(tmp_path / "a.png")


def _with_texts(path: Path, image, **texts: str) -> Path:
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text, zip=True)
    image.save(path, pnginfo=info)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "1" * 5000,
        "[" * 100_000,
        "{}",
        '{"schema": "1"}',
        '{"schema": 1}',
        '{"schema": 0, "recipe": {"prompt": "x", "seed": 1}}',
        '{"schema": 1, "recipe": []}',
        '{"schema": 1, "recipe": {"prompt": "x", "seed": 1}, "made": 3}',
        '{"schema": 1, "recipe": {"prompt": "x"}}',
        '{"schema": 1, "recipe": {"prompt": "x", "seed": 1, "colour": "red"}}',
        '{"schema": 1, "recipe": {"prompt": "x", "seed": 1, "scheduler": 5}}',
        '{"schema": 1, "recipe": {"prompt": "x", "seed": 1, "guidance_scale": Infinity}}',
        '{"schema": 1, "recipe": {"prompt": "\\ud800", "seed": 1}}',
    ],
)
def test_forged_or_damaged_json_is_refused(tmp_path: Path, image, text: str) -> None:
    path = _with_texts(tmp_path / "a.png", image, sdloop=text, parameters="a cat")
    with pytest.raises(FileError, match=r"'.*a\.png': its .* is (damaged|not valid)") as caught:
        read_record(path)
    assert "\n" not in str(caught.value)


def test_a_newer_schema_is_refused_by_name(tmp_path: Path, image) -> None:
    text = json.dumps({"schema": SCHEMA + 1, "recipe": {"new": 1}})
    path = _with_texts(tmp_path / "a.png", image, sdloop=text)
    with pytest.raises(FileError, match=r"written by a newer sdloop .*: upgrade sdloop"):
        read_record(path)


def test_a_text_that_unpacks_to_a_bomb_is_refused(tmp_path: Path, image) -> None:
    path = _with_texts(tmp_path / "a.png", image, parameters="x" * 2**24)
    assert path.stat().st_size < 2**16
    with pytest.raises(FileError, match="longer than 1048576 bytes"):
        read_record(path)


def test_compressed_text_of_other_programs_is_read(tmp_path: Path, image) -> None:
    for prompt in ("a crème", "a 東京"):
        text = f"{prompt}\nSteps: 3, Seed: 4, Sampler: Heun"
        path = _with_texts(tmp_path / "a.png", image, parameters=text)
        record = read_record(path)
        assert record.source == "a1111"
        assert record.recipe is None
        assert record.settings["prompt"] == prompt


def test_utf_8_where_the_standard_wants_latin_1_is_read(tmp_path: Path, image) -> None:
    info = PngImagePlugin.PngInfo()
    info.add(b"tEXt", b"parameters\0" + "a cat, 東京".encode())
    image.save(tmp_path / "a.png", pnginfo=info)
    assert read_record(tmp_path / "a.png").settings == {"prompt": "a cat, 東京"}


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
def test_a_user_comment_is_read_in_either_order(tmp_path: Path, image, order: str) -> None:
    exif = Image.Exif()
    text = "a cat, 東京\nSteps: 3, Seed: 4, Sampler: Euler a"
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode(order)
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_record(tmp_path / "a.jpg").settings["prompt"] == "a cat, 東京"
    assert read_record(tmp_path / "a.jpg").settings["scheduler"] == "euler-a"


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.png"
    text.write_text("hello")
    for path, reason in (
        (tmp_path / "missing.png", "does not exist"),
        (tmp_path, "is not a file"),
        (text, "must be a PNG, JPEG, WebP, GIF or MP4 file"),
    ):
        with pytest.raises(FileError, match=reason):
            read_record(path)


def test_reading_imports_neither_pillow_nor_anything_heavy(tmp_path: Path, image) -> None:
    path = write_picture(image, tmp_path / "a.webp", recipe=RECIPE)
    code = (
        "import sys, pathlib; from sdloop.metadata.picture import read_record\n"
        f"read_record(pathlib.Path({str(path)!r}))\n"
        "print({'PIL', 'torch', 'numpy', 'diffusers', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
