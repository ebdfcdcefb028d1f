"""The flags of ``sdloop pick``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from sdloop.cli.options.groups import option

FolderArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="FOLDER",
        help="Folder of pictures; its subfolders are included.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PageOptions:
    """Where to serve the page, and where to copy the picks."""

    port: Annotated[
        int | None,
        option("Page", "Port on 127.0.0.1. Default: any free port.", "--port", metavar="N"),
    ] = None
    no_browser: Annotated[
        bool, option("Page", "Print the address, but do not open a browser.", "--no-browser")
    ] = False
    copy_to: Annotated[
        str | None,
        option(
            "Page",
            "Folder for copies of the chosen pictures; a button on the page makes them. "
            "Default: FOLDER-picks.",
            "--copy-to",
            metavar="DIR",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryOptions:
    """Export the page as files instead."""

    export: Annotated[
        str | None,
        option(
            "Gallery",
            "Write the page and its pictures to this folder, and exit. The page needs no server.",
            "--export",
            metavar="DIR",
        ),
    ] = None
    picked: Annotated[
        bool,
        option("Gallery", "With --export: only the chosen pictures, in their order.", "--picked"),
    ] = False
    overwrite: Annotated[
        bool, option("Gallery", "Write into an existing folder.", "--overwrite")
    ] = False
    quiet: Annotated[
        bool, option("Output", "Print nothing but errors to stderr.", *("--quiet", "-q"))
    ] = False
