"""The files that commands read: pictures with their settings."""

from typing import Annotated

from sdloop.cli.options.groups import argument

FilesArgument = Annotated[
    list[str] | None,
    argument(
        "FILE...",
        "Pictures, folders (with their subfolders), or a .txt file with one path per line, "
        'relative to that file. "-" reads paths from standard input.',
    ),
]
