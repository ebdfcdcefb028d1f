"""``sdloop diff``: compare the Recipes and the pixels of two pictures."""

from pathlib import Path
from typing import Annotated

from sdloop.cli.options.groups import argument, option


def diff(
    a: Annotated[Path, argument("A", "First picture.")],
    b: Annotated[Path, argument("B", "Second picture.")],
    json_lines: Annotated[bool, option("Output", "Print one line of JSON.", "--json")] = False,
) -> None:
    """Compare two pictures: their settings and their pixels.

    The exit code is 0 whether they differ or not, and 3 if one of them cannot be read.

    Example:
      sdloop diff frog-4.png frog-4-again.png
    """
    from sdloop.cli.read.diff import show_difference

    show_difference(a, b, json_lines=json_lines)
