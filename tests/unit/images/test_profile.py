"""Pictures with a colour profile other than sRGB."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from sdloop.images.input.read import read_image

# The columns are the primaries under D50, as profiles have them: Display P3's, and sRGB's.
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
COLOURS = np.array([[[200, 90, 80], [90, 160, 70], [60, 80, 150], [255, 255, 255]]], np.uint8)


def profile(space: bytes, gamma: float, primaries: np.ndarray | None = None) -> bytes:
    """A profile of ICC's version 2, with curves that are one power and, for RGB, a matrix."""

    def xyz(values: Any) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(v) * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    tags = {b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rgb"[i : i + 1] + b"XYZ": xyz(primaries[:, i]) for i in range(3)}
        tags |= {b"rgb"[i : i + 1] + b"TRC": curve for i in range(3)}
    table, data = b"", b""
    for name, value in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += value
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4xI", 128 + len(body), 0x02100000) + b"mntr" + space + b"XYZ "
    head = head.ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + body


def read(image: Image.Image, icc: bytes | None, format: str = "TIFF") -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format, **({} if icc is None else {"icc_profile": icc}))
    return read_image(buffer.getvalue(), "a photo").image


def in_srgb(levels: np.ndarray, gamma: float, primaries: np.ndarray) -> np.ndarray:
    """The same by hand: to light, to sRGB's primaries, and along sRGB's own curve."""
    light = (levels / 255) ** gamma @ (np.linalg.inv(SRGB) @ primaries).T
    light = light.clip(0, 1)
    curve = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(curve * 255)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_a_wide_gamut_becomes_srgb(format: str) -> None:
    image = Image.fromarray(COLOURS.repeat(8, axis=0))
    buffer = io.BytesIO()
    lossless = {"lossless": True} if format == "WEBP" else {}
    image.save(buffer, format, icc_profile=profile(b"RGB ", 2.2, P3), **lossless)
    made = np.asarray(read_image(buffer.getvalue(), "a photo").image)
    expected = in_srgb(COLOURS, 2.2, P3)
    assert abs(expected - COLOURS).max() > 15
    assert abs(made[:1] - expected).max() <= 1.5


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_linear_grey_becomes_srgb(mode: str) -> None:
    levels = np.array([[0, 51, 128, 255]], np.uint8)
    wide = levels.astype(np.uint16) * 257
    image = Image.fromarray(wide) if mode == "I;16" else Image.fromarray(levels).convert(mode)
    made = np.asarray(read(image, profile(b"GRAY", 1.0)).convert("RGB"))
    assert abs(made.astype(int) - np.array([0, 124, 188, 255])[None, :, None]).max() <= 1


def test_transparency_and_palettes_stay() -> None:
    icc = profile(b"RGB ", 2.2, P3)
    image = Image.fromarray(COLOURS)
    expected = read(image, icc)
    assert expected.mode == "RGB"
    clear = image.copy()
    clear.putalpha(Image.fromarray(np.array([[0, 50, 100, 255]], np.uint8)))
    made = read(clear, icc)
    assert np.array_equal(np.asarray(made)[..., 3], [[0, 50, 100, 255]])
    assert np.array_equal(np.asarray(made)[..., :3], expected)
    palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.array_equal(read(palette, icc, "PNG"), expected)


@pytest.mark.parametrize(
    ("mode", "icc"),
    [
        ("RGB", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        ("RGB", b"no profile at all"),
        ("RGB", profile(b"RGB ", 2.2, P3)[:200]),
        ("RGB", profile(b"GRAY", 1.0)),
        ("L", profile(b"RGB ", 2.2, P3)),
        ("CMYK", profile(b"RGB ", 2.2, P3)),
    ],
    ids=["srgb", "text", "cut short", "of grey", "of colours", "of light"],
)
def test_pixels_stay_under_a_profile_that_changes_nothing_or_cannot_be_theirs(
    mode: str, icc: bytes
) -> None:
    image = Image.fromarray(COLOURS).convert(mode)
    assert np.array_equal(read(image, icc), read(image, None))
