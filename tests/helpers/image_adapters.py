"""IP-Adapters and their image encoders with random weights, in the layout of h94/IP-Adapter."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from sdloop.models.components.load import Components

PATCHES, EMBEDDING = 24, 16  # what the encoder gives for each patch, and for a picture
_TOKENS, _HIDDEN, _INNER = 5, 32, 128  # a resampler's; its attention has two heads


def save_image_encoder(
    folder: Path, seed: int = 0, *, width: int = PATCHES, embedding: int = EMBEDDING
) -> Path:
    """A CLIP's half for pictures that looks at 32x32 pixels."""
    config = CLIPVisionConfig(
        hidden_size=width, intermediate_size=32, projection_dim=embedding, num_hidden_layers=3,
        num_attention_heads=4, image_size=32, patch_size=8,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def save_image_adapter(
    components: Components, path: Path, kind: str = "base", seed: int = 0
) -> Path:
    """An IP-Adapter for the UNet of ``components``, beside its encoder; kind base, plus or full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not (path.parent / "image_encoder").exists():
        save_image_encoder(path.parent / "image_encoder")
    sections = adapter_tensors(components, kind, seed)
    if path.suffix == ".bin":
        torch.save(sections, path)
    else:
        flat = {f"{section}.{name}": tensor for section, tensors in sections.items()
                for name, tensor in tensors.items()}  # fmt: skip
        save_file(flat, path)
    return path


def adapter_tensors(components: Components, kind: str, seed: int) -> dict[str, dict[str, Tensor]]:
    """The two dicts of an adapter's file, with the names of its authors."""
    unet, width = components.unet, components.unet.config.cross_attention_dim
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) / max(1, shape[-1]) ** 0.5

    shapes = _SHAPES[kind](width)
    names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    layers = [unet.get_submodule(name.removesuffix(".processor")) for name in names]
    return {
        "image_proj": {name: drawn(*shape) for name, shape in shapes.items()},
        "ip_adapter": {f"{2 * index + 1}.to_{one}_ip.weight": drawn(*layer.to_k.weight.shape)
                       for index, layer in enumerate(layers) for one in "kv"},
    }  # fmt: skip


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name: str, out: int, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def _base(width: int) -> dict[str, tuple[int, ...]]:
    return _linear("proj", 4 * width, EMBEDDING) | _norm("norm", width)


def _full(width: int) -> dict[str, tuple[int, ...]]:
    inner = _linear("proj.0", PATCHES, PATCHES) | _linear("proj.2", width, PATCHES)
    return inner | _norm("proj.3", width)


def _plus(width: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"latents": (1, _TOKENS, _HIDDEN)}
    shapes |= _linear("proj_in", _HIDDEN, PATCHES) | _linear("proj_out", width, _HIDDEN)
    shapes |= _norm("norm_out", width)
    for layer in (f"layers.{index}" for index in range(4)):
        shapes |= _norm(f"{layer}.0.norm1", _HIDDEN) | _norm(f"{layer}.0.norm2", _HIDDEN)
        shapes |= {
            f"{layer}.0.to_q.weight": (_INNER, _HIDDEN),
            f"{layer}.0.to_kv.weight": (2 * _INNER, _HIDDEN),
            f"{layer}.0.to_out.weight": (_HIDDEN, _INNER),
            f"{layer}.1.1.weight": (4 * _HIDDEN, _HIDDEN),
            f"{layer}.1.3.weight": (_HIDDEN, 4 * _HIDDEN),
        } | _norm(f"{layer}.1.0", _HIDDEN)
    return shapes


_SHAPES = {"base": _base, "full": _full, "plus": _plus}
