"""Load a CLIP with its tokenizer and its preprocessing of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from sdloop.errors import ModelError
from sdloop.models.checkpoint.clip import ClipCheckpoint, View, find_clip
from sdloop.models.components.device import make_current, pick_device
from sdloop.models.components.weights import BAD_CONFIG, fill, read_tensors, reason_of
from sdloop.schedulers.library_messages import no_library_messages


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A CLIP in float32 on one device; its parameters have no gradients.

    ``name`` is as the user gave it ("mini", a folder, a hub id).
    """

    model: CLIPModel
    tokenizer: CLIPTokenizer
    view: View
    name: str = "mini"

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    @property
    def max_tokens(self) -> int:
        """The maximum number of tokens, including start and end: 77."""
        return int(self.model.config.text_config.max_position_embeddings)


def load_clip(model: str | ClipCheckpoint = "mini", *, device: str = "auto") -> Clip:
    """Load a CLIP: the embedded "mini", a folder in Hugging Face's format, or a hub id.

    It is float32 on every device, because pictures are sorted by score differences of a hundredth.
    The embedded CLIP only knows what the embedded model can draw.

    Raises ``SettingError`` for a missing device, ``ModelError`` for an unusable model.
    """
    place = pick_device(device)
    make_current(place)
    found = find_clip(model) if isinstance(model, str) else model
    source = f"the CLIP in {found.path}"
    module = _empty(found.config, source)
    tensors = read_tensors(found.weights, place, torch.float32)
    # Position ids (0, 1, 2 …), which transformers saved until 4.31.
    kept = {n: t for n, t in tensors.items() if not n.endswith("embeddings.position_ids")}
    fill(module, kept, source, place)
    tokenizer = _tokenizer(found)
    words = module.config.text_config.vocab_size
    if len(tokenizer) > words:
        raise ModelError(f"{source}: its tokenizer has {len(tokenizer)} words, its model {words}")
    return Clip(model=module, tokenizer=tokenizer, view=found.view, name=found.name)


def _empty(config: Any, source: str) -> Any:
    try:
        with init_empty_weights(), no_library_messages():
            module = CLIPModel(CLIPConfig.from_dict(dict(config)))
    except BAD_CONFIG as error:
        raise ModelError(f"{source} has an invalid config: {reason_of(error)}") from error
    return module.eval().requires_grad_(False)


def _tokenizer(found: ClipCheckpoint) -> Any:
    try:
        with no_library_messages():
            return CLIPTokenizer.from_pretrained(found.path, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the tokenizer in {found.path} cannot be read: {error}") from error
