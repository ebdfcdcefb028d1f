"""The one value that conditioning ends in, and the form in which the UNet takes it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioning:
    """What a batch of pictures is conditioned on.

    ``prompt_embeds`` are (rows, tokens, width), in the UNet's dtype and on its device, a row for
    each picture: or several, where the predictions for several prompts are combined with
    ``weights`` (prompts, batch, 1, 1, 1). Then the first prompt's rows for all pictures come first,
    then those of the second. The negative ones are the unconditional twins, one for each picture,
    ``None`` where guidance is off. SDXL's UNet takes ``pooled_prompt_embeds`` (rows, width) and
    ``time_ids`` (batch, 6) as well: the original height and width, the crop's top and left, the
    target height and width.

    ``channels`` (batch, channels, height, width), at the size of the latents, are what an
    inpainting UNet or an upscaler takes besides them, and ``class_labels`` (batch,) the noise level
    that an upscaler is told.

    ``later`` is what takes the place of the prompts on the way: (step, Conditioning), in their
    order. Steps are the scheduler's and count from 0 at the first that is run. All else stays:
    time_ids, class_labels and weights are those of the first.
    """

    prompt_embeds: Tensor
    negative_prompt_embeds: Tensor | None = None
    pooled_prompt_embeds: Tensor | None = None
    negative_pooled_prompt_embeds: Tensor | None = None
    time_ids: Tensor | None = None
    channels: Tensor | None = None
    class_labels: Tensor | None = None
    weights: Tensor | None = None
    later: tuple[tuple[int, "Conditioning"], ...] = ()

    @property
    def prompts(self) -> int:
        """How many prompts the predictions for a picture are combined of."""
        return 1 if self.weights is None else len(self.weights)

    def at(self, step: int) -> "Conditioning":
        """What holds at a step of the scheduler."""
        return next((then for first, then in reversed(self.later) if first <= step), self)

    def over(self, steps: Sequence[int], *, guided: Sequence[bool]) -> list[dict[str, Any]]:
        """The UNet's arguments for each of its turns, which are at these steps of the scheduler.

        Each has the unconditional twin where that turn is ``guided``, and always where there are
        several prompts: they are combined by what they differ from it. Nothing is built twice:
        turns with equal prompts have one and the same dict.
        """
        built: dict[tuple[int, int, bool], dict[str, Any]] = {}
        inputs = []
        for state, twin in zip(map(self.at, steps), guided, strict=True):
            twin = twin or self.prompts > 1
            key = (*_identity(state), twin)
            if key not in built:
                whole = replace(state, time_ids=self.time_ids, class_labels=self.class_labels)
                built[key] = whole.unet_inputs(guided=twin)
            inputs.append(built[key])
        return inputs

    def unet_inputs(self, *, guided: bool) -> dict[str, Any]:
        """The UNet's arguments at first; with guidance for the larger batch, twins in front.

        Raises ``ValueError`` when guidance is asked for and there is no twin to guide away from,
        or is not, and there are several prompts: they are combined by what they differ from it.
        """
        if self.prompts > 1 and not guided:
            raise ValueError("guidance_scale must not be 1 for a Conditioning of several prompts")
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
                "time_ids": self._for_each_row(self.time_ids, guided),
            }
        if self.class_labels is not None:
            inputs["class_labels"] = self._for_each_row(self.class_labels, guided)
        return inputs

    def with_extra_channels(self, latent_input: Tensor) -> Tensor:
        """``latent_input`` with the extra channels that this UNet takes, if it takes any."""
        if self.channels is None:
            return latent_input
        times = len(latent_input) // len(self.channels)
        return torch.cat([latent_input, torch.cat([self.channels] * times)], dim=1)

    @property
    def shapes(self) -> tuple[tuple[int, torch.Size], ...]:
        """What must be equal for pictures to share a batch: tokens and prompts, at each step."""
        states = ((0, self), *self.later)
        shapes = [(first, state.prompt_embeds.shape) for first, state in states]
        kept = [one for one, last in zip(shapes[1:], shapes, strict=False) if one[1] != last[1]]
        return (shapes[0], *kept)

    def _for_each_row(self, values: Tensor | None, guided: bool) -> Tensor | None:
        """What is told of each picture, for all the rows that the UNet sees of it."""
        times = self.prompts + guided
        return values if values is None or times == 1 else torch.cat([values] * times)


def stack(pictures: Sequence[Conditioning]) -> Conditioning:
    """One Conditioning for a batch from those of its pictures, in their order.

    They must agree in ``shapes``, and in whether they are guided.
    """
    steps = sorted({0, *(first for one in pictures for first, _ in one.later)})
    stacked: dict[tuple[tuple[int, int], ...], Conditioning] = {}
    states = []
    for step in steps:
        now = [one.at(step) for one in pictures]
        same = tuple(_identity(one) for one in now)
        if same not in stacked:
            stacked[same] = _stacked(now)
        states.append((step, stacked[same]))
    return replace(
        states[0][1],
        channels=_joined([one.channels for one in pictures]),
        class_labels=_joined([one.class_labels for one in pictures]),
        later=tuple(states[1:]),
    )


def _identity(state: Conditioning) -> tuple[int, int]:
    """Two of one identity tell the UNet the same."""
    return id(state.prompt_embeds), id(state.negative_prompt_embeds)


def _stacked(pictures: Sequence[Conditioning]) -> Conditioning:
    """The same for what holds at one step."""
    return Conditioning(
        prompt_embeds=_by_prompt([one.prompt_embeds for one in pictures]),
        negative_prompt_embeds=_joined([one.negative_prompt_embeds for one in pictures]),
        pooled_prompt_embeds=_by_prompt([one.pooled_prompt_embeds for one in pictures]),
        negative_pooled_prompt_embeds=_joined([p.negative_pooled_prompt_embeds for p in pictures]),
        time_ids=_joined([one.time_ids for one in pictures]),
        weights=_joined([one.weights for one in pictures], dim=1),
    )


def _by_prompt(rows: Sequence[Tensor | None]) -> Any:
    """The rows of all pictures for the first prompt, then those for the second."""
    present = [row for row in rows if row is not None]
    return torch.stack(present, dim=1).flatten(0, 1) if present else None


def _joined(rows: Sequence[Tensor | None], *, dim: int = 0) -> Tensor | None:
    """All rows in one tensor, or ``None`` where no row has any."""
    present = [row for row in rows if row is not None]
    if present and len(present) < len(rows):
        raise ValueError("a batch must be guided or not as a whole, got rows of both kinds")
    return torch.cat(present, dim=dim) if present else None


def _twinned(negative: Tensor | None, positive: Tensor | None, guided: bool) -> Tensor | None:
    if not guided or positive is None:
        return positive
    if negative is None:
        raise ValueError("guidance_scale must be 1 for a Conditioning without its negative twin")
    return torch.cat([negative, positive])
