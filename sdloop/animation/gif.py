"""Write an animated GIF with one palette for all frames, and without dithering.

With one palette per frame, still areas would change colour slightly from frame to frame; with
dithering, their dots would move. Both look like flicker. So all frames are first stored,
compressed, in a temporary file; then 256 colours are chosen for all of them.

Source: CompuServe, Graphics Interchange Format 89a; the loop is Netscape's extension.
"""

import io
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

from sdloop.metadata.containers import gif_comments

if TYPE_CHECKING:
    from PIL.Image import Image

_SAMPLED = 2**20  # the number of pixels used to choose the palette
_DESCRIPTOR = b","
_SHORTEST = 2  # in 1/100 s; browsers show shorter frames for 10/100 s


def write_gif(
    file: BinaryIO,
    frames: Iterator[tuple["Image", int]],
    loop: int,
    texts: Callable[[], Mapping[str, str]],
) -> None:
    """Write ``frames``, RGB images with milliseconds; of each, only the changed area."""
    with tempfile.TemporaryFile() as waiting:
        starts, durations = [], []
        for image, milliseconds in frames:
            starts.append(waiting.tell())
            durations.append(milliseconds)
            image.save(waiting, "PNG", compress_level=1)
            waiting.seek(0, io.SEEK_END)
        palette = _palette([*_sampled(waiting, starts)])
        file.write(_head(palette, _read(waiting, starts[0]).size, loop))
        last = None
        for start, hundredths in zip(starts, _hundredths(durations), strict=True):
            image = _flat(_read(waiting, start), palette)
            file.write(_frame(image, last, hundredths))
            last = image
    file.write(gif_comments(texts()) + b";")


def _read(waiting: BinaryIO, start: int) -> "Image":
    from PIL import Image

    waiting.seek(start)
    # Pillow reads from the start of a file, so it gets the PNG as a file of its own.
    return Image.open(io.BytesIO(_one_png(waiting)))


def _one_png(file: BinaryIO) -> bytes:
    """Read the bytes of the PNG that begins at the current position of ``file``."""
    data = file.read(8)
    kind = b""
    while kind != b"IEND":
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head)
        data += head + file.read(length + 4)
    return data


def _sampled(waiting: BinaryIO, starts: list[int]) -> Iterator["Image"]:
    from PIL import Image

    for start in starts:
        image = _read(waiting, start)
        share = (_SAMPLED / len(starts) / (image.width * image.height)) ** 0.5
        if share < 1:
            size = max(1, int(image.width * share)), max(1, int(image.height * share))
            image = image.resize(size, Image.Resampling.NEAREST)
        yield image


def _palette(samples: list["Image"]) -> "Image":
    """An image with a palette chosen for all of ``samples``, which have the same size."""
    from PIL import Image

    width, height = samples[0].size
    sheet = Image.new("RGB", (width, height * len(samples)))
    for index, sample in enumerate(samples):
        sheet.paste(sample, (0, height * index))
    return sheet.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1)


def _flat(image: "Image", palette: "Image") -> "Image":
    from PIL import Image

    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def _hundredths(durations: list[int]) -> Iterator[int]:
    """Convert milliseconds to 1/100 s, without adding up rounding errors over the frames."""
    now = shown = 0
    for milliseconds in durations:
        now += milliseconds
        part = max(_SHORTEST, round((now - shown) / 10))
        yield min(part, 2**16 - 1)
        shown += 10 * part


def _head(palette: "Image", size: tuple[int, int], loop: int) -> bytes:
    colours = bytes(palette.getpalette() or ()).ljust(768, b"\0")
    # Netscape's extension counts the repetitions; an animation that runs once has no extension.
    again = b"" if loop == 1 else struct.pack("<H", loop - 1 if loop else 0)
    repeat = b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + again + b"\0" if again else b""
    return b"GIF89a" + struct.pack("<2H3B", *size, 0xF7, 0, 0) + colours + repeat


def _frame(image: "Image", last: "Image | None", hundredths: int) -> bytes:
    box = (0, 0, *image.size) if last is None else _changed(image, last)
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", 0x04, hundredths, 0, 0)
    place = struct.pack("<4HB", box[0], box[1], box[2] - box[0], box[3] - box[1], 0)
    return control + _DESCRIPTOR + place + _pixels(image.crop(box))


def _changed(image: "Image", last: "Image") -> tuple[int, int, int, int]:
    """The box around the changed pixels; a box of one pixel if none changed."""
    from PIL import Image, ImageChops

    grey = [Image.frombytes("L", one.size, one.tobytes()) for one in (image, last)]
    return ImageChops.difference(*grey).getbbox() or (0, 0, 1, 1)


def _pixels(image: "Image") -> bytes:
    """Encode ``image`` as a GIF; returns its LZW data, starting with the minimum code size."""
    buffer = io.BytesIO()
    image.save(buffer, "GIF", optimize=False, interlace=0)
    data = buffer.getvalue()
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    while data[at] == 0x21:  # skip the extensions
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    flags = data[at + 9]
    at += 10 + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)
    return data[at:-1]
