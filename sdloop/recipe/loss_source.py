"""Where a function that steers a picture is written: found and hashed before any of it is run."""

import hashlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from sdloop.errors import FileError


def source_of(module: str) -> Path:
    """The file of a module, looked for where we are and then where Python looks.

    Nothing is imported for it, no package above it either. Raises ``FileError`` where there is
    none, and for a module that is no Python source.
    """
    places: list[str] | None = [str(Path.cwd()), *sys.path]
    name, spec = "", None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, places)
        if spec is None:
            raise FileError(f"losses: there is no module {module!r} here or where Python looks")
        places = list(spec.submodule_search_locations or [])
    assert spec is not None
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise FileError(f"losses: the module {module!r} must be a Python file, to be hashed")
    return Path(spec.origin)


def source_sha256(module: str) -> str:
    """The sha256 of that file, which decides the pixels; of what it imports nobody keeps watch."""
    file = source_of(module)
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise FileError(f"cannot read {str(file)!r}: {error.strerror}") from error
