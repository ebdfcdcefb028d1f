"""A stand-in for spandrel, which the tests do without: see upscalers in pyproject.toml."""

import enum
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


class UnsupportedModelError(Exception):
    """What spandrel raises, without a message, for tensors of a network that it does not know."""


Tiling = enum.Enum("Tiling", ["SUPPORTED", "DISCOURAGED", "INTERNAL"])


class Repeats:
    """A network that repeats each pixel and inverts it: what it made is recognised at once.

    ``seen`` are the sizes (height, width) that it was called with.
    """

    purpose, tiling = "SR", Tiling.SUPPORTED
    architecture = SimpleNamespace(name="ESRGAN")

    def __init__(self, scale: int, channels: int, worth: float) -> None:
        self.scale, self.worth = scale, worth
        self.input_channels = self.output_channels = channels
        self.seen: list[tuple[int, ...]] = []

    def to(self, device: torch.device) -> "Repeats":
        return self

    def __call__(self, image: Tensor) -> Tensor:
        assert image.dtype == torch.float32 and image.shape[:2] == (1, 3)
        self.seen.append(tuple(image.shape[2:]))
        larger = image.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        return (1 - larger) * self.worth


class Restores(Repeats):
    purpose, architecture = "Restoration", SimpleNamespace(name="SCUNet")


class ModelLoader:
    def load_from_file(self, path: Path) -> Repeats:
        tensors = load_file(path)
        if "scale" not in tensors:
            raise UnsupportedModelError
        scale, channels, worth = tensors["scale"].tolist()
        kind = Restores if scale == 1 else Repeats
        return kind(int(scale), int(channels), worth)


def with_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``import spandrel`` find this stand-in."""
    module: Any = ModuleType("spandrel")
    module.__spec__ = ModuleSpec("spandrel", None)
    module.ModelLoader, module.ImageModelDescriptor = ModelLoader, Repeats
    module.UnsupportedModelError = UnsupportedModelError
    monkeypatch.setitem(sys.modules, "spandrel", module)


def save_upscaler(path: Path, scale: int = 2, *, channels: int = 3, worth: float = 1.0) -> Path:
    """The file of such a network; with another ``worth`` what it makes is darker, or NaN."""
    save_file({"scale": torch.tensor([scale, channels, worth])}, path)
    return path
