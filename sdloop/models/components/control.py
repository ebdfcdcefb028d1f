"""Load ControlNets and T2I-Adapters."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.checkpoint.control import PARTS, ControlFile, check_control
from sdloop.models.checkpoint.t2i_adapter import adapter_names
from sdloop.models.components.compiled import compile_module
from sdloop.models.components.load import Components
from sdloop.models.components.offload import Offload, offload
from sdloop.models.components.single_file import check_all_used
from sdloop.models.components.weights import empty_module, fill, read_tensors
from sdloop.schedulers.library_messages import no_library_messages

# The last ones that were loaded, by what they were loaded from and for: a worker's next call often
# needs the same.
_held: dict[tuple[str, str, torch.device, torch.dtype, str, str], Any] = {}


def controlnets_for(components: Components, files: Sequence[ControlFile]) -> tuple[Any, ...]:
    """The ControlNets and T2I-Adapters in ``files``, on the UNet's device and in its precision.

    Where the model's weights are offloaded, theirs are too, layer by layer. ControlNets are
    compiled like the UNet.

    Raises ``ModelError`` for one of another family than the UNet, and for one with a tensor that is
    missing, extra or not finite.
    """
    for file in files:
        check_control(file, components.unet.config, _name(components), components.vae_factor)
    if (
        components.device.type == "meta"
    ):  # to predict memory: what is kept has nothing to do with it
        made = {(file.field, file.name): _loaded(file, components) for file in files}
        return tuple(made[file.field, file.name] for file in files)
    wanted = {}
    for file in files:
        config = file.config_for(components.unet.config)
        how = components.device, components.dtype, components.memory, components.compile
        wanted[file.field, file.name] = (file.sha256, repr(sorted(config.items())), *how)
    for key in set(_held) - set(wanted.values()):
        del _held[key]
    for file in files:
        if wanted[file.field, file.name] not in _held:
            _held[wanted[file.field, file.name]] = _loaded(file, components)
    return tuple(_held[wanted[file.field, file.name]] for file in files)


def forget_controlnets() -> None:
    """Drop those that are kept."""
    _held.clear()


def _name(components: Components) -> str:
    return "the model" if components.checkpoint is None else components.checkpoint.name


def _loaded(file: ControlFile, components: Components) -> Any:
    part = "controlnet_union" if file.modes else PARTS[file.field]
    source = f"{part} in {file.name}"
    module = empty_module(part, file.config_for(components.unet.config), source)
    waits = components.memory != "full"
    place = torch.device("cpu") if waits else components.device
    tensors = read_tensors(file.files, place, components.dtype, (file.prefix,))
    if file.single and file.field == "t2i_adapters":
        tensors = {new: tensors[old] for old, new in adapter_names(tensors).items()}
    elif file.single:
        tensors = _converted(tensors, module, source)
    fill(module, tensors, source, place)
    if waits:
        offload(module, Offload(components.device))
    # An adapter runs once for a picture, and not in each step.
    how = components.compile if file.field == "controls" else "off"
    return compile_module(module, how, components.device)


def _converted(tensors: dict[str, Tensor], module: Any, source: str) -> dict[str, Tensor]:
    """The tensors of a single file, with diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    try:
        with no_library_messages():
            converted: dict[str, Tensor] = convert_controlnet_checkpoint(
                dict(tensors), config=module.config
            )
    except KeyError as error:
        raise ModelError(f"{source}: {error.args[0]} is missing") from error
    found = {name: tensor for name, tensor in converted.items() if tensor is not None}
    check_all_used(tensors, found, source)
    return found
