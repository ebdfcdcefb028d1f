"""ControlNets and T2I-Adapters: what networks see in a picture is added to the UNet's layers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from sdloop.guidance.stand_in import StandIn, predicted
from sdloop.models.components.load import Follower

Residuals = tuple[list[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Controlled(StandIn):
    """A UNet with ControlNets and T2I-Adapters.

    ``nets`` are the ControlNets. In each call ``controls`` has the pictures, (rows, channels,
    height, width), of those that act in it, by their place in ``nets``: see ``Conditioning``. In
    guess mode these are only the prompts' rows, the last ones; the negative rows are left alone,
    and layers nearer to the latents count less. ``features`` has what the T2I-Adapters that act
    see, by level.

    Source: Zhang et al. 2023 (arXiv:2302.05543), equation 2 and section 3.4; Mou et al. 2023
    (arXiv:2302.08453), equation 4.
    """

    unet: Any
    nets: Sequence[Follower]
    channels: int
    guess_mode: bool = False

    def predict(
        self,
        sample: Tensor,
        timestep: Tensor,
        *,
        controls: Mapping[str, Tensor] = MappingProxyType({}),
        features: Mapping[str, Tensor] = MappingProxyType({}),
        **inputs: Any,
    ) -> Tensor:
        """The prediction for ``sample`` (rows, channels, height, width).

        ControlNets see only its first ``channels``, the latents, without those of a mask.
        """
        down, mid = None, None
        for places in self._together([int(place) for place in controls]):
            pictures = [controls[str(place)] for place in places]
            residuals = self._residuals(places, pictures, sample, timestep, inputs)
            down, mid = residuals if down is None else _added((down, mid), residuals)
        if features:  # the UNet takes them out of the list
            inputs = inputs | {"down_intrablock_additional_residuals": list(features.values())}
        if down is not None:
            inputs = inputs | {
                "down_block_additional_residuals": down,
                "mid_block_additional_residual": mid,
            }
        return predicted(self.unet, sample, timestep, **inputs)

    def _together(self, places: Sequence[int]) -> Iterable[Sequence[int]]:
        """The places, where those of one ControlNet-Union are together: it joins its pictures."""
        calls: dict[tuple[Any, int | None], list[int]] = {}
        for place in places:
            net, _, mode, _ = self.nets[place]
            calls.setdefault((net, place if mode is None else None), []).append(place)
        return calls.values()

    def _residuals(
        self,
        places: Sequence[int],
        pictures: Sequence[Tensor],
        sample: Tensor,
        timestep: Tensor,
        inputs: Mapping[str, Any],
    ) -> Residuals:
        rows, latents = len(pictures[0]), sample[-len(pictures[0]) :]
        if self.channels < latents.shape[1]:
            # Otherwise not contiguous, and convolutions would round in another order.
            latents = latents[:, : self.channels].contiguous()
        nets = [self.nets[place] for place in places]
        down, mid = nets[0].net(
            latents,
            timestep,
            **last_rows(rows, _seen(inputs)),
            **_followed(nets, pictures, sample.dtype),
            guess_mode=self.guess_mode,
            return_dict=False,
        )
        count = len(sample)
        return [_below_zeros(one, count) for one in down], _below_zeros(mid, count)


def last_rows(count: int, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The UNet's arguments for its last rows only."""
    return {
        name: last_rows(count, value) if isinstance(value, Mapping) else value[-count:]
        for name, value in inputs.items()
    }


def _seen(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a ControlNet is given of the UNet's arguments."""
    names = ("encoder_hidden_states", "added_cond_kwargs")
    return {name: inputs[name] for name in names if name in inputs}


def _followed(
    nets: Sequence[Follower], pictures: Sequence[Tensor], dtype: torch.dtype
) -> dict[str, Any]:
    """A ControlNet's arguments about its picture, or about those that a ControlNet-Union joins."""
    first, pixels = nets[0], pictures[0]
    if first.mode is None:
        return {"controlnet_cond": pixels, "conditioning_scale": first.scale}
    kinds = torch.zeros(len(pixels), first.modes, device=pixels.device, dtype=dtype)
    for one in nets:
        kinds[:, one.mode] = 1
    return {
        "controlnet_cond": list(pictures),
        "conditioning_scale": [one.scale for one in nets],
        "control_type": kinds,
        "control_type_idx": [one.mode for one in nets],
    }


def _added(one: Any, other: Residuals) -> Residuals:
    (down, mid), (more_down, more_mid) = one, other
    return [a + b for a, b in zip(down, more_down, strict=True)], mid + more_mid


def _below_zeros(residual: Tensor, rows: int) -> Tensor:
    """``residual`` with zeros for the rows that come before its own."""
    missing = rows - len(residual)
    if not missing:
        return residual
    return torch.cat([residual.new_zeros(missing, *residual.shape[1:]), residual])
