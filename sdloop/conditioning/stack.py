"""Put the conditionings of several pictures into one, for their batch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sdloop.conditioning.value import Conditioning, identity

# What is that of the first step for all.
_FOR_ALL_STEPS = (
    *("channels", "class_labels", "guidance_embeds", "image_embeds", "negative_image_embeds"),
)


def stack(pictures: Sequence[Conditioning]) -> Conditioning:
    """One Conditioning for a batch from those of its pictures, in their order.

    They must have equal ``shapes``, and all or none must have negative embeddings.
    """
    steps = sorted({0, *(first for one in pictures for first, _ in one.later)})
    stacked: dict[tuple[tuple[int, int], ...], Conditioning] = {}
    states = []
    for step in steps:
        now = [one.at(step) for one in pictures]
        same = tuple(identity(one) for one in now)
        if same not in stacked:
            stacked[same] = _stacked(now)
        states.append((step, stacked[same]))
    shared: dict[str, Any] = {
        name: _joined([getattr(one, name) for one in pictures]) for name in _FOR_ALL_STEPS
    }
    return replace(states[0][1], **shared, later=tuple(states[1:]))


def _stacked(pictures: Sequence[Conditioning]) -> Conditioning:
    """Like ``stack``, for a single step."""
    return Conditioning(
        prompt_embeds=_by_prompt([one.prompt_embeds for one in pictures]),
        negative_prompt_embeds=_joined([one.negative_prompt_embeds for one in pictures]),
        pooled_prompt_embeds=_by_prompt([one.pooled_prompt_embeds for one in pictures]),
        negative_pooled_prompt_embeds=_joined([p.negative_pooled_prompt_embeds for p in pictures]),
        time_ids=_joined([one.time_ids for one in pictures]),
        negative_time_ids=_joined([one.negative_time_ids for one in pictures]),
        weights=_joined([one.weights for one in pictures], dim=1),
        regions=pictures[0].regions,
    )


def _by_prompt(rows: Sequence[Tensor | None]) -> Any:
    """The rows of all pictures for the first prompt, then those for the second."""
    present = [row for row in rows if row is not None]
    return torch.stack(present, dim=1).flatten(0, 1) if present else None


def _joined(rows: Sequence[Tensor | None], *, dim: int = 0) -> Tensor | None:
    """All rows in one tensor, or ``None`` where no row has any."""
    present = [row for row in rows if row is not None]
    if present and len(present) < len(rows):
        raise ValueError("all pictures of a batch must use guidance or none, got both")
    return torch.cat(present, dim=dim) if present else None
