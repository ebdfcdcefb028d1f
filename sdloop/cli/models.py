"""``sdloop models``: list the models on this machine, and what to type for each."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from sdloop.cli.options.groups import option
from sdloop.cli.options.model import Revision, Unet, Vae, Variant
from sdloop.cli.read.model_card import (
    ModelName,
    bytes_text,
    card,
    family_text,
    full_facts,
    size_text,
    summary,
)
from sdloop.cli.terminal.columns import columns
from sdloop.cli.terminal.output import emit, say
from sdloop.errors import SettingError

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="Model to describe: mini, a hub id, a diffusers folder, a .safetensors file or its "
        "address.",
        show_default=False,
        autocompletion=lambda: ["mini"],
    ),
]
Hash = Annotated[
    bool, option("Output", "Also hash the model's files; this reads all of them.", "--hash")
]
Json = Annotated[bool, option("Output", "Print one line of JSON per model.", "--json")]


def models(
    model: Model = None,
    *,
    revision: Revision = None,
    variant: Variant = None,
    vae: Vae = None,
    unet: Unet = None,
    hashes: Hash = False,
    json_lines: Json = False,
) -> None:
    """List the models on this machine, or describe one.

    These are the small built-in model and the complete ones in the Hugging Face cache. Nothing is
    downloaded.

    Examples:
      sdloop models
      sdloop models mini
      sdloop models stabilityai/stable-diffusion-xl-base-1.0 --variant fp16 --json
    """
    if model is None:
        parts = (("vae", vae), ("unet", unet))
        for name, value in (("revision", revision), ("variant", variant), *parts, ("hash", hashes)):
            if value:
                raise SettingError(f"{name} needs a model to be named, got {value!r} without one")
        _list(json_lines=json_lines)
    else:
        _tell(ModelName(model, revision, variant, vae, unet), hashes=hashes, json_lines=json_lines)


def _tell(name: ModelName, *, hashes: bool, json_lines: bool) -> None:
    from sdloop.models.checkpoint.find import find_checkpoint

    found = find_checkpoint(**dataclasses.asdict(name), may_fetch=False)
    facts = full_facts(found, hashes=hashes)
    emit(json.dumps(facts) if json_lines else "\n".join(card(facts, name)))


def _list(*, json_lines: bool) -> None:
    from sdloop.models.checkpoint.cache import cached_checkpoints
    from sdloop.models.checkpoint.find import find_checkpoint

    found: list[tuple[Checkpoint, str | None]] = [(find_checkpoint("mini"), None)]
    found += cached_checkpoints()
    if json_lines:
        for checkpoint, _ in found:
            emit(json.dumps(summary(checkpoint)))
        return
    rows = [_row(checkpoint, revision) for checkpoint, revision in found]
    for line in columns([_HEADINGS, *rows]):
        emit(line)
    say("details: `sdloop models MODEL`; use one: `sdloop txt2img PROMPT --model MODEL`")


_HEADINGS = ("model", "family", "native_size", "prediction_type", "bytes", "revision")


def _row(checkpoint: "Checkpoint", revision: str | None) -> tuple[str, ...]:
    """The table cells for one model; the first is what to type after ``--model``."""
    facts = summary(checkpoint)
    return (
        str(ModelName(checkpoint.name, revision, checkpoint.variant)),
        family_text(facts),
        size_text(facts["native_size"]),
        facts["prediction_type"],
        bytes_text(facts["bytes"]),
        (checkpoint.revision or "")[:10],
    )
