"""``sdloop sheet``: arrange existing pictures on a sheet, by the settings in their files."""

from typing import Annotated

import typer

from sdloop.cli.options.groups import option, with_options
from sdloop.cli.options.ranking import RankOptions
from sdloop.cli.options.sheet import SIDE, SheetOptions
from sdloop.errors import SettingError


@with_options
def sheet(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="Pictures, or folders (with their subfolders).",
            show_default=False,
        ),
    ] = None,
    *,
    columns: Annotated[
        str | None,
        option("Sheet", "Setting that changes from left to right.", "--columns", metavar="FIELD"),
    ] = None,
    rows: Annotated[
        str | None,
        option("Sheet", "Setting that changes from top to bottom.", "--rows", metavar="FIELD"),
    ] = None,
    zoom: Annotated[
        float | None,
        option(
            "Sheet",
            f"Size of the pictures: 2 doubles it, 0.5 halves it. Default: at most {SIDE} pixels "
            "per picture.",
            "--zoom",
            metavar="X",
        ),
    ] = None,
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

    make_sheet(files, columns, rows, zoom, ranking, out)
