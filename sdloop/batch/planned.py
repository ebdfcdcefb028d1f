"""``Planned``: a picture to make, as passed from the plan to the code that runs it."""

from dataclasses import dataclass
from pathlib import Path

from sdloop.batch.prompts import Prompt
from sdloop.metadata.atomic import Exists
from sdloop.pipeline.resolve import Resolved


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned(Resolved):
    """A picture to make: its Recipe is resolved, and its file is known.

    ``exists`` says what to do if the file exists. ``key`` is the content key; only a plan of
    ``batch`` has keys. ``made`` is the file of a picture that a worker made for this call before it
    died.
    """

    prompt: Prompt
    path: Path
    exists: Exists
    key: str = ""
    made: Path | None = None
