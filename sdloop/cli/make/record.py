"""What a finished picture is told with: the circumstances in its file, and a line of JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.cli.terminal.versions import installed
from sdloop.metadata.record import Made
from sdloop.recipe.key import content_key

if TYPE_CHECKING:
    from sdloop.batch.planned import Planned
    from sdloop.models.components.load import Components
    from sdloop.pipeline.picture import Picture


def circumstances(
    picture: "Picture",
    components: "Components",
    planned: "Planned",
    weights: Mapping[str, str],
) -> Made:
    """What the Recipe leaves open: whose weights, which versions, where and how precisely.

    Not how long it took, or when: the same command gives the same bytes.
    """
    return Made(
        sigmas=picture.sigmas,
        key=content_key(picture.recipe, weights),
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
    return json.dumps(line_of(picture, path, made), ensure_ascii=False)


def line_of(picture: "Picture", path: Path, made: Made) -> dict[str, Any]:
    """What that line holds."""
    recipe = picture.recipe
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
        "recipe": recipe.to_dict(),
    }
