"""Load the model of a command, with the command's device and dtype."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sdloop.batch.command_settings import CommandSettings
from sdloop.worker.inside import HOST

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint
    from sdloop.models.components.load import Components
    from sdloop.recipe.recipe import Recipe


def loaded(
    checkpoint: "Checkpoint", command: CommandSettings, recipes: "Sequence[Recipe]" = ()
) -> "Components":
    """The loaded parts of a model, ready for the loop; a worker may have them loaded already.

    ``recipes`` are resolved for it: all that their runs load must fit into memory.
    """
    if recipes:
        command = with_memory(checkpoint, command, recipes)
    load = partial(_load, checkpoint, command)
    asked = command.device, command.dtype, command.memory, command.compile
    components: Components = HOST.get().load(load, checkpoint, *asked)
    if command.safety == "off":
        return components
    from sdloop.models.components.safety import with_safety_checker

    return with_safety_checker(components)


def with_memory(
    checkpoint: "Checkpoint", command: CommandSettings, recipes: "Sequence[Recipe]"
) -> CommandSettings:
    """The command with the ``memory`` in which all that ``recipes`` load fits."""
    from sdloop.pipeline.memory import memory_for

    how = {name: getattr(command, name) for name in ("device", "dtype", "memory", "safety")}
    return replace(command, memory=memory_for(checkpoint, recipes, **how))


def _load(checkpoint: "Checkpoint", command: CommandSettings) -> "Components":
    from sdloop.models.components.load import load_components

    components = load_components(
        checkpoint,
        device=command.device,
        dtype=command.dtype,
        memory=command.memory,
        compile=command.compile,
    )
    settle_threads(components.unet)
    return components


def settle_threads(module: Any) -> None:
    """Run a small model on one thread from now on: see ``runs_on_one_thread``."""
    import torch

    from sdloop.models.components.device import runs_on_one_thread

    if runs_on_one_thread(module):
        torch.set_num_threads(1)
