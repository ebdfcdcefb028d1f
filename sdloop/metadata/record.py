"""Write sdloop's JSON text for picture files, and read it and the texts of other programs."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from sdloop.errors import FileError, SettingError
from sdloop.metadata import xmp
from sdloop.metadata.a1111 import Parameters, format_parameters, parse_parameters
from sdloop.metadata.a1111_read import settings_of
from sdloop.metadata.a1111_write import parameters_of
from sdloop.metadata.detail import METADATA, Metadata
from sdloop.metadata.foreign.read import read_foreign
from sdloop.metadata.foreign.value import Foreign, Source
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_choice

SCHEMA = 1


class Made(TypedDict, total=False):
    """How a picture was made, besides its Recipe.

    weights
        The sha256 of the model's files, with the names of ``checkpoint.model_hashes``; revision is
        the hub's commit.
    lora_hashes
        A1111's short hash of each LoRA, by its bare name: a hash of the tensors, not of the file.
    sigmas
        The noise levels that the scheduler used.
    key
        The content key of ``content_key``.
    versions, device, dtype
        The versions of sdloop and the libraries ("torch": "2.13.0"); the device and precision.
    tf32
        For CUDA GPUs: whether products of float32 were allowed to use TF32.
    compile
        How much of the UNet was compiled, if any of it was.
    flagged
        Whether the model's safety checker flags the picture, if it was asked.
    seconds
        The duration, only for animations. Pictures have none, so that two runs give equal bytes.
    """

    weights: Mapping[str, str]
    lora_hashes: Mapping[str, str]
    revision: str | None
    sigmas: tuple[float, ...]
    key: str
    versions: Mapping[str, str]
    device: str
    dtype: str
    tf32: bool
    compile: str
    flagged: bool
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """The metadata of a picture file: how it was made.

    source
        The program whose text was read; sdloop's own text has priority.
    settings
        Recipe fields: all of them in files of sdloop, the known ones in files of other programs.
    recipe
        The Recipe, for a picture made by sdloop; else None.
    fields
        The settings of the other program, or of A1111's text, unchanged.
    made
        The values of ``Made``. They are not checked, because they come from a file.
    left_out
        Notes: the other program's settings that no Recipe field supports, and other differences.
    model
        The other program's name for the model; ``settings`` has no model then.
    moving
        For animations: what else decided the frames, not checked; else empty.
    step
        For an unfinished picture: the step that it shows, not checked; else empty.
    own_code
        The names of the caller's own loop ("denoise") and scheduler, if the picture was made with
        them; sdloop alone cannot make it again. Else empty.
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

    @property
    def values(self) -> Mapping[str, Any]:
        """``settings``, with LoRAs and ControlNets whose ``str()`` is the text of their flags."""
        if self.recipe is None:
            return self.settings
        return {name: getattr(self.recipe, name) for name in self.settings}


def texts_of(
    recipe: Recipe,
    made: Made,
    metadata: Metadata,
    *,
    moving: Mapping[str, Any] | None = None,
    step: Mapping[str, Any] | None = None,
    own_code: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The texts for a file: "sdloop" (our JSON), "parameters" (A1111's text), and the AI label.

    "full" gives all, "minimal" gives all without ``made``, "none" gives none. ``moving`` is what
    else decides the frames of an animation, as plain values for JSON. ``step`` is the step that an
    unfinished picture shows; it gets no A1111 text, because that could not mark it as unfinished.
    ``own_code`` names the caller's own loop and scheduler.
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
    # Pure ASCII, so that no other program can damage it.
    ours = {"sdloop": json.dumps(own, allow_nan=False)}
    ours |= xmp.label(edited=recipe.image is not None or "frames_sha256" in own.get("moving", {}))
    if step is not None:
        return ours
    parameters = parameters_of(recipe, made, scheduler=(own_code or {}).get("scheduler"))
    return {"parameters": format_parameters(parameters)} | ours


def record_of(texts: Mapping[str, str]) -> Record | None:
    """Read the texts of a file; None if they contain no settings.

    Raises ``FileError`` if our text is damaged or was written by a newer sdloop.
    """
    if "sdloop" in texts:
        return _own_record(texts)
    found = read_foreign(texts)
    if isinstance(found, Foreign):
        return _foreign_record(found)
    return None if found is None else _a1111_record(found)


def _json_made(made: Made) -> dict[str, Any]:
    """Convert ``made`` for JSON, which has no infinity: a sigma can be infinite.

    It is written as the text "inf", which ``float`` can read.
    """
    if "sigmas" not in made:
        return {**made}
    sigmas = [sigma if math.isfinite(sigma) else str(sigma) for sigma in made["sigmas"]]
    return {**made, "sigmas": sigmas}


def _own_record(texts: Mapping[str, str]) -> Record:
    own = _parsed(texts["sdloop"])
    try:
        # The first pictures were made before prompts had emphasis.
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
    """Parse our JSON, with the checks that reading needs: it may be damaged, forged or newer."""
    damaged = FileError("its sdloop text is damaged")
    try:
        own = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged from error
    if not isinstance(own, dict) or not isinstance(own.get("schema"), int):
        raise damaged
    if own["schema"] > SCHEMA:
        raise FileError(
            f"it was written by a newer sdloop (schema must be at most {SCHEMA}, got "
            f"{own['schema']}): upgrade sdloop"
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
