"""Read text (prompts and settings) from a file or from standard input."""

import codecs
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from sdloop.errors import FileError, SettingError


def read_text(name: str) -> str:
    """The UTF-8 text of the file ``name``, or of standard input if it is ``-``.

    A byte order mark is dropped. Raises ``FileError`` for a missing file, a folder or binary data.
    """
    try:
        data = _stdin().read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {label(name)}: {error.strerror}") from error
    return _text(data.removeprefix(codecs.BOM_UTF8), name)


def text_lines(name: str) -> Iterator[str]:
    """The same as lines with their line ends, read one by one."""
    place = 0
    try:
        with nullcontext(_stdin()) if name == "-" else Path(name).open("rb") as file:
            for line in file:
                start = line.removeprefix(codecs.BOM_UTF8) if place == 0 else line
                yield _text(start, name, place)
                place += len(line)
    except OSError as error:
        raise FileError(f"cannot read {label(name)}: {error.strerror}") from error


def given_prompt(argument: str) -> str:
    """The prompt that an argument stands for: the text of standard input if it is ``-``.

    Raises ``SettingError`` if that is empty: a command before it failed, or nothing was piped in.
    """
    if argument != "-":
        return argument
    text = read_text("-").rstrip("\r\n")
    if not text.strip():
        raise SettingError(
            "prompt must not be empty on standard input, as in: echo 'a frog' | sdloop txt2img - "
            '(an empty prompt is "")'
        )
    return text


def label(name: str) -> str:
    """The file's name for messages."""
    return "standard input" if name == "-" else name


def _text(data: bytes, name: str, place: int = 0) -> str:
    """Decode ``data``, which begins at ``place`` in the file."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        byte = place + error.start
        raise FileError(f"{label(name)} is not UTF-8 text: byte {byte} is invalid") from error
    if "\0" in text:
        raise FileError(f"{label(name)} is not text: it contains a NUL character")
    return text


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise FileError("cannot read standard input: it is closed")
    return sys.stdin.buffer
