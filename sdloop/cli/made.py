"""What a finished picture is told with: the circumstances in its file, and a line of JSON."""

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.cli.version import PACKAGES, version_of
from sdloop.png import Made

if TYPE_CHECKING:
    from sdloop.checkpoint import Checkpoint
    from sdloop.components import Components
    from sdloop.generate import Picture


def circumstances(picture: "Picture", components: "Components", checkpoint: "Checkpoint") -> Made:
    """What the Recipe leaves open: whose weights, which versions, where and how precisely."""
    from sdloop.checkpoint import weight_hashes

    weights = weight_hashes(checkpoint)
    return Made(
        weights=weights,
        revision=checkpoint.revision,
        sigmas=picture.sigmas,
        key=picture.recipe.key(weights),
        versions={
            "sdloop": version_of("sdloop"),
            "python": platform.python_version(),
            **{name: version_of(name) for name in PACKAGES},
        },
        device=str(components.device),
        dtype=str(components.dtype).removeprefix("torch."),
        seconds=round(picture.seconds, 3),
    )


def json_line(picture: "Picture", path: Path, made: Made) -> str:
    """The line that ``--json`` prints of a picture: where it is, and how to find it again."""
    recipe = picture.recipe
    line = {
        "path": str(path),
        "seed": recipe.seed,
        "key": made["key"],
        "seconds": made["seconds"],
        "width": recipe.width,
        "height": recipe.height,
        "model": recipe.model,
        "revision": made["revision"],
        "device": made["device"],
        "dtype": made["dtype"],
        "recipe": recipe.to_dict(),
    }
    return json.dumps(line, ensure_ascii=False)
