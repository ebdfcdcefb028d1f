r"""mkdocs hook: a pipe in code within a table, ``\|``, as GitHub wants it and mkdocs does not."""

import re
from typing import Any

CODE = re.compile(r"`[^`\n]+`")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page: take the backslash away in rows of tables."""
    lines = markdown.split("\n")
    rows = (CODE.sub(plain, line) if line.startswith("|") else line for line in lines)
    return "\n".join(rows)


def plain(code: re.Match[str]) -> str:
    return code[0].replace("\\|", "|")
