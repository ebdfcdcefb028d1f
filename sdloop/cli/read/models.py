"""Print the models on this machine, or the facts about one."""

import dataclasses
import json
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint


def show_model(name: ModelName, *, hashes: bool, json_lines: bool) -> None:
    """Print the facts about one model."""
    from sdloop.models.checkpoint.find import find_checkpoint

    found = find_checkpoint(**dataclasses.asdict(name), may_fetch=False)
    facts = full_facts(found, hashes=hashes)
    emit(json.dumps(facts) if json_lines else "\n".join(card(facts, name)))


def list_models(*, json_lines: bool) -> None:
    """Print a table of all models."""
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
