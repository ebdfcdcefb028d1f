"""Contact sheets: pictures in a grid, with a label above each column and left of each row."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

_SEEN = 128  # pixels: narrower pictures are enlarged
_GAP = 4
_TEXT = 13  # pixels
_PAPER, _INK = "white", "black"


def sheet(
    pictures: "Sequence[Sequence[Image]]",
    *,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    scale: int | None = None,
) -> "Image":
    """A grid of ``pictures``, row by row, in RGB; sizes and row lengths may differ.

    ``columns`` and ``rows`` are the labels, one for each column or row; without them no space is
    left for labels. A label may have several lines; a line that is wider than its picture is
    shortened. Pixels are enlarged ``scale`` times, without blur; by default small pictures are
    enlarged until they are easy to see.
    """
    from PIL import Image, ImageDraw

    flat = [picture for row in pictures for picture in row]
    if not flat:
        raise ValueError("a sheet needs at least one picture")
    scale = scale or -(-_SEEN // max(picture.width for picture in flat))
    cell = max(p.width for p in flat) * scale, max(p.height for p in flat) * scale
    left = max((_width(label) for label in rows), default=0) + (_GAP * 2 if rows else 0)
    top = _height(columns) + _GAP * 2 if any(columns) else 0
    count = max(len(row) for row in pictures)
    size = left + count * (cell[0] + _GAP) - _GAP, top + len(pictures) * (cell[1] + _GAP) - _GAP
    paper = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(paper)
    for x, label in enumerate(columns):
        _write(draw, left + x * (cell[0] + _GAP) + cell[0] // 2, top // 2, label, cell[0], "mm")
    for y, row in enumerate(pictures):
        middle = top + y * (cell[1] + _GAP) + cell[1] // 2
        if rows:
            _write(draw, left - _GAP, middle, rows[y], left, "rm")
        for x, picture in enumerate(row):
            large = picture.convert("RGB").resize(
                (picture.width * scale, picture.height * scale), Image.Resampling.NEAREST
            )
            paper.paste(large, (left + x * (cell[0] + _GAP), top + y * (cell[1] + _GAP)))
    return paper


def captioned(cells: "Sequence[tuple[str, Image]]", *, across: int) -> "Image":
    """Pictures of the same size, each with its label above it, ``across`` per row."""
    from PIL import Image

    rows = [cells[start : start + across] for start in range(0, len(cells), across)]
    strips = [sheet([[one for _, one in row]], columns=[name for name, _ in row]) for row in rows]
    height = max(strip.height for strip in strips)
    paper = Image.new("RGB", (strips[0].width, height * len(strips)), _PAPER)
    for number, strip in enumerate(strips):
        paper.paste(strip, (0, number * height))
    return paper


def _write(draw: "ImageDraw", x: int, y: int, label: str, width: int, anchor: str) -> None:
    draw.text((x, y), _shortened(label, width), fill=_INK, font=_font(), anchor=anchor)


def _shortened(label: str, width: int) -> str:
    """``label`` with each line shortened to ``width`` pixels."""
    return "\n".join(_cut(line, width) for line in label.split("\n"))


def _cut(line: str, width: int) -> str:
    if _width(line) <= width:
        return line
    while line and _width(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"


def _width(label: str) -> int:
    return max(int(_font().getlength(line) + 0.999) for line in label.split("\n"))


def _height(labels: Sequence[str]) -> int:
    """The height of the tallest label."""
    return max(label.count("\n") + 1 for label in labels) * (_TEXT + 4)


@cache
def _font() -> "Font":
    """Pillow's built-in font, so that a sheet looks the same everywhere."""
    from PIL import ImageFont

    return ImageFont.load_default(size=_TEXT)
