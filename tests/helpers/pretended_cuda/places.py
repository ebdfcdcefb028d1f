"""Where in the code something happens on the device."""

import sys

_LIBRARIES = ("diffusers", "transformers", "peft", "torchsde", "safetensors")


def place() -> str:
    """The innermost line of sdloop, and the line of a library that was called from there."""
    frame, library = sys._getframe(2), None
    while frame is not None:
        file = frame.f_code.co_filename
        if "/sdloop/" in file and "site-packages" not in file and "/tests/" not in file:
            here = f"{file.rpartition('/sdloop/')[2]}:{frame.f_lineno}"
            return f"{here} > {library}" if library else here
        if library is None and any(f"/{name}/" in file for name in _LIBRARIES):
            library = f"{file.rpartition('site-packages/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return library or "?"
