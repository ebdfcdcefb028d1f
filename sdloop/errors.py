"""Everything sdloop raises on purpose, and the exit code that each ends a command with.

::

    SdloopError
    ├── SettingError     2   a value the user gave breaks a rule: field, rule, value
    │   └── PromptError      a prompt that cannot be read, with a caret under the place
    ├── ModelError       3   the model is not there, unreadable, damaged or unknown
    ├── FileError        3   a file to read or a place to write to fails us
    ├── SamplingError    4   the loop itself fails
    │   ├── NonFiniteError   latents or pixels hold NaN or infinity
    │   └── OutOfMemory      the device has no room for this picture
    └── BatchError       5   some pictures of a batch failed, the rest are there

A message is one line that stands alone on stderr: what is wrong, with the value, and what to do
about it. Only that of a ``PromptError`` has further lines.
"""

from typing import Self

INTERRUPTED = 130  # the exit code of whoever was asked to stop, as shells have it


class SdloopError(Exception):
    """The root: catch this to catch whatever sdloop refuses or fails at."""

    exit_code = 1


class SettingError(SdloopError, ValueError):
    """A setting breaks a rule; raised where the user's value enters, before any work is done.

    ``field`` is the name of the setting, where the error is about one of a Recipe's.
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
    """A prompt cannot be read; below the line, the message shows the place in the prompt."""


class ModelError(SdloopError):
    """The model cannot be found, read or trusted, or is of a family that the loop does not run."""

    exit_code = 3


class FileError(SdloopError):
    """A picture, prompt file or settings file cannot be read, or a result cannot be written."""

    exit_code = 3


class SamplingError(SdloopError):
    """The loop ran and failed; the files finished before it stay where they are."""

    exit_code = 4


class NonFiniteError(SamplingError):
    """Latents or pixels hold NaN or infinity. Saved as 8 bits that would be a black picture."""


class OutOfMemory(SamplingError):
    """The device's memory is too small for this size, batch or precision."""


class BatchError(SdloopError):
    """Some pictures of a batch failed; the others are finished and saved."""

    exit_code = 5
