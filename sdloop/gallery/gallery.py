"""Export the page as files: a folder that a browser can show without a server."""

import html
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sdloop.errors import FileError
from sdloop.gallery.facts import full
from sdloop.gallery.folder import PictureFile, content_of
from sdloop.gallery.thumbnails import thumbnail
from sdloop.metadata.atomic import write_whole

PAGE = Path(__file__).parent / "page"

_POLICY = (
    "default-src 'none'; img-src 'self' file: data:; style-src 'self' file:; "
    "script-src 'self' file:; base-uri 'none'; form-action 'none'"
)


def check_gallery(root: Path, target: Path, *, overwrite: bool) -> None:
    """Raise ``FileError`` for a folder that a gallery must not be written to.

    Inside the pictures' folder, the gallery's files would show up among the pictures.
    """
    place = target.resolve()
    if place == root or root in place.parents:
        raise FileError(f"cannot write {str(target)!r}: it is inside the folder of the pictures")
    try:
        in_use = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except OSError as error:
        raise FileError(f"cannot write {str(target)!r}: {error.strerror or error}") from error
    if in_use and not (overwrite and target.is_dir()):
        raise FileError(
            f"{str(target)!r} already exists: choose another name, or write into it with "
            "--overwrite"
        )


def write_gallery(
    root: Path,
    pictures: Sequence[tuple[PictureFile, Mapping[str, Any]]],
    target: Path,
    *,
    shown: Path,
    cache: Path,
) -> Path:
    """Write the pictures, each with its ``brief`` facts, and a page that shows them.

    The page is written last, when all its pictures are there. Returns its path. Raises
    ``FileError``.
    """
    described = []
    for seen, facts in pictures:
        data, content_type = thumbnail(root, seen, cache)
        small = f"thumbnails/{seen.id}.{content_type.partition('/')[2]}"
        large = f"pictures/{seen.path}"
        write_whole(target / small, data, exists="overwrite")
        write_whole(target / large, content_of(root, seen.path), exists="overwrite")
        places = {"small": _address(small), "large": _address(large)}
        described.append({**facts, **full(root, seen, shown=shown), **places})
    script = f"window.sdloopPictures = {json.dumps(described)};\n"
    write_whole(target / "pictures.js", script.encode(), exists="overwrite")
    for name in ("page.css", "page.js"):
        write_whole(target / name, (PAGE / name).read_bytes(), exists="overwrite")
    page = target / "index.html"
    write_whole(page, _page(described), exists="overwrite")
    return page


def _page(pictures: Sequence[Mapping[str, Any]]) -> bytes:
    """The page; browsers without JavaScript show a plain list of the pictures."""
    head = (
        f'<meta http-equiv="content-security-policy" content="{_POLICY}">\n'
        '<script src="pictures.js" defer></script>'
    )
    text = (PAGE / "page.html").read_text(encoding="utf-8")
    text = text.replace('<html lang="en">', '<html lang="en" data-gallery>')
    text = text.replace("<!-- pictures -->", head)
    plain = "\n".join(map(_plain, pictures))
    text = text.replace("<!-- without scripts -->", plain)
    return text.encode("utf-8", "surrogateescape")


def _plain(picture: Mapping[str, Any]) -> str:
    name = html.escape(str(picture["settings"].get("prompt", picture["path"])))
    return (
        f'<a href="{picture["large"]}"><img src="{picture["small"]}" '
        f'alt="{name}" loading="lazy"></a>'
    )


def _address(path: str) -> str:
    """The path as a relative URL, whatever bytes it contains."""
    return quote(os.fsencode(path))
