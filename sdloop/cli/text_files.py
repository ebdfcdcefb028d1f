"""Reading what people write: prompts and settings, from a file or from standard input."""

import sys
from pathlib import Path

from sdloop.errors import FileError


def read_text(name: str) -> str:
    """The UTF-8 text of the file ``name``, or of standard input where it is ``-``.

    A byte order mark is dropped. Raises ``FileError`` for what is missing, a folder or not text.
    """
    try:
        data = _read_stdin() if name == "-" else Path(name).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"cannot read {label(name)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{label(name)} is not UTF-8 text: byte {error.start} is not") from error
    if "\0" in text:
        raise FileError(f"{label(name)} is not text: it holds a NUL")
    return text


def label(name: str) -> str:
    """What messages call the file."""
    return "standard input" if name == "-" else name


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise FileError("cannot read standard input: it is closed")
    return sys.stdin.buffer.read()
