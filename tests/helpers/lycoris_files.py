"""Files of LyCORIS with random weights, of every kind and in every layout."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from helpers.loras import kohya_layer
from sdloop.models.components.load import Components

RANK = 3
# Part and layer → the tensors of the layer by LyCORIS' names: "hada_w1_a", "alpha" …
Layers = Mapping[tuple[str, str], Mapping[str, Tensor]]

_UNET = (".to_q", ".to_k", ".to_out.0", ".proj_in", ".ff.net.2", "conv1", "conv2", "time_emb_proj")
_UNET += ("conv_in", "linear_1", "conv_shortcut", "upsamplers.0.conv", "downsamplers.0.conv")
_TEXT = (".q_proj", ".out_proj", ".fc1")


def layers_to_change(components: Components) -> Iterator[tuple[str, str, Tensor]]:
    """Part, name and weight of linear layers and convolutions in every part."""
    for part in ("unet", "text_encoder", "text_encoder_2"):
        module: Any = getattr(components, part)
        for name, layer in module.named_modules() if module is not None else ():
            if name.endswith(_UNET if part == "unet" else _TEXT):
                yield part, name, layer.weight


class Random:
    """Random tensors of a strength that shows, for one kind after the other."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator) * 0.3

    def of_kind(self, kind: str, weight: Tensor) -> dict[str, Tensor]:
        """What LyCORIS would save for a layer; a Tucker decomposition needs a kernel above 1."""
        out, into, *kernel = weight.shape
        flat, large = into * torch.Size(kernel).numel(), any(side > 1 for side in kernel)
        if kind == "full":
            return {"diff": self(*weight.shape)}
        base, _, core = kind.removeprefix("do").partition("-")
        if base == "lora":
            return self._lora(out, into, kernel, tucker=core == "tucker" and large)
        if base == "loha":
            return self._loha(out, into, kernel, flat, tucker=core == "tucker" and large)
        return self._lokr(out, into, kernel, flat, core if core != "tucker" or large else "")

    def _lora(self, out: int, into: int, kernel: list[int], *, tucker: bool) -> dict[str, Tensor]:
        ones = [1] * len(kernel)
        own = {"lora_down.weight": self(RANK, into, *(ones if tucker else kernel))}
        own["lora_up.weight"] = self(out, RANK, *ones)
        return own | ({"lora_mid.weight": self(RANK, RANK, *kernel)} if tucker else {})

    def _loha(
        self, out: int, into: int, kernel: list[int], flat: int, *, tucker: bool
    ) -> dict[str, Tensor]:
        own: dict[str, Tensor] = {}
        for half in ("1", "2"):
            own[f"hada_w{half}_a"] = self(RANK, out) if tucker else self(out, RANK)
            own[f"hada_w{half}_b"] = self(RANK, into if tucker else flat)
            if tucker:
                own[f"hada_t{half}"] = self(RANK, RANK, *kernel)
        return own

    def _lokr(
        self, out: int, into: int, kernel: list[int], flat: int, form: str
    ) -> dict[str, Tensor]:
        first = {"lokr_w1": self(2, 2)}
        if form == "full":
            return {**first, "lokr_w2": self(out // 2, into // 2, *kernel)}
        if form == "tucker":
            core = {"lokr_t2": self(RANK, RANK, *kernel)}
            return {
                **(first | core),
                "lokr_w2_a": self(RANK, out // 2),
                "lokr_w2_b": self(RANK, into // 2),
            }
        return {**first, "lokr_w2_a": self(out // 2, RANK), "lokr_w2_b": self(RANK, flat // 2)}


def save_lycoris(layers: Layers, path: Path, *, names: Mapping[str, str] | None = None) -> Path:
    """Under kohya's names; ``names`` of layers stand in for diffusers' in SDXL."""
    two = any(part == "text_encoder_2" for part, _ in layers)
    tensors = {
        f"{kohya_layer(part, layer, two=two, names=names or {})}.{kind}": tensor.contiguous()
        for (part, layer), own in layers.items()
        for kind, tensor in own.items()
    }
    save_file(tensors, path)
    return path
