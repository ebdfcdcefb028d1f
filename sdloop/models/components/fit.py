"""Choose which weights stay on a GPU: the first choice of ``--memory`` that fits."""

import math
import warnings
from collections.abc import Callable

import torch

from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.components.predict import Needs
from sdloop.models.memory_names import MEMORY, check_memory

# Free memory of more than this many times the weights is enough, with some ControlNets too.
_PLENTY = 4

# Of the predicted peak, for what is not counted.
_MARGIN = 1.1


def pick_memory(
    name: str,
    model: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    *,
    needs: Callable[[], Needs],
    own: int = 0,
) -> str:
    """Which weights stay on ``device``: full, low or lowest; auto is the first that fits.

    ``needs`` predicts what it needs, and ``own`` bytes of this process's memory on the device will
    be free too. Raises ``SettingError`` for another name, and for one that would
    have no effect.
    """
    check_memory(name, device.type)
    if device.type != "cuda":
        return "full"
    if name != "auto":
        return name
    free = torch.cuda.mem_get_info(device)[0] + own
    if free > _PLENTY * _most_weights(model) * dtype.itemsize:
        return "full"
    return _fitting(needs(), free)


def _fitting(needs: Needs, free: int) -> str:
    """The first choice of ``--memory`` whose predicted peak fits into ``free`` bytes.

    It warns if that is not "full".
    """
    peaks = {memory: int(needs.peak(memory) * _MARGIN) for memory in MEMORY}
    chosen = next((memory for memory in MEMORY if peaks[memory] <= free), MEMORY[-1])
    if chosen != "full":
        warnings.warn(
            f"{free / 2**30:.1f} GB of GPU memory are free, and about {peaks['full'] / 2**30:.1f} "
            f"GB are needed: memory {chosen}, which needs about {peaks[chosen] / 2**30:.1f} GB",
            RuntimeWarning,
            stacklevel=3,
        )
    return chosen


def _most_weights(model: Checkpoint) -> int:
    """The number of all numbers in the model's files; some may not be needed."""
    files = {file for part in model.weights.values() for file in part}
    own = sum(math.prod(shape) for file in files for shape in read_header(file).tensors.values())
    return own + (0 if model.refiner is None else _most_weights(model.refiner))
