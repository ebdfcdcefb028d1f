"""``sdloop sheet``: arrange existing pictures on a sheet, by the settings in their files."""

from typing import Annotated

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import argument, with_options
from sdloop.cli.options.ranking import RankOptions
from sdloop.cli.options.sheet import SIDE, SheetOptions
from sdloop.errors import SettingError

Files = Annotated[
    list[str] | None, argument("FILE", "Pictures, or folders (with their subfolders).")
]


@options(panel="Sheet")
class GridOptions:
    """How the pictures are arranged."""

    columns: str | None = own("Setting that changes from left to right.", metavar="FIELD")
    rows: str | None = own("Setting that changes from top to bottom.", metavar="FIELD")
    zoom: float | None = own(
        "Size of the pictures: 2 doubles it, 0.5 halves it. Default: at most "
        f"{SIDE} pixels per picture.",
        metavar="X",
    )


@with_options
def sheet(
    files: Files = None,
    *,
    grid: GridOptions,
    ranking: RankOptions,
    out: SheetOptions,
) -> None:
    """Arrange pictures on one labelled sheet.

    The columns and rows may be any setting in the pictures' files, or "step" for the files of
    --save-steps. If two pictures belong in the same cell, the first is shown. Without columns and
    rows, the pictures are sorted by name, or with --rank by how well they fit their prompts.

    Examples:
      sdloop sheet out/ --columns seed --rows guidance_scale -o sheet.png
      sdloop sheet *.png --zoom 0.5 -o sheet.png
      sdloop sheet out/ --rank clip --top 8 -o best.png
    """
    if not files:
        raise SettingError("a sheet needs pictures, as in: sdloop sheet out/ -o sheet.png")
    from sdloop.cli.read.sheet import make_sheet

    make_sheet(files, grid.columns, grid.rows, grid.zoom, ranking, out)
