"""Find a model's safety checker, which is not loaded unless people ask for it."""

from sdloop.errors import SettingError
from sdloop.models.checkpoint import hub
from sdloop.models.checkpoint.folder import read_json
from sdloop.models.checkpoint.other_parts import PartPlace
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.checkpoint.weight_names import SAFETY


def safety_place(checkpoint: Checkpoint, *, may_fetch: bool = True) -> PartPlace:
    """Where the safety checker of a model is; that of a hub model is downloaded.

    Raises ``SettingError`` for a model without one: a single file, or a folder whose
    ``model_index.json`` does not name it.
    """
    named: object = None
    if checkpoint.path.is_dir():
        named = read_json(checkpoint.path, "model_index.json").get(SAFETY)
    if not isinstance(named, list) or None in named:
        raise SettingError.of(
            "safety",
            f"flag needs a model with a safety_checker, and {checkpoint.name} has none: "
            "leave --safety out",
        )
    variant = checkpoint.variant
    if checkpoint.revision is None:  # not of the hub
        return PartPlace(name=checkpoint.name, part=SAFETY, path=checkpoint.path, variant=variant)
    names = checkpoint.name, SAFETY, checkpoint.revision, variant
    found = hub.part_snapshot(*names, may_fetch=may_fetch)
    return PartPlace(
        name=checkpoint.name,
        part=SAFETY,
        path=found.folder,
        variant=variant,
        absent=found.absent,
    )
