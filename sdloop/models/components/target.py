"""Load one part of a model: its weights in a module, on their device."""

from dataclasses import dataclass, field
from typing import Any

import torch

from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.components import single_file
from sdloop.models.components.compiled import compile_module
from sdloop.models.components.depth import load_depth_estimator
from sdloop.models.components.device import vae_dtype
from sdloop.models.components.fp8 import to_fp8
from sdloop.models.components.offload import Kept, Offload, offload
from sdloop.models.components.weights import empty_module, fill, modern_names, read_tensors


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where the parts of a model are loaded to, and how."""

    device: torch.device
    dtype: torch.dtype
    fp8: bool
    memory: str
    compile: str
    kept: Kept = field(default_factory=Kept)

    def load(self, model: Checkpoint, part: str) -> Any:
        """The module of a part, on the device or, offloaded, on the CPU."""
        fp8 = self.fp8 and part == "unet"
        waits = self.memory != "full"
        # A UNet of 8 bits may not fit before it has become one.
        on_cpu = waits or (fp8 and self.device.type != "meta")
        first = torch.device("cpu") if on_cpu else self.device
        module = _read_part(model, part, first, self.dtype)
        if fp8:
            to_fp8(module)
        if waits or fp8:
            stays = part == "unet" and self.memory != "lowest"
            hooks = Offload(self.device, self.kept if stays else None)
            offload(module if waits else module.to(self.device), hooks)
        return compile_module(module, self.compile, self.device) if part == "unet" else module


def _read_part(model: Checkpoint, part: str, device: torch.device, dtype: torch.dtype) -> Any:
    if part == "vae":
        dtype = vae_dtype(model, dtype)
    config, files = model.configs[part], model.weights[part]
    where = files[0] if len(files) == 1 else files[0].parent
    source = f"{part} in {where}"
    if part == "depth_estimator":
        first = device if device.type == "meta" else torch.device("cpu")
        tensors = read_tensors(files, first, torch.float32)
        return load_depth_estimator(config, tensors, source, device)
    module = empty_module(part, config, source)
    if files[0] in (model.path, model.vae_path, model.unet_path):
        tensors = single_file.read_part(part, files[0], module, device, dtype)
    else:
        tensors = read_tensors(files, device, dtype)
    fill(module, modern_names(part, tensors, module), source, device)
    return module
