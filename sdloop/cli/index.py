"""``sdloop index``: the index of finished pictures that ``batch`` reads to resume quickly."""

from typing import Annotated

from sdloop.cli.options.groups import argument
from sdloop.cli.terminal.commands import App

index = App(no_args_is_help=True)


@index.callback()
def _index() -> None:
    """List finished pictures, so that batch resumes quickly.

    With an index, batch does not have to open each picture to find out which are finished. In an
    object store it always keeps one; in a folder on disk, once compact has made one.

    Example:
      sdloop index compact frogs
    """


@index.command()
def compact(folder: Annotated[str, argument("DIR", "Folder, or address such as s3://…")]) -> None:
    """Write one index of all pictures, in place of its many small files; print its path.

    Pictures that are not in the index are opened and added to it. It may run while a batch does.
    """
    from sdloop.cli.read.index import compact_index

    compact_index(folder)
