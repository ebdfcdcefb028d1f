"""The files that commands read: pictures with their settings."""

from typing import Annotated

import typer

FilesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE...",
        help="Pictures, folders (with their subfolders), or a .txt file with one path per line, "
        'relative to that file. "-" reads paths from standard input.',
        show_default=False,
    ),
]
