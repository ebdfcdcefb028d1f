"""Everything sdloop raises on purpose, and the exit code that each ends a command with.

::

    SdloopError
    ├── SettingError     2   a value the user gave breaks a rule: field, rule, value
    │   └── PromptError      a prompt that cannot be parsed, with a caret under the place
    ├── ModelError       3   the model is missing, unreadable, damaged or unknown
    ├── FileError        3   a file cannot be read or written
    │   └── AlreadyMade      another process has just written this very picture
    ├── SamplingError    4   the loop itself fails
    │   ├── NonFiniteError   latents or pixels hold NaN or infinity
    │   └── OutOfMemory      the device has no room for this picture
    └── BatchError       5   some pictures of a batch failed, the others are saved

A message is one line that can be understood alone: what is wrong, with the value, and what to do
about it. Only the message of a ``PromptError`` has more lines.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

INTERRUPTED = 130  # the exit code after Ctrl-C, as in shells

# What the readers of Python and torch raise for a damaged file, besides their own classes.
DAMAGED = (
    *(struct.error, zlib.error, ValueError, TypeError, LookupError, AttributeError),
    *(RuntimeError, EOFError, OverflowError),
)


class SdloopError(Exception):
    """The base class: catch it to catch every error that sdloop raises on purpose."""

    exit_code = 1


class SettingError(SdloopError, ValueError):
    """A setting breaks a rule; raised where the user's value enters, before any work is done.

    ``field`` is the name of the Recipe's field that the error is about, if there is one.
    """

    exit_code = 2

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field

    @classmethod
    def of(cls, field: str, rule: str) -> Self:
        """The error about a setting, whose message begins with the setting's name."""
        return cls(f"{field} {rule}", field=field)


class PromptError(SettingError):
    """A prompt cannot be parsed; the message's other lines show the place in the prompt."""


class ModelError(SdloopError):
    """The model cannot be found, read or trusted, or is of a family that the loop does not run."""

    exit_code = 3


class FileError(SdloopError):
    """A picture, prompt file or settings file cannot be read, or a result cannot be written."""

    exit_code = 3


@contextmanager
def reading(name: object) -> Iterator[None]:
    """Turn an ``OSError`` into a ``FileError`` that says what cannot be read, and why."""
    try:
        yield
    except OSError as error:
        raise FileError(f"cannot read {str(name)!r}: {error.strerror or error}") from error


class AlreadyMade(FileError):
    """The very picture that should be written is there: another process was faster."""


class SamplingError(SdloopError):
    """The loop ran and failed; pictures that were finished before are kept."""

    exit_code = 4


class NonFiniteError(SamplingError):
    """Latents or pixels hold NaN or infinity, which would be saved as a black picture."""


class OutOfMemory(SamplingError):
    """The device's memory is too small for this size, batch or precision."""


class BatchError(SdloopError):
    """Some pictures of a batch failed; the others are finished and saved."""

    exit_code = 5
