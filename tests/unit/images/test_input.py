"""Input pictures: every mode and rotation, damaged files, and the resize methods."""

import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdloop.errors import FileError, SettingError
from sdloop.images.input.animated import read_animated
from sdloop.images.input.frame import framed, output_size, settled_colour
from sdloop.images.input.read import (
    InputImage,
    bytes_of,
    check_sha256,
    is_picture_name,
    open_image,
    read_image,
)

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3
FLAG = Image.fromarray(np.array([[RED, GREEN, BLUE, WHITE], [BLACK, WHITE, RED, BLUE]], np.uint8))
GREY = Image.fromarray(np.array([[0, 100, 200, 255]], np.uint8))


def saved(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels(data: bytes, background: str = "#ffffff") -> Any:
    picture = read_image(data, "a picture")
    made = framed(picture, picture.image.size, resize="crop", background=background)
    assert made.mode == "RGB"
    return np.asarray(made)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "TGA", "ICO"])
def test_formats_without_loss_keep_every_pixel(format: str) -> None:
    options: dict[str, Any] = {"WEBP": {"lossless": True}, "ICO": {"sizes": [(4, 2)]}}
    assert np.array_equal(pixels(saved(FLAG, format, **options.get(format, {}))), FLAG)


@pytest.mark.parametrize(
    "image",
    [
        GREY,
        GREY.convert("LA"),
        GREY.convert("RGBA"),
        Image.fromarray(np.array([[0, 25700, 51400, 65535]], np.uint16)),
    ],
    ids=lambda image: image.mode,
)
def test_modes_of_grey(image: Image.Image) -> None:
    assert np.array_equal(pixels(saved(image)), GREY.convert("RGB"))


def test_grey_of_16_bits_in_pgm_and_of_floats_in_tiff() -> None:
    pgm = b"P5 4 1 65535\n" + struct.pack(">4H", 0, 25700, 51400, 65535)
    assert np.array_equal(pixels(pgm), GREY.convert("RGB"))
    floats = Image.fromarray(np.array([[0, 100 / 255, 200 / 255, 1]], np.float32))
    assert np.array_equal(pixels(saved(floats, "TIFF")), GREY.convert("RGB"))


@pytest.mark.parametrize("values", [[0.0, 2.0], [-0.1, 1.0], [0.0, float("nan")]], ids=str)
def test_grey_that_nobody_can_tell_the_white_of_is_refused(values: list[float]) -> None:
    data = saved(Image.fromarray(np.array([values], np.float32)), "TIFF")
    with pytest.raises(FileError, match=r"a scan must have grey levels from 0 to 1, got"):
        read_image(data, "a scan")


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr"])
def test_modes_that_pillow_turns_into_rgb(mode: str) -> None:
    options = {"palette": Image.Palette.ADAPTIVE} if mode == "P" else {}
    image = FLAG.convert(mode, **options)
    expected = np.asarray(image.convert("RGB"))
    assert expected.std() > 50
    assert np.array_equal(pixels(saved(image, "TIFF")), expected)


def test_transparency_shows_the_background() -> None:
    image = FLAG.convert("RGBA")
    image.putpixel((0, 0), (255, 0, 0, 0))
    image.putpixel((1, 0), (0, 255, 0, 128))
    made = pixels(saved(image), background="#0000ff")
    assert made[0, 0].tolist() == [0, 0, 255]
    assert np.abs(made[0, 1].astype(int) - [0, 128, 127]).max() <= 1
    assert np.array_equal(made[1], np.asarray(FLAG)[1])


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_one_colour_of_a_palette_may_be_transparent(format: str) -> None:
    palette = FLAG.convert("P", palette=Image.Palette.ADAPTIVE)
    black = palette.getpixel((0, 1))
    made = pixels(saved(palette, format, transparency=black), background="#00ff00")
    assert made[1, 0].tolist() == [0, 255, 0]
    assert made[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright(orientation: int) -> None:
    """Pillow's own table, the other way round: what the camera held in this way."""
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # as Image.Transpose numbers them
    held = FLAG.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else FLAG
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read_image(saved(held, "PNG", exif=exif), "a photo")
    assert picture.facts.size == (4, 2)
    assert np.array_equal(picture.image, FLAG)


def test_the_first_frame_of_an_animation_is_taken() -> None:
    data = saved(FLAG, "GIF", save_all=True, append_images=[FLAG.rotate(180)])
    picture = read_image(data, "a film")
    assert picture.animated
    assert np.array_equal(picture.image, FLAG)
    assert not read_image(saved(FLAG), "a still").animated


def test_the_facts_are_of_the_file_and_not_of_the_pixels() -> None:
    data, other = saved(FLAG), saved(FLAG, compress_level=0)
    assert read_image(data, "x").facts.sha256 == hashlib.sha256(data).hexdigest()
    assert read_image(data, "x").facts.sha256 != read_image(other, "x").facts.sha256
    check_sha256("x", None, "aa")
    check_sha256("x", "aa", "aa")
    with pytest.raises(FileError, match="x is not the picture that the recipe was made with"):
        check_sha256("x", "aa", "bb")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data)
        )  # fmt: skip

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(40_000, 25_000), (13_400, 13_400)], ids=str)
def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(FileError, match="a scan must have at most 178 million pixels"):
        read_image(bomb(*size), "a scan")


@pytest.mark.filterwarnings("error")
def test_a_large_picture_that_is_read_brings_no_warning() -> None:
    with pytest.raises(FileError, match="is not a valid picture"):  # for its pixels are not there
        read_image(bomb(10_000, 10_000), "a scan")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a picture that can be read"),
        (b"two green frogs on stilts\n" * 99, "is not a picture that can be read"),
        (b"\x89PNG\r\n\x1a\n", "is not a"),
        (b"GIF89a" + bytes(20), "is not a"),
        (b"\xff\xd8\xff\xe0" + bytes(200), "is not a"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture that can be read"),
    ],
    ids=["empty", "text", "png", "gif", "jpeg", "postscript"],
)
def test_what_is_no_picture(data: bytes, message: str) -> None:
    with pytest.raises(FileError, match=message) as refused:
        read_image(data, "it")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_file_that_was_cut_short_anywhere(format: str) -> None:
    levels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    data = saved(Image.fromarray(levels), format)
    for share in (0.1, 0.3, 0.5, 0.9):
        with pytest.raises(FileError, match="it is not a"):
            read_image(data[: int(len(data) * share)], "it")


@given(st.binary(max_size=60), st.sampled_from(["PNG", "GIF", "TIFF", "WEBP", "BMP", "ICO", "TGA"]))
def test_a_forged_file_is_read_or_refused(noise: bytes, format: str) -> None:
    data = bytearray(saved(FLAG, format))
    at = len(noise) % len(data)
    data[at : at + len(noise)] = noise
    try:
        read_image(bytes(data), "it")
    except FileError as error:
        assert str(error)  # whatever else is raised, fails


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot read 'nowhere.png': No such file"):
        open_image("nowhere.png")
    with pytest.raises(FileError, match="Is a directory"):
        open_image(str(tmp_path))
    with pytest.raises(FileError, match="cannot read"):
        open_image("a\0b.png")


def test_names_of_pictures() -> None:
    names = ["a.png", "a.JPG", "a.tif", "a.webp", "a.txt", "a.eps", "a.pdf", "png", ".png"]
    assert [name for name in names if is_picture_name(Path(name))] == names[:4]


SD = {"native": (512, 512), "multiple": 8}


@pytest.mark.parametrize(
    ("picture", "asked", "expected"),
    [
        ((800, 800), {}, (512, 512)),
        ((1600, 1200), {}, (592, 440)),
        ((30, 40), {}, (440, 592)),
        ((10_000, 1), {}, (51200, 8)),
        ((1600, 1200), {"width": 256}, (256, 192)),
        ((1600, 1200), {"height": 256}, (344, 256)),
        ((1600, 1200), {"width": 256, "height": 256}, (256, 256)),
        ((1600, 1200), {"width": 256, "height": 256, "resize": "fit"}, (256, 192)),
        ((1200, 1600), {"width": 256, "height": 256, "resize": "fit"}, (192, 256)),
        ((1600, 1200), {"resize": "crop"}, (512, 512)),
        ((1600, 1200), {"resize": "pad", "width": 256}, (256, 512)),
        ((1600, 1200), {"width": 100}, (100, 72)),  # the model refuses it, and not we
    ],
    ids=str,
)
def test_sizes(picture: tuple[int, int], asked: dict[str, Any], expected: tuple[int, int]) -> None:
    sides = {"width": None, "height": None, "resize": None}
    assert output_size(picture, **SD, **(sides | asked)) == expected


sides = st.integers(1, 5000)


@given(sides, sides, st.sampled_from([8, 16, 64]))
def test_the_size_that_follows_a_picture_has_its_area_and_its_proportions(
    width: int, height: int, multiple: int
) -> None:
    settings = {"native": (512, 512), "multiple": multiple, "resize": None}
    made = output_size((width, height), **settings, width=None, height=None)
    assert all(side % multiple == 0 and side > 0 for side in made)
    if max(width, height) < 16 * min(width, height):
        wanted = (512 * (width / height) ** 0.5, 512 * (height / width) ** 0.5)
        pairs = zip(made, wanted, strict=True)
        assert all(abs(a - b) <= max(multiple / 2, multiple - b) for a, b in pairs)


def banner() -> InputImage:
    """Three squares side by side: red, green, blue."""
    image = Image.new("RGB", (90, 30), GREEN)
    image.paste(RED, (0, 0, 30, 30))
    image.paste(BLUE, (60, 0, 90, 30))
    return InputImage(name="banner", sha256="", image=image)


@pytest.mark.parametrize(
    ("resize", "corner", "left", "middle"),
    [("crop", GREEN, GREEN, GREEN), ("stretch", RED, RED, GREEN), ("pad", WHITE, RED, GREEN)],
)
def test_ways_to_a_size(resize: str, corner: Any, left: Any, middle: Any) -> None:
    made = framed(banner(), (60, 60), resize=resize, background="#ffffff")
    assert made.size == (60, 60)
    assert [made.getpixel(at) for at in ((2, 2), (2, 30), (30, 30))] == [corner, left, middle]


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_a_line_gets_any_size(resize: str) -> None:
    line = InputImage(name="line", sha256="", image=Image.new("RGB", (5000, 1), RED))
    assert framed(line, (16, 16), resize=resize, background="#000000").size == (16, 16)


def test_colours() -> None:
    assert settled_colour("background", "black") == "#000000"
    assert settled_colour("background", "#FA8") == "#ffaa88"
    assert settled_colour("background", "rgb(1, 2, 3)") == "#010203"
    for wrong in ("whit", "", "#12345", "#00112233", "rgba(1,2,3,4)"):
        with pytest.raises(SettingError, match="background must be an opaque colour like white"):
            settled_colour("background", wrong)


def test_a_photo_of_a_phone_does_not_move(tmp_path: Path) -> None:
    photo, small = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (16, 12), "blue")
    name = str(tmp_path / "phone.jpg")
    photo.save(name, format="MPO", save_all=True, append_images=[small])
    read = open_image(name)
    assert not read.animated
    assert read.image.size == (64, 48)
    assert len(list(read_animated(bytes_of(name), name))) == 1
