"""``sdloop diff``: compare the Recipes and the pixels of two pictures."""

from pathlib import Path
from typing import Annotated

import typer


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="First picture.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="Second picture.", show_default=False)],
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON.", rich_help_panel="Output")
    ] = False,
) -> None:
    """Compare two pictures: their settings and their pixels.

    The exit code is 0 whether they differ or not, and 3 if one of them cannot be read.

    Example:
      sdloop diff frog-4.png frog-4-again.png
    """
    from sdloop.cli.read.diff import show_difference

    show_difference(a, b, json_lines=json_lines)
