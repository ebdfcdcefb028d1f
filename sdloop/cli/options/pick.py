"""The flags of ``sdloop pick``."""

from typing import Annotated

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import argument

FolderArgument = Annotated[
    str | None,
    argument("FOLDER", "Folder of pictures; its subfolders are included."),
]


@options(panel="Page")
class PageOptions:
    """Where to serve the page, and where to copy the picks."""

    port: int | None = own("Port on 127.0.0.1. Default: any free port.", metavar="N")
    no_browser: bool = own("Print the address, but do not open a browser.")
    copy_to: str | None = own(
        "Folder for copies of the chosen pictures; a button on the page makes them. "
        "Default: FOLDER-picks.",
        metavar="DIR",
    )


@options(panel="Gallery")
class GalleryOptions:
    """Export the page as files instead."""

    export: str | None = own(
        "Write the page and its pictures to this folder, and exit. The page needs no server.",
        metavar="DIR",
    )
    picked: bool = own("With --export: only the chosen pictures, in their order.")
    overwrite: bool = own("Write into an existing folder.")
    quiet: bool = own("Print nothing but errors to stderr.", "-q", panel="Output")
