"""Put the tensors of weight files into the modules that diffusers and transformers define.

Both libraries let through what would silently make another picture: a missing tensor is filled
with random numbers, an extra one dropped, NaN kept. Here every tensor has its one place, and a
misfit is named by file, part and tensor. Reading goes straight to the device.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sdloop.errors import ModelError
from sdloop.models.checkpoint.headers import PICKLES
from sdloop.models.components.harmless import without_harmless
from sdloop.models.components.pickles import unpickled
from sdloop.schedulers.quiet import quiet

Module = Any  # one of the four classes below, whose libraries have no types

_CLASSES: Mapping[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}

# Attention in VAEs as diffusers named it before 0.13; the published SD1 and SD2 have it.
_OLD_ATTENTION = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}


# What the libraries stumble over in a config that makes no sense; they do not check it first.
BAD_CONFIG = (
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    StrictDataclassError,
)


def empty_module(part: str, config: Mapping[str, Any], source: str) -> Module:
    """The module that ``config`` describes, without memory for its weights."""
    try:
        with init_empty_weights(), quiet():
            if part.startswith("text_encoder"):
                module = _CLASSES[part](CLIPTextConfig.from_dict(dict(config)))
            else:
                module = _CLASSES[part].from_config(dict(config))
    except BAD_CONFIG as error:
        raise ModelError(
            f"{source} has a config of the {part} that builds none: {reason_of(error)}"
        ) from error
    return module.eval().requires_grad_(False)


def reason_of(error: BaseException) -> str:
    """One line about why a config builds nothing; the hub's library puts its own before it."""
    if isinstance(error, StrictDataclassError) and error.__cause__ is not None:
        error = error.__cause__
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def read_tensors(
    files: Sequence[Path],
    device: torch.device,
    dtype: torch.dtype,
    prefixes: tuple[str, ...] = ("",),
) -> dict[str, Tensor]:
    """The tensors whose names begin with one of ``prefixes``, on ``device`` and in ``dtype``."""
    tensors: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in _tensors_of(file, device, prefixes):
            floating = tensor.is_floating_point()
            tensors[name] = tensor.to(device, dtype) if floating else tensor.to(device)
    return tensors


def _tensors_of(
    file: Path, device: torch.device, prefixes: tuple[str, ...]
) -> Iterator[tuple[str, Tensor]]:
    if file.suffix in PICKLES:
        yield from ((n, t) for n, t in unpickled(file).items() if n.startswith(prefixes))
        return
    try:
        with safe_open(file, framework="pt", device=str(device)) as opened:
            for name in opened.keys():  # noqa: SIM118 (it is no dict)
                if name.startswith(prefixes):
                    yield name, opened.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from error


def modern_names(part: str, tensors: dict[str, Tensor], module: Module) -> dict[str, Tensor]:
    """``tensors`` under the names that today's libraries use."""
    if part == "vae":
        return {_replaced(name): tensor for name, tensor in tensors.items()}
    if part.startswith("text_encoder"):
        kept = without_harmless(tensors, module.state_dict())
        # CLIPTextModel lost this level in transformers 5.6, CLIPTextModelWithProjection did not.
        if not hasattr(module, "text_model"):
            kept = {name.removeprefix("text_model."): tensor for name, tensor in kept.items()}
        return kept
    return tensors


def _replaced(name: str) -> str:
    for old, new in _OLD_ATTENTION.items():
        name = name.replace(old, new)
    return name


def fill(module: Module, tensors: Mapping[str, Tensor], source: str, device: torch.device) -> None:
    """Give ``module`` its weights; ``source`` names file and part in messages.

    Raises ``ModelError`` for a tensor that is missing, extra, of another shape, or not finite.
    """
    expected = module.state_dict()
    _refuse(source, "is missing", [name for name in expected if name not in tensors])
    _refuse(source, "has no place in it", [name for name in tensors if name not in expected])
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise ModelError(
                f"{source}: {name} has the shape {tuple(tensor.shape)}, and its config asks for "
                f"{tuple(expected[name].shape)}"
            )
    check_finite(source, tensors)
    module.load_state_dict(tensors, assign=True)
    module.to(device)  # the buffers that no file has


def check_finite(source: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise ``ModelError`` for a tensor with NaN or infinity in it."""
    _refuse(source, "holds NaN or infinity", _not_finite(tensors))


def _not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors with NaN or infinity, with one synchronisation with the device.

    The least and greatest number tell both in one pass, 5 to 17 times faster than ``isfinite``,
    which writes a tensor of booleans first.
    """
    names = [name for name, t in tensors.items() if t.is_floating_point() and t.numel()]
    if not names:
        return []
    ends = torch.stack([torch.stack(tensors[name].aminmax()).float() for name in names])
    finite = ends.isfinite().all(dim=1).tolist()
    return [name for name, is_finite in zip(names, finite, strict=True) if not is_finite]


def _refuse(source: str, what: str, names: list[str]) -> None:
    if names:
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        raise ModelError(f"{source}: {names[0]} {what}{more}")
