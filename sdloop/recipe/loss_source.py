"""Find and hash the Python file of a loss function, before any code in it runs."""

import hashlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from sdloop.errors import FileError, reading


def source_of(module: str) -> Path:
    """The file of a module, from the current folder or else from Python's search path.

    Nothing is imported, and no parent package either. Raises ``FileError`` if there is no such
    module, or if it is not a Python source file.
    """
    places: list[str] | None = [str(Path.cwd()), *sys.path]
    name, spec = "", None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, places)
        if spec is None:
            raise FileError(f"losses: no module {module!r} in this folder or on Python's path")
        places = list(spec.submodule_search_locations or [])
    assert spec is not None
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise FileError(f"losses: the module {module!r} must be a Python file, to be hashed")
    return Path(spec.origin)


def source_sha256(module: str) -> str:
    """The sha256 of the module's file, for the content key; its imports are not hashed."""
    file = source_of(module)
    with reading(file):
        return hashlib.sha256(file.read_bytes()).hexdigest()
