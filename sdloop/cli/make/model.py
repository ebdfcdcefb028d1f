"""A command's model, loaded where and how its settings say."""

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from sdloop.batch.settings import CommandSettings
from sdloop.worker.inside import HOST

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint
    from sdloop.models.components.load import Components

# Weights of a module that one thread runs best: the embedded one has 5 million, SD1's 860.
_SMALL = 50_000_000


def loaded(checkpoint: "Checkpoint", command: CommandSettings) -> "Components":
    """The parts of a model that was found, ready for the loop; a worker may have them already."""
    load = partial(_load, checkpoint, command)
    components: Components = HOST.get().load(load, checkpoint, command.device, command.dtype)
    return components


def _load(checkpoint: "Checkpoint", command: CommandSettings) -> "Components":
    from sdloop.models.components.load import load_components

    components = load_components(checkpoint, device=command.device, dtype=command.dtype)
    settle_threads(components.unet)
    return components


def settle_threads(module: Any) -> None:
    """Run a small model on one thread, unless ``OMP_NUM_THREADS`` says how many.

    Below some size threads wait for each other longer than they work, on a busy machine many times
    longer; and with one, a seed's last bits do not depend on how many cores a machine has.
    """
    import torch

    size = sum(weights.numel() for weights in module.parameters())
    if module.device.type == "cpu" and size < _SMALL and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
