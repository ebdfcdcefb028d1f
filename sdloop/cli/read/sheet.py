"""Draw a sheet of pictures, by the settings in their files."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdloop.cli.inspect.shared import sheet_path, write_sheet
from sdloop.cli.make.image_files import image_files
from sdloop.cli.options.ranking import RankOptions
from sdloop.cli.options.sheet import SIDE, SheetOptions
from sdloop.cli.read.ranking import check_rank, ranked
from sdloop.cli.read.sheet_axes import AXES, Cells, Shown, arranged, in_order, records_of
from sdloop.cli.terminal.output import say
from sdloop.errors import SettingError
from sdloop.images.input.read import open_image
from sdloop.images.sheet import sheet as drawn
from sdloop.places.path import location
from sdloop.rules import hint_for

if TYPE_CHECKING:
    from PIL.Image import Image

_SMALL = 128  # pixels: narrower pictures are enlarged

_MAX_PIXELS = 2**27


def make_sheet(
    files: Sequence[str],
    columns: str | None,
    rows: str | None,
    zoom: float | None,
    ranking: RankOptions,
    out: SheetOptions,
) -> None:
    """Draw the sheet and write it; ``columns`` and ``rows`` are names of settings."""
    _check(columns, rows, zoom)
    check_rank(ranking)
    if ranking.rank is not None and (columns is not None or rows is not None):
        raise SettingError("rank cannot be combined with columns or rows: both order the pictures")
    path = sheet_path(out, "sheet.png")
    names = image_files(files, inner=True)
    shown = records_of(names, needed=columns is not None or rows is not None)
    if ranking.rank is not None:
        shown = in_order(shown, ranked(names, ranking, quiet=out.quiet))
    cells = arranged(shown, columns=columns, rows=rows)
    if not out.quiet:
        for line in cells.notices:
            say(line)
    there = [location(one.name) for row in cells.grid for one in row if one is not None]
    write_sheet(_drawn(cells, zoom), path, out, there)


def _check(columns: str | None, rows: str | None, zoom: float | None) -> None:
    for name, field in (("columns", columns), ("rows", rows)):
        if field is not None and field not in AXES:
            hint = hint_for(field, AXES, otherwise="use a Recipe's field, such as seed or steps")
            raise SettingError(f"{name} must be a known field, got {field!r}: {hint}")
    if columns is not None and columns == rows:
        raise SettingError(f"columns and rows must differ, got {columns!r} twice")
    if zoom is None:
        return
    if not (0.01 <= zoom <= 16) or (zoom > 1 and zoom != int(zoom)):
        raise SettingError(f"zoom must be 0.01 to 1, or a whole number up to 16, got {zoom:g}")


def _drawn(cells: Cells, zoom: float | None) -> "Image":
    """Open the pictures, reduce each right after opening it, and paste them on the sheet."""
    from PIL import Image

    pictures = [[None if one is None else _opened(one, zoom) for one in row] for row in cells.grid]
    there = [picture for row in pictures for picture in row if picture is not None]
    size = max(p.width for p in there), max(p.height for p in there)
    factor = max(1, -(-_SMALL // size[0]) if zoom is None else int(zoom))
    if math.prod(size) * factor**2 * len(cells.grid) * len(cells.grid[0]) > _MAX_PIXELS:
        raise SettingError(
            f"a sheet of {len(there)} pictures of {size[0] * factor}x{size[1] * factor} is too "
            "large: give a smaller --zoom"
        )
    empty = Image.new("RGB", size, "white")
    grid = [[empty if p is None else _centred(p, size) for p in row] for row in pictures]
    if cells.captions is None:
        return drawn(grid, columns=cells.columns, rows=cells.rows, scale=factor)
    strips = [
        drawn([row], columns=labels, scale=factor)
        for row, labels in zip(grid, cells.captions, strict=True)
    ]
    return drawn([[strip] for strip in strips], scale=1)


def _centred(picture: "Image", size: tuple[int, int]) -> "Image":
    """The picture on white, if others are larger."""
    from PIL import Image

    if picture.size == size:
        return picture
    paper = Image.new("RGB", size, "white")
    paper.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return paper


def _opened(one: Shown, zoom: float | None) -> "Image":
    from PIL import Image

    picture = open_image(one.name).image.convert("RGB")
    side = max(picture.size)
    factor = min(1.0, SIDE / side) if zoom is None else min(1.0, zoom)
    if factor == 1:
        return picture
    size = [max(1, round(length * factor)) for length in picture.size]
    return picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
