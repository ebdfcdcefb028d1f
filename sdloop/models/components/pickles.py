"""Weight files that are pickles: their tensors alone, and never the code of a class in them.

torch's ``weights_only`` reads tensors and plain values and refuses every other class. The original
files of Stable Diffusion hold a few more: Lightning saved its ``ModelCheckpoint`` with the weights,
and training loops save numpy's numbers. Such an object is replaced by one that does nothing; its
class is neither imported nor called.
"""

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdloop.errors import DAMAGED, ModelError
from sdloop.models.checkpoint.image_adapter import SECTIONS

# The libraries whose objects lie beside the tensors of published files.
_HARMLESS = ("lightning", "lightning_fabric", "numpy", "pytorch_lightning")

# How torch colours its messages.
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class StandIn:
    """What stands where a file has an object of a class that is not loaded: it does nothing."""

    def __new__(cls, *_: Any) -> "StandIn":
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


def unpickled(file: Path) -> dict[str, Tensor]:
    """The tensors in a ``.ckpt``, ``.bin`` or ``.pt`` file, with a warning that it is a pickle.

    Raises ``ModelError`` for a file that is damaged, or that needs a class outside of Lightning
    and numpy.
    """
    warnings.warn(
        f"{file} is a pickle: only its tensors are read; a .safetensors file is safe and loads "
        "faster",
        stacklevel=2,
    )
    try:
        with torch.serialization.safe_globals(_stand_ins(file)):
            loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, *DAMAGED) as error:
        reason = _ANSI.sub("", str(error)).splitlines() or [type(error).__name__]
        raise ModelError(
            f"{file} holds more than tensors, or is damaged: convert it to .safetensors "
            f"({reason[0]})"
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict):
        raise ModelError(f"{file} must hold named tensors, and holds a {type(state).__name__}")
    return dict(_tensors_in(state))


def _tensors_in(state: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors by name; those in a dict within it (IP-Adapters) as ``image_proj.norm.weight``.

    Names in any other place belong to no weights.
    """
    for name, value in state.items():
        if isinstance(value, Tensor):
            yield name, value
        elif f"{name}." in SECTIONS and isinstance(value, dict):
            yield from ((f"{name}.{inner}", one) for inner, one in _tensors_in(value))


def _stand_ins(file: Path) -> list[Any]:
    """A stand-in for each class in ``file`` that torch does not know, where it is harmless."""
    unknown = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    strange = [name for name in unknown if name.partition(".")[0] not in _HARMLESS]
    if strange:
        raise ModelError(
            f"{file} holds more than tensors: it names {', '.join(sorted(strange))}, which sdloop "
            "does not load from a pickle, because that could run code; look for a .safetensors "
            "file of this model"
        )
    return [(StandIn, name) for name in unknown]
