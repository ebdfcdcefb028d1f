"""Find the largest batch size for a GPU, by measuring the first pictures."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sdloop.images.input.read import OpenImage
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from sdloop.pipeline.loaded_model import LoadedModel

# The share of the GPU's memory; the rest is for the decoder and for torch's fragmentation.
SHARE = 0.8
# Larger batches are hardly faster, and an interrupt waits for the whole batch.
MOST = 32


def fitting(taken: Callable[[int], int], room: int) -> int:
    """The largest power of two of pictures that fit into ``room`` bytes.

    ``taken`` tells the peak for so many. Of two peaks one is the weights and one picture, and their
    difference another picture. Powers of two, and the whole card and not what is free of it just
    now: the answer decides a plan's batches, and must be the same in each run.

    >>> fitting(lambda count: 4 + 2 * count, room=25)
    8
    """
    one, two = taken(1), taken(2)
    more = (room - one) // max(1, two - one)
    size = 1
    while 2 * size - 1 <= more and 2 * size <= MOST:
        size *= 2
    return size


def largest_batch(model: "LoadedModel", recipe: Recipe, open_image: OpenImage) -> int:
    """The batch size for pictures of this shape: 1 on a CPU, on a GPU as many as fit."""
    import torch

    from sdloop.models.components.device import peak_memory, reset_peak_memory
    from sdloop.pipeline.sample import sampled

    device = model.components.device
    if device.type != "cuda":
        return 1

    def taken(count: int) -> int:
        """The peak of one step; the last one's decoding is done one by one, whatever the batch."""
        torch.cuda.empty_cache()
        reset_peak_memory(device)
        events = sampled(model, [recipe] * count, count, open_image)
        next(events)
        peak = peak_memory(device)
        assert peak is not None  # CUDA tells
        return peak

    return fitting(taken, int(SHARE * torch.cuda.get_device_properties(device).total_memory))
