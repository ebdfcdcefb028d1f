"""Find the largest batch size for a GPU, by measuring the largest forward pass of a plan."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sdloop.images.input.read import OpenImage
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from sdloop.pipeline.loaded_model import LoadedModel

# The share of the GPU's memory; the rest is for the decoder and for torch's fragmentation.
SHARE = 0.8
# Larger batches are hardly faster, and an interrupt waits for the whole batch.
MOST = 32


def fitting(taken: Callable[[int], int | None], room: int) -> int:
    """The largest power of two of pictures that fit into ``room`` bytes.

    ``taken`` measures the peak for so many, or returns None if they run out of memory. Of two peaks
    one is the weights and one picture, and their difference another picture. Something that is done
    for each picture alone, like encoding it, can hide that difference: so the answer is measured
    too. Powers of two, and the whole card and not what is free of it just now: the answer decides a
    plan's batches, and must be the same in each run.

    >>> fitting(lambda count: 4 + 2 * count, room=25)
    8
    >>> fitting(lambda count: max(20, 4 + 2 * count), room=60)
    16
    """
    one, two = taken(1), taken(2)
    if one is None or two is None:
        return 1
    more = (room - one) // max(1, two - one)
    size = 1
    while 2 * size - 1 <= more and 2 * size <= MOST:
        size *= 2
    while size > 2 and not _fits(taken(size), room):
        size //= 2
    return size


def _fits(peak: int | None, room: int) -> bool:
    return peak is not None and peak <= room


def largest_batch(model: "LoadedModel", recipe: Recipe, open_image: OpenImage) -> int:
    """The batch size for pictures of this shape: 1 on a CPU, on a GPU as many as fit."""
    import torch

    device = model.components.device
    if device.type != "cuda":
        return 1
    room = int(SHARE * torch.cuda.get_device_properties(device).total_memory)
    return fitting(lambda count: _peak(model, [recipe] * count, open_image), room)


def _peak(model: "LoadedModel", batch: Sequence[Recipe], open_image: OpenImage) -> int | None:
    """The peak memory of the largest forward pass; None if it does not fit."""
    from sdloop.models.components.device import PeakMemory
    from sdloop.models.memory import free_memory, is_out_of_memory
    from sdloop.pipeline.largest_forward import run_largest_forward

    free_memory()
    peak = PeakMemory(model.components.device)
    try:
        run_largest_forward(model, batch, open_image)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
    return peak.read()
