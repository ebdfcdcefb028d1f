r"""mkdocs hook: in tables, GitHub needs ``\|`` for a pipe in code; mkdocs needs a plain pipe."""

import re
from typing import Any

CODE = re.compile(r"`[^`\n]+`")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page: remove the backslash in rows of tables."""
    lines = markdown.split("\n")
    rows = (CODE.sub(plain, line) if line.startswith("|") else line for line in lines)
    return "\n".join(rows)


def plain(code: re.Match[str]) -> str:
    return code[0].replace("\\|", "|")
