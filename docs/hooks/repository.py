"""mkdocs hook: links from the docs to files elsewhere in the repository work on the site too.

In a page such a link is a path on disk, ``../examples/sketch/grown.png``. When the site is built,
each linked file is added to it: pictures as they are, Markdown as a page, code as a page that shows
it.
"""

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)")
CODE = {".py": "python", ".toml": "toml", ".txt": "text", ".json": "json"}


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Called by mkdocs with the files of the site: add those that its pages link to."""
    from mkdocs.structure.files import File

    waiting = [DOCS / file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for _, link in LINK.findall(page.read_text(encoding="utf-8")):
            target = target_of(page, link)
            if target is None or files.get_file_from_path(place_of(target)) is not None:
                continue
            files.append(File.generated(config, place_of(target), **content_of(target)))
            if target.suffix == ".md":
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for each page: change its links to the places of the files on the site."""
    place = page.file.src_uri
    source = DOCS / place if (DOCS / place).is_file() else ROOT / place
    if not source.is_file():  # code that is shown
        return markdown

    def changed(link: re.Match[str]) -> str:
        target = source.parent.joinpath(link[2]).resolve()
        if target_of(source, link[2]) is not None:
            new = place_of(target)
        elif target.is_relative_to(DOCS):
            new = target.relative_to(DOCS).as_posix()
        else:
            return link[0]
        return link[1] + os.path.relpath(new, Path(place).parent)

    return LINK.sub(changed, markdown)


def target_of(page: Path, link: str) -> Path | None:
    """The file of the repository that a link points to; None if it is in the docs."""
    target = page.parent.joinpath(link).resolve()
    inside = target.is_relative_to(DOCS) or not target.is_relative_to(ROOT)
    return None if inside or not target.is_file() else target


def place_of(target: Path) -> str:
    """The path of a repository file on the site, as mkdocs names its sources."""
    path = target.relative_to(ROOT).as_posix()
    return f"{path}.md" if target.suffix in CODE else path


def content_of(target: Path) -> dict[str, str]:
    """The arguments of ``File.generated``: a path, or the text of a page."""
    if target.suffix == ".md":
        return {"content": target.read_text(encoding="utf-8")}
    if target.suffix not in CODE:
        return {"abs_src_path": str(target)}
    name = target.relative_to(ROOT).as_posix()
    text = target.read_text(encoding="utf-8").rstrip()
    return {"content": f"# `{name}`\n\n````{CODE[target.suffix]}\n{text}\n````\n"}
