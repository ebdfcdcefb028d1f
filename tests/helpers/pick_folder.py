"""Folders of pictures for ``sdloop pick``, written fast."""

import os
from pathlib import Path
from typing import Any

from PIL import Image

from sdloop.gallery.app import Desk
from sdloop.gallery.index import Index
from sdloop.metadata.picture import write_picture
from sdloop.recipe.recipe import Recipe


def picture(path: Path, *, seconds: float = 1e9, colour: str = "red", **fields: Any) -> Path:
    """A picture with a Recipe, which was made so many seconds after 1970."""
    recipe = Recipe.from_dict({"prompt": "a cat", "seed": 1, "width": 64, "height": 64, **fields})
    write_picture(Image.new("RGB", (64, 64), colour), path, recipe=recipe, exists="overwrite")
    os.utime(path, (seconds, seconds))
    return path


def plain(path: Path, *, seconds: float = 1e9, size: tuple[int, int] = (64, 64)) -> Path:
    """A picture that does not say how it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "blue").save(path)
    os.utime(path, (seconds, seconds))
    return path


def three(folder: Path) -> Path:
    """A red cat, a green frog in a folder below, and a blue one of unknown making; last."""
    picture(folder / "cat.png", seconds=1e9, seed=3, guidance_scale=1.5, steps=20)
    picture(folder / "frogs" / "4.png", seconds=1e9 + 1, colour="lime", prompt="a frog", seed=4,
            guidance_scale=7.5, steps=20)  # fmt: skip
    plain(folder / "plain.jpg", seconds=1e9 + 2)
    return folder


def desk(folder: Path, *, cache: Path | None = None, copies: Path | None = None) -> Desk:
    root = folder.resolve()
    return Desk(
        root=root,
        shown=folder,
        copies=copies or root.with_name("copies"),
        cache=cache or root.with_name("cache"),
        index=Index(root),
    )
