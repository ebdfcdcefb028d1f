"""The line of JSON that ``--json`` prints of a finished picture."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdloop.pipeline.picture import Picture


def json_line(picture: "Picture", path: Path) -> str:
    """The line of JSON that ``--json`` prints for a picture."""
    return json.dumps(line_of(picture, path), ensure_ascii=False)


def line_of(picture: "Picture", path: Path) -> dict[str, Any]:
    """The values in this line."""
    recipe, made = picture.recipe, picture.made
    return {
        "path": str(path),
        "seed": recipe.seed,
        "key": made["key"],
        "seconds": round(picture.seconds, 3),
        "peak_memory": picture.peak_memory,
        "width": picture.image.width,
        "height": picture.image.height,
        "model": recipe.model,
        "revision": made["revision"],
        "device": made["device"],
        "dtype": made["dtype"],
        **({} if picture.flagged is None else {"flagged": picture.flagged}),
        "recipe": recipe.to_dict(),
    }
