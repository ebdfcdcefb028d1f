"""The one value that conditioning ends in, and the form in which the UNet takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioning:
    """What a batch of pictures is conditioned on, one row for each.

    ``prompt_embeds`` are (batch, tokens, width), in the UNet's dtype and on its device. The
    negative ones are their unconditional twins, ``None`` where guidance is off. SDXL's UNet takes
    ``pooled_prompt_embeds`` (batch, width) and ``time_ids`` (batch, 6) as well: the original
    height and width, the crop's top and left, the target height and width.

    ``channels`` (batch, channels, height, width), at the size of the latents, are what an
    inpainting UNet or an upscaler sees beside them, and ``class_labels`` (batch,) the noise level
    that an upscaler is told.
    """

    prompt_embeds: Tensor
    negative_prompt_embeds: Tensor | None = None
    pooled_prompt_embeds: Tensor | None = None
    negative_pooled_prompt_embeds: Tensor | None = None
    time_ids: Tensor | None = None
    channels: Tensor | None = None
    class_labels: Tensor | None = None

    def unet_inputs(self, *, guided: bool) -> dict[str, Any]:
        """The UNet's arguments; with guidance for the doubled batch, unconditional half first.

        Raises ``ValueError`` when guidance is asked for and there is no twin to guide away from.
        """
        inputs: dict[str, Any] = {
            "encoder_hidden_states": _twinned(
                self.negative_prompt_embeds, self.prompt_embeds, guided
            )
        }
        if self.pooled_prompt_embeds is not None:
            inputs["added_cond_kwargs"] = {
                "text_embeds": _twinned(
                    self.negative_pooled_prompt_embeds, self.pooled_prompt_embeds, guided
                ),
                "time_ids": _twinned(self.time_ids, self.time_ids, guided),
            }
        if self.class_labels is not None:
            inputs["class_labels"] = _twinned(self.class_labels, self.class_labels, guided)
        return inputs

    def beside(self, latent_input: Tensor) -> Tensor:
        """``latent_input`` with the channels that this UNet sees beside it, if it sees any."""
        if self.channels is None:
            return latent_input
        twice = len(latent_input) // len(self.channels)
        return torch.cat([latent_input, torch.cat([self.channels] * twice)], dim=1)


def stack(rows: Sequence[Conditioning]) -> Conditioning:
    """One Conditioning for a batch from those of its pictures, in their order."""
    return Conditioning(
        prompt_embeds=torch.cat([row.prompt_embeds for row in rows]),
        negative_prompt_embeds=_joined([row.negative_prompt_embeds for row in rows]),
        pooled_prompt_embeds=_joined([row.pooled_prompt_embeds for row in rows]),
        negative_pooled_prompt_embeds=_joined([row.negative_pooled_prompt_embeds for row in rows]),
        time_ids=_joined([row.time_ids for row in rows]),
        channels=_joined([row.channels for row in rows]),
        class_labels=_joined([row.class_labels for row in rows]),
    )


def _joined(rows: Sequence[Tensor | None]) -> Tensor | None:
    """All rows in one tensor, or ``None`` where no row has any."""
    present = [row for row in rows if row is not None]
    if present and len(present) < len(rows):
        raise ValueError("a batch must be guided or not as a whole, got rows of both kinds")
    return torch.cat(present) if present else None


def _twinned(negative: Tensor | None, positive: Tensor | None, guided: bool) -> Tensor | None:
    if not guided or positive is None:
        return positive
    if negative is None:
        raise ValueError("guidance_scale must be 1 for a Conditioning without its negative twin")
    return torch.cat([negative, positive])
