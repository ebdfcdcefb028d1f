"""What the loop calls like a UNet, and is more than one."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor


class StandIn(ABC):
    """A UNet's place in the loop: ``predict`` runs ``unet``, once or more often."""

    __slots__ = ()
    unet: Any

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.unet.dtype
        return dtype

    def __call__(
        self, sample: Tensor, timestep: Tensor, *, return_dict: bool, **inputs: Any
    ) -> tuple[Tensor]:
        assert not return_dict, "the loop takes tuples"
        return (self.predict(sample, timestep, **inputs),)

    @abstractmethod
    def predict(self, sample: Tensor, timestep: Tensor, **inputs: Any) -> Tensor:
        """The prediction for ``sample`` (rows, channels, height, width)."""


def predicted(unet: Any, sample: Tensor, timestep: Tensor, **inputs: Any) -> Tensor:
    """What a UNet, or what stands for one, predicts."""
    prediction: Tensor = unet(sample, timestep, **inputs, return_dict=False)[0]
    return prediction
