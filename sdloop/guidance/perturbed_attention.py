"""Perturbed-attention guidance (PAG) and skip-layer guidance (SLG).

Both also run the prompt's rows through a copy of the UNet that is weakened in some of its layers,
and move the prediction away from that of the weakened copy.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor

from sdloop.errors import SettingError
from sdloop.guidance.control import last_rows
from sdloop.guidance.stand_in import StandIn, predicted
from sdloop.models.components.shell import shell


@dataclass(frozen=True, kw_only=True, slots=True)
class Perturbed(StandIn):
    """A UNet with PAG or SLG.

    Every row is moved by the same difference, so the result of any guidance, or of none, is moved
    by it too. ``worse`` are weakened copies of ``unet``, each with its scale. ``pictures`` is the
    number of pictures in a batch; its last rows are those of the prompts. If several prompts are
    combined with ``weights`` (prompts, pictures, 1, height or 1, width or 1), so are their
    differences.

    Source: Ahn et al. 2024 (arXiv:2403.17377), equation 15.
    """

    unet: Any
    worse: Sequence[tuple[Any, float]]
    pictures: int
    weights: Tensor | None = None

    def predict(self, sample: Tensor, timestep: Tensor, **inputs: Any) -> Tensor:
        """The prediction for ``sample`` (rows, channels, height, width), moved, in float32."""
        seen = predicted(self.unet, sample, timestep, **inputs).float()
        prompts = 1 if self.weights is None else len(self.weights)
        first = len(sample) - prompts * self.pictures
        prompt = last_rows(len(sample) - first, inputs)
        moved = torch.zeros_like(seen[first:])
        for twin, scale in self.worse:
            worse = predicted(twin, sample[first:], timestep, **prompt).float()
            moved = moved + scale * (seen[first:] - worse)
        if self.weights is not None:
            moved = (self.weights * moved.reshape(prompts, self.pictures, *moved.shape[1:])).sum(
                dim=0
            )
        return seen + torch.cat([moved] * (len(sample) // self.pictures))


def with_identity_attention(unet: Any, layers: str) -> Any:
    """PAG's copy of ``unet``: in the self-attention of ``layers``, each place attends to itself.

    ``layers`` are names of modules, separated by commas: "mid", "up_blocks.1". The weights are
    shared, and ``unet`` is not changed. Raises ``SettingError`` for a name without such a layer.

    Source: Ahn et al. 2024 (arXiv:2403.17377), equation 14: the attention map is the identity.
    """
    twin = shell(unet)
    for _, layer in _named(twin, "pag_layers", layers, Attention):
        layer.set_processor(_Identity())
    return twin


def skipping(unet: Any, layers: str) -> Any:
    """SLG's copy of ``unet``, without the transformer blocks in ``layers``.

    Source: Stability AI 2024, https://github.com/Stability-AI/sd3.5 (skip-layer guidance).
    """
    twin = shell(unet)
    for name, _ in _named(twin, "slg_layers", layers, BasicTransformerBlock):
        twin.set_submodule(name, _Skipped())
    return twin


class _Identity:
    """Self-attention with the identity as its map: only the value and output projections."""

    def __call__(self, attn: Any, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        seen: Tensor = attn.to_out[0](attn.to_v(hidden_states))
        return seen


class _Skipped(torch.nn.Module):
    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden_states


def _named(unet: Any, field: str, layers: str, kind: type) -> list[tuple[str, Any]]:
    """The layers of this kind under each name; names may omit ``_blocks``."""
    able = dict(_layers(unet, kind))
    found: dict[str, Any] = {}
    for one in layers.split(","):
        pattern = re.compile(rf"(.*\.)?{re.escape(one)}(_blocks?)?(\..*)?")
        here = {name: layer for name, layer in able.items() if pattern.fullmatch(name)}
        if not here:
            blocks = dict.fromkeys(".".join(name.split(".")[:2]) for name in able)
            raise SettingError(
                f"{field} must name layers with self-attention, got {one!r}; layers that have it: "
                f"{', '.join(name.removesuffix('.attentions') for name in blocks) or 'none'}"
            )
        found |= here
    return list(found.items())


def _layers(unet: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """The self-attention layers: some blocks of some UNets only attend to the prompt."""
    for name, module in unet.named_modules():
        if not isinstance(module, kind):
            continue
        attention: Any = module.attn1 if isinstance(module, BasicTransformerBlock) else module
        if not attention.is_cross_attention and attention.group_norm is None:
            yield name, module
