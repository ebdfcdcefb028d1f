"""What a finished picture is told with: the circumstances in its file, and a line of JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.cli.version import installed
from sdloop.png import Made

if TYPE_CHECKING:
    from sdloop.batch import Planned
    from sdloop.components import Components
    from sdloop.conductor import Picture


def circumstances(
    picture: "Picture",
    components: "Components",
    planned: "Planned",
    weights: Mapping[str, str],
) -> Made:
    """What the Recipe leaves open: whose weights, which versions, where and how precisely."""
    return Made(
        sigmas=picture.sigmas,
        key=picture.recipe.key(weights),
        seconds=round(picture.seconds, 3),
        peak_memory=picture.peak_memory,
        **surroundings(components, planned, weights),
    )


def surroundings(components: "Components", planned: "Planned", weights: Mapping[str, str]) -> Made:
    """As much of that as is known before the picture is finished."""
    return Made(
        weights=weights,
        lora_hashes={file.path.stem: file.tensors_sha256[:12] for file in planned.loras},
        revision=planned.checkpoint.revision,
        versions=installed(),
        device=str(components.device),
        dtype=str(components.dtype).removeprefix("torch."),
    )


def json_line(picture: "Picture", path: Path, made: Made) -> str:
    """The line that ``--json`` prints of a picture: where it is, and how to find it again."""
    recipe = picture.recipe
    line = {
        "path": str(path),
        "seed": recipe.seed,
        "key": made["key"],
        "seconds": made["seconds"],
        "peak_memory": made["peak_memory"],
        "width": picture.image.width,
        "height": picture.image.height,
        "model": recipe.model,
        "revision": made["revision"],
        "device": made["device"],
        "dtype": made["dtype"],
        "recipe": recipe.to_dict(),
    }
    return json.dumps(line, ensure_ascii=False)
