"""Folders that are whole or not there: whoever looks never sees half of one."""

import shutil
from collections.abc import Callable
from pathlib import Path


def replace_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a fresh folder beside, and put that in the place of the old one.

    What a kill leaves behind is at worst the fresh one, which the next call removes.
    """
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    write(fresh)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
