"""Reuse of deep features (DeepCache): between whole runs of the UNet, only its outermost layers."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Size, Tensor

from sdloop.errors import SettingError
from sdloop.guidance.stand_in import StandIn, predicted
from sdloop.models.components.shell import shell


@dataclass(kw_only=True, slots=True)
class Reusing(StandIn):
    """A UNet whose every ``every``-th call is whole; the others run only ``shallow``.

    ``kept`` are the deep features of the last whole call. A call with another number of rows, as
    where guidance begins, is whole too, because they would not fit. Each run of the loop needs its
    own object.

    Source: Ma et al. 2023 (arXiv:2312.00858), with a uniform interval and the shallowest branch.
    """

    unet: Any
    shallow: Any
    every: int
    kept: deque[Tensor]
    _left: int = field(default=0, init=False)
    _shape: Size | None = field(default=None, init=False)

    def predict(self, sample: Tensor, timestep: Tensor, **inputs: Any) -> Tensor:
        """The prediction for ``sample`` (rows, channels, height, width)."""
        if self._left and sample.shape == self._shape:
            self._left -= 1
            return predicted(self.shallow, sample, timestep, **inputs)
        self._left, self._shape = self.every - 1, sample.shape
        self.kept.clear()
        return predicted(self.unet, sample, timestep, **inputs)


def reusing(unet: Any, every: int, placed: Callable[[Any], Any]) -> Reusing:
    """``unet``, which is not changed, as ``Reusing``.

    ``placed`` puts a UNet into what else stands for it: ControlNets and windows. It is called for
    the whole UNet and for the shallow one, and in each call both run equally often.

    Raises ``SettingError`` for a UNet that is compiled as one, from whose inside nothing is kept.
    """
    if unet._compiled_call_impl is not None:
        raise SettingError.of(
            "reuse", f"cannot be combined with compile whole, got {every}: use regional or off"
        )
    kept: deque[Tensor] = deque()
    whole, shallow = shell(unet), shell(unet)
    skipped = unet.conv_in.out_channels

    def keep(_: Any, args: tuple[Tensor, ...]) -> None:
        kept.append(args[0][:, :-skipped])  # the other channels are those of the first layer

    whole.up_blocks[-1].resnets[-1].register_forward_pre_hook(keep)
    _cut(shallow, kept)
    return Reusing(
        unet=placed(whole), shallow=placed(_Shallow(unet=shallow)), every=every, kept=kept
    )


def _cut(unet: Any, kept: deque[Tensor]) -> None:
    """Leave only the first convolution of ``unet``, its last layer and what follows."""
    last = unet.up_blocks[-1]
    unet.down_blocks, unet.mid_block = torch.nn.ModuleList(), _Kept(kept)
    unet.up_blocks = torch.nn.ModuleList([last])
    last.resnets = last.resnets[-1:]
    if hasattr(last, "attentions"):
        last.attentions = last.attentions[-1:]


class _Kept(torch.nn.Module):
    """Deep features instead of the layers that compute them: those of each window in its turn."""

    def __init__(self, kept: deque[Tensor]) -> None:
        super().__init__()
        self._kept = kept

    def forward(self, *_: Any) -> Tensor:
        self._kept.rotate(-1)
        return self._kept[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shallow(StandIn):
    """A UNet without its deep layers, called like a whole one."""

    unet: Any

    def predict(self, sample: Tensor, timestep: Tensor, **inputs: Any) -> Tensor:
        # T2I-Adapters act on deep layers only, ControlNets also on the first convolution.
        inputs.pop("down_intrablock_additional_residuals", None)
        if (middle := inputs.get("mid_block_additional_residual")) is not None:
            inputs["mid_block_additional_residual"] = middle.new_zeros(1)
        return predicted(self.unet, sample, timestep, **inputs)
