"""``Conditioning``, the result of encoding, and how it is passed to the UNet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sdloop.conditioning.control import ControlImage, Features, summed

# What may change on the way.
_PROMPTS = (
    *("prompt_embeds", "negative_prompt_embeds"),
    *("pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioning:
    """What a batch of pictures is conditioned on.

    ``prompt_embeds`` are (rows, tokens, width), in the UNet's dtype and on its device. There is one
    row for each picture, or several if the predictions for several prompts are combined with
    ``weights`` (prompts, batch, 1, 1, 1): first the rows of the first prompt for all pictures, then
    those of the second. The prompts of the ``regions``, one for each, come last. The negative
    embeddings have one row for each picture, or are ``None`` if guidance is off. SDXL's UNet also
    takes ``pooled_prompt_embeds`` (rows, width) and ``time_ids`` (batch, 6): the original height
    and width, the crop's top and left, the target height and width. Its refiner takes (batch, 5),
    with an aesthetic score as the last, and other ``negative_time_ids`` for the negative rows.

    ``channels`` (batch, channels, height, width), at the size of the latents, are the extra input
    channels of an inpainting UNet or an upscaler; ``class_labels`` (batch,) is the noise level for
    an upscaler. ``guidance_embeds`` (batch, width) are the guidance scales for UNets that take them
    as an input (LCM).

    ``controls`` are the pictures that ControlNets follow, and ``features`` what T2I-Adapters see.

    ``image_embeds`` (batch, tokens, width) are the tokens of all pictures that IP-Adapters see,
    ``negative_image_embeds`` those that stand for none; ``image_masks`` (batch, pictures, height,
    width), at the size of the picture that is made, are where the last of the pictures count.

    ``later`` are the prompts that replace the first ones: (step, Conditioning), in order. Steps are
    the scheduler's and count from 0 at the first that is run. Everything else is that of the
    first.
    """

    prompt_embeds: Tensor
    negative_prompt_embeds: Tensor | None = None
    pooled_prompt_embeds: Tensor | None = None
    negative_pooled_prompt_embeds: Tensor | None = None
    time_ids: Tensor | None = None
    negative_time_ids: Tensor | None = None
    channels: Tensor | None = None
    class_labels: Tensor | None = None
    guidance_embeds: Tensor | None = None
    weights: Tensor | None = None
    regions: int = 0
    controls: tuple[ControlImage, ...] = ()
    features: tuple[Features, ...] = ()
    image_embeds: Tensor | None = None
    negative_image_embeds: Tensor | None = None
    image_masks: Tensor | None = None
    later: tuple[tuple[int, "Conditioning"], ...] = ()

    @property
    def combined(self) -> int:
        """How many prompts are combined with ``weights`` for a picture, or 1."""
        return 1 if self.weights is None else len(self.weights)

    @property
    def prompts(self) -> int:
        """How many prompts there are for a picture, with those of its regions."""
        return self.combined + self.regions

    def at(self, step: int) -> "Conditioning":
        """The Conditioning at a step of the scheduler."""
        return next((then for first, then in reversed(self.later) if first <= step), self)

    def over(self, steps: Sequence[int], *, guided: Sequence[bool]) -> list[dict[str, Any]]:
        """The UNet's arguments for each of its calls, which belong to these scheduler steps.

        They include the negative embeddings if the call is ``guided``, and always if several
        prompts are combined by their differences from the unconditional prediction.
        Calls with equal prompts share the same dict.
        """
        built: dict[tuple[Any, ...], dict[str, Any]] = {}
        inputs = []
        for call, (state, twin) in enumerate(zip(map(self.at, steps), guided, strict=True)):
            twin = twin or self.combined > 1
            acting = [one.acts(call, len(steps)) for one in (*self.controls, *self.features)]
            key = (*identity(state), twin, *acting)
            if key not in built:
                whole = self._with_prompts(state).unet_inputs(guided=twin)
                built[key] = whole | self._control_inputs(acting, twin)
            inputs.append(built[key])
        return inputs

    def _with_prompts(self, state: "Conditioning") -> "Conditioning":
        """The same with the prompts of one of the ``later`` steps."""
        if state is self:
            return self
        return replace(self, **{name: getattr(state, name) for name in _PROMPTS})

    def unet_inputs(self, *, guided: bool) -> dict[str, Any]:
        """The UNet's arguments at the first step; with guidance, the negative rows come first.

        Raises ``ValueError`` if guidance has no negative embeddings, or if several prompts are
        combined without guidance: they are combined by their differences from the unconditional
        prediction.
        """
        if self.combined > 1 and not guided:
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
                "time_ids": self._rows_of_time_ids(guided),
            }
        if self.class_labels is not None:
            inputs["class_labels"] = self._for_each_row(self.class_labels, guided)
        if self.guidance_embeds is not None:
            inputs["timestep_cond"] = self._for_each_row(self.guidance_embeds, guided)
        if self.image_embeds is not None:
            seen = torch.cat([self.image_embeds] * self.prompts)
            given = _twinned(self.negative_image_embeds, seen, guided)
            inputs["added_cond_kwargs"] = inputs.get("added_cond_kwargs", {}) | {
                "image_embeds": given
            }
        if self.image_masks is not None:
            masks = self._for_each_row(self.image_masks, guided)
            inputs["cross_attention_kwargs"] = {"ip_adapter_masks": masks}
        begin = [one.start == 0 for one in (*self.controls, *self.features)]
        return inputs | self._control_inputs(begin, guided)

    def _control_inputs(self, acting: Sequence[bool], guided: bool) -> dict[str, Any]:
        """The pictures of the ControlNets that act, and the features: see ``Controlled``."""
        inputs = {}
        if self.controls:
            inputs["controls"] = {
                str(place): self._for_each_row(one.pixels, guided and not one.prompts_only)
                for place, one in enumerate(self.controls)
                if acting[place]
            }
        if self.features:
            act = acting[len(self.controls) :]
            levels = summed([one for one, acts in zip(self.features, act, strict=True) if acts])
            inputs["features"] = {n: self._for_each_row(one, guided) for n, one in levels.items()}
        return inputs

    def split(
        self, noise_pred: Tensor
    ) -> tuple[Tensor | None, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The rows of a prediction, (rows, channels, height, width), by what they are for.

        Returns that for the negative prompt (None if it has no rows), those for the prompts, and
        those for the regions; each (batch, channels, height, width).
        """
        pictures = len(self.prompt_embeds) // self.prompts
        parts = noise_pred.chunk(len(noise_pred) // pictures)
        first, last = len(parts) - self.prompts, len(parts) - self.regions
        return parts[0] if first else None, parts[first:last], parts[last:]

    def since(self, step: int) -> "Conditioning":
        """The Conditioning for a run that begins at a step of this one."""
        if step == 0:
            return self
        later = tuple((first - step, then) for first, then in self.later if first > step)
        return replace(self._with_prompts(self.at(step)), later=later)

    def with_extra_channels(self, latent_input: Tensor) -> Tensor:
        """``latent_input`` with the UNet's extra input channels, if it has any."""
        if self.channels is None:
            return latent_input
        times = len(latent_input) // len(self.channels)
        return torch.cat([latent_input, torch.cat([self.channels] * times)], dim=1)

    def of_regions_alone(self) -> "Conditioning":
        """The same without the main prompt, whose place the first region takes."""
        rows = len(self.prompt_embeds) // self.prompts * self.combined
        pooled = self.pooled_prompt_embeds
        return replace(
            self,
            prompt_embeds=self.prompt_embeds[rows:],
            pooled_prompt_embeds=None if pooled is None else pooled[rows:],
            weights=None,
            regions=self.regions - 1,
            later=tuple((first, then.of_regions_alone()) for first, then in self.later),
        )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """What must be equal for pictures in one batch: regions, prompts and tokens, by steps."""
        states = ((0, self), *self.later)
        shapes = [(first, self.regions, *state.prompt_embeds.shape) for first, state in states]
        kept = [one for one, last in zip(shapes[1:], shapes, strict=False) if one[1:] != last[1:]]
        return (shapes[0], *kept)

    def _rows_of_time_ids(self, guided: bool) -> Tensor | None:
        if not guided or self.negative_time_ids is None or self.time_ids is None:
            return self._for_each_row(self.time_ids, guided)
        return torch.cat([self.negative_time_ids, *[self.time_ids] * self.prompts])

    def _for_each_row(self, values: Tensor | None, guided: bool) -> Tensor | None:
        """Values per picture, repeated for all rows that the UNet gets for it."""
        times = self.prompts + guided
        return values if values is None or times == 1 else torch.cat([values] * times)


def identity(state: Conditioning) -> tuple[int, int]:
    """Equal for two Conditionings that give the UNet the same arguments."""
    return id(state.prompt_embeds), id(state.negative_prompt_embeds)


def _twinned(negative: Tensor | None, positive: Tensor | None, guided: bool) -> Tensor | None:
    if not guided or positive is None:
        return positive
    if negative is None:
        raise ValueError(
            "guidance_scale must be 1 for a Conditioning without negative_prompt_embeds"
        )
    return torch.cat([negative, positive])
