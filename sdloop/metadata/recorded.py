"""A picture's file with what it says of its making."""

from dataclasses import dataclass
from pathlib import Path

from sdloop.metadata.record import Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A picture's file, and what it says."""

    path: Path
    record: Record
