"""How much a file says about how its picture was made."""

from typing import Literal

METADATA = ("full", "minimal", "none")
Metadata = Literal["full", "minimal", "none"]
