"""Our own text in a picture file, and what any picture's texts say: JSON with a schema version."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from sdloop.errors import FileError, SettingError
from sdloop.metadata.a1111 import Parameters, format_parameters, parse_parameters
from sdloop.metadata.a1111_recipe import parameters_of, settings_of
from sdloop.metadata.detail import METADATA, Metadata
from sdloop.metadata.foreign.read import read_foreign
from sdloop.metadata.foreign.value import Foreign, Source
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_choice

SCHEMA = 1


class Made(TypedDict, total=False):
    """The circumstances of a picture: what its Recipe leaves open, and what it took.

    weights
        The sha256 of the model's files, as ``checkpoint.model_hashes`` names them; revision is
        the hub's commit.
    lora_hashes
        A1111's short hash of each LoRA, by its bare name: of its tensors, not of the whole file.
    sigmas
        The noise levels as the scheduler used them.
    key
        The content key of ``content_key``.
    versions, device, dtype
        Of sdloop and the libraries ("torch": "2.13.0"); where and how precisely it was computed.
    seconds
        How long a file that moves took. Pictures do not tell: two runs write the same bytes.
    """

    weights: Mapping[str, str]
    lora_hashes: Mapping[str, str]
    revision: str | None
    sigmas: tuple[float, ...]
    key: str
    versions: Mapping[str, str]
    device: str
    dtype: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What a picture file says about how it was made.

    source
        Whose text it is; our own goes before all others.
    settings
        Fields of a Recipe: all of them from sdloop, those that translate from other programs.
    recipe
        The Recipe of a picture made by sdloop, else None.
    fields
        The items of the other program, or of A1111's text, as they stand in the file.
    made
        The circumstances, as ``Made``; unchecked, for they come out of a file.
    left_out
        What another program set and no Recipe field can take over, and what is to be known.
    model
        What another program calls the model that it used; in ``settings`` there is none then.
    moving
        Of a file that moves: what else decided its frames, unchecked; else empty.
    step
        Of a picture that was not finished: which step of its making it shows, unchecked; else
        empty.
    own_code
        The names of the loop ("denoise") and the scheduler that took the place of sdloop's, of a
        picture that sdloop alone cannot make again; else empty.
    """

    source: Source
    settings: Mapping[str, Any]
    recipe: Recipe | None
    fields: Mapping[str, str]
    made: Mapping[str, Any]
    left_out: tuple[str, ...]
    model: str | None = None
    moving: Mapping[str, Any] = field(default_factory=dict)
    step: Mapping[str, Any] = field(default_factory=dict)
    own_code: Mapping[str, Any] = field(default_factory=dict)


def texts_of(
    recipe: Recipe,
    made: Made,
    metadata: Metadata,
    *,
    moving: Mapping[str, Any] | None = None,
    step: Mapping[str, Any] | None = None,
    own_code: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The texts for a file: ours, "sdloop", and A1111's, "parameters".

    "full" is both, "minimal" leaves ``made`` out of ours, "none" is neither. ``moving`` is what
    else decides the frames of a file that moves, in plain values for JSON; ``step`` is which one an
    unfinished picture shows, and then there is no A1111 text, which could not tell it from the
    finished one. ``own_code`` names the caller's own loop and scheduler.
    """
    check_choice("metadata", metadata, METADATA)
    if metadata == "none":
        return {}
    own: dict[str, Any] = {"schema": SCHEMA, "recipe": recipe.to_dict()}
    if moving is not None:
        own["moving"] = dict(moving)
    if step is not None:
        own["step"] = dict(step)
    if own_code:
        own["own_code"] = dict(own_code)
    if metadata == "full":
        own["made"] = _json_made(made)
    # Pure ASCII, so that no program on the way can damage it.
    ours = {"sdloop": json.dumps(own, allow_nan=False)}
    if step is not None:
        return ours
    parameters = parameters_of(recipe, made, scheduler=(own_code or {}).get("scheduler"))
    return {"parameters": format_parameters(parameters)} | ours


def record_of(texts: Mapping[str, str]) -> Record | None:
    """What the texts of a file say; None when there are none.

    Raises ``FileError``, about "its" text, when ours is damaged or newer than this sdloop.
    """
    if "sdloop" in texts:
        return _own_record(texts)
    found = read_foreign(texts)
    if isinstance(found, Foreign):
        return _foreign_record(found)
    return None if found is None else _a1111_record(found)


def _json_made(made: Made) -> dict[str, Any]:
    """``made`` for JSON, which has no infinity: a sigma is that where no signal is left.

    The text "inf" stands for it, which ``float`` reads.
    """
    if "sigmas" not in made:
        return {**made}
    sigmas = [sigma if math.isfinite(sigma) else str(sigma) for sigma in made["sigmas"]]
    return {**made, "sigmas": sigmas}


def _own_record(texts: Mapping[str, str]) -> Record:
    own = _parsed(texts["sdloop"])
    try:
        # The first pictures were made before prompts had a grammar.
        recipe = Recipe.from_dict({"emphasis": "none"} | own["recipe"])
    except SettingError as error:
        raise FileError(f"its recipe is not valid: {error}") from error
    return Record(
        source="sdloop",
        settings=recipe.to_dict(),
        recipe=recipe,
        fields=parse_parameters(texts.get("parameters", "")).fields,
        made=own.get("made", {}),
        left_out=(),
        moving=own.get("moving", {}),
        step=own.get("step", {}),
        own_code=own.get("own_code", {}),
    )


def _parsed(text: str) -> dict[str, Any]:
    """Our JSON, checked as far as it must be to be read: it may be damaged, forged or newer."""
    damaged = FileError("its sdloop text is damaged")
    try:
        own = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged from error
    if not isinstance(own, dict) or not isinstance(own.get("schema"), int):
        raise damaged
    if own["schema"] > SCHEMA:
        raise FileError(
            f"it was written by a newer sdloop (schema {own['schema']}, this one reads {SCHEMA}): "
            "upgrade sdloop"
        )
    optional = (own.get(name, {}) for name in ("made", "moving", "step", "own_code"))
    parts = own.get("recipe"), *optional
    if own["schema"] < 1 or not all(isinstance(part, dict) for part in parts):
        raise damaged
    return own


def _foreign_record(found: Foreign) -> Record:
    return Record(
        source=found.source,
        settings=found.settings,
        recipe=None,
        fields=found.fields,
        made={},
        left_out=found.left_out,
        model=found.model,
    )


def _a1111_record(parameters: Parameters) -> Record:
    settings, left_out = settings_of(parameters)
    return Record(
        source="a1111",
        settings=settings,
        recipe=None,
        fields=parameters.fields,
        made={},
        left_out=tuple(left_out),
        model=parameters.fields.get("Model"),
    )
