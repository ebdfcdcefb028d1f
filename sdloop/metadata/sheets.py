"""Sheets and strips of pictures: their files have no settings of their own, but say what they show.

Without that, ``rerun between/*.png`` could not tell a strip from a picture that lost its settings.
"""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.metadata import xmp

if TYPE_CHECKING:
    from PIL.Image import Image

KEYWORD = "sdloop-sheet"


def sheet_png(image: "Image", pictures: Iterable[Path] = (), *, generated: bool = False) -> bytes:
    """The PNG file of a sheet that shows these ``pictures``, with a label if all are generated."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(KEYWORD, json.dumps({"pictures": [path.name for path in pictures]}))
    for keyword, text in xmp.label(edited=False).items() if generated else ():
        info.add_itxt(keyword, text)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def sheet_hint(texts: Mapping[str, str]) -> str | None:
    """What to do with a sheet instead of reading its settings; None if it is no sheet."""
    if KEYWORD not in texts:
        return None
    names = _pictures(texts[KEYWORD])
    shown = " ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return "it is a sheet of sdloop" + (f": name its pictures, {shown}" if names else "")


def _pictures(text: str) -> list[str]:
    try:
        found = json.loads(text)["pictures"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
