"""``sdloop show``: print the settings in picture files."""

from typing import Annotated

import typer

from sdloop.cli.options.files import FilesArgument
from sdloop.errors import SettingError

Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one line of JSON per picture, which --from-file can read.",
        rich_help_panel="Output",
    ),
]

Csv = Annotated[
    bool,
    typer.Option(
        "--csv", help="Print a CSV table, with a column for each setting.", rich_help_panel="Output"
    ),
]


def show(files: FilesArgument = None, json_lines: Json = False, csv: Csv = False) -> None:
    """Print the settings that pictures were made with.

    The files may come from sdloop or another program. Files of A1111, stable-diffusion.cpp,
    mflux and InvokeAI can be read, and ComfyUI's if the graph is simple. If a picture cannot be
    read, the others are still shown and the exit code is 3.

    Examples:
      sdloop show frog-4.png
      sdloop show out/ --csv > out.csv
    """
    if not files:
        raise SettingError("a picture must be named, as in: sdloop show frog-4.png")
    if json_lines and csv:
        raise SettingError("json and csv cannot be combined")
    from sdloop.cli.read.show import show_files

    show_files(files, json_lines=json_lines, csv=csv)
