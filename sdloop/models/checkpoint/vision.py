"""Find and hash transformers' models that look at pictures: in a folder, or on the hub."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.folder import check_vocabulary
from sdloop.models.checkpoint.hashes import said_by, sha256_of
from sdloop.models.checkpoint.other_parts import part_place, read_part_folder

# The part that such a model is → the Recipe's field, and the types that its config may name.
PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "segmenter": ("mask_model", ("clipseg",)),
    "depth_estimator": ("preprocess_model", ("dpt", "depth_anything")),
    "pose_estimator": ("preprocess_model", ("vitpose",)),
}
# The small files that decide what the model sees, as far as they are there.
_READ = ("preprocessor_config.json", "processor_config.json")
_WORDS = ("vocab.json", "merges.txt", "tokenizer.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class VisionModel:
    """Such a model on disk; ``name`` is as the user gave it.

    ``sha256`` is a hash of its config, of how it prepares pictures and words, and of its weights.
    """

    name: str
    folder: Path
    config: Mapping[str, Any] = field(compare=False, repr=False)
    files: tuple[Path, ...]
    sha256: str


def find_vision(part: str, name: str, *, may_fetch: bool = True) -> VisionModel:
    """The model that ``name`` means, a folder or a hub id; downloaded if it is not here.

    Raises ``ModelError`` for one that is missing, damaged or of another type.
    """
    field, types = PARTS[part]
    place = part_place(part, name, None, may_fetch=may_fetch)
    if not place.path.is_dir():
        raise ModelError(f"{field} must be a folder with a config.json, or a hub id, got {name}")
    config, files = read_part_folder(place)
    kind = config.get("model_type")
    if kind not in types:
        raise ModelError(f"{field} must be of the type {' or '.join(types)}, got {kind!r}: {name}")
    there = [place.path / one for one in (*_READ, *_WORDS) if (place.path / one).is_file()]
    if not any(one.name in _READ for one in there):
        raise ModelError(f"{field} must have a {_READ[0]}, and {name} has none")
    if part == "segmenter":
        check_vocabulary(place.path)
    text = json.dumps([said_by(config), *map(sha256_of, (*there, *files))], sort_keys=True)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return VisionModel(name=name, folder=place.path, config=config, files=files, sha256=sha256)
