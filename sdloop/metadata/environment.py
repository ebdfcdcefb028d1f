"""Collect how a picture is made, besides its Recipe: weights, versions, device, dtype."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sdloop.metadata.record import Made
from sdloop.metadata.versions import installed
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.models.checkpoint.lora import LoraFile
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The model, device and precision that pictures are made with.

    ``checkpoint`` is None for components that were not loaded from files: their weights have no
    hash. ``tf32`` is None for devices that have no such choice. ``compile`` is how much of the UNet
    is compiled.
    """

    checkpoint: Checkpoint | None
    device: str
    dtype: str
    tf32: bool | None = None
    compile: str = "off"

    @cached_property
    def weights(self) -> Mapping[str, str]:
        """The sha256 of the model's files; see ``model_hashes``."""
        return {} if self.checkpoint is None else model_hashes(self.checkpoint)

    def made(self, loras: Sequence[LoraFile]) -> Made:
        """The part of ``Made`` that is known before the picture is finished."""
        made = Made(
            weights=self.weights,
            lora_hashes={file.path.stem: file.tensors_sha256[:12] for file in loras},
            revision=None if self.checkpoint is None else self.checkpoint.revision,
            versions=installed(),
            device=self.device,
            dtype=self.dtype,
        )
        if self.tf32 is not None:
            made["tf32"] = self.tf32
        if self.compile != "off":
            made["compile"] = self.compile
        if self.checkpoint is None:
            del made["weights"], made["revision"]
        return made


def made_with(
    recipe: Recipe,
    environment: Environment,
    *,
    sigmas: tuple[float, ...],
    loras: Sequence[LoraFile] = (),
) -> Made:
    """``Made`` of a finished picture, with its sigmas and its content key.

    It contains no time or duration, so that the same Recipe gives the same bytes. Without hashes of
    the weights there is no key.
    """
    if environment.checkpoint is None:
        return Made(sigmas=sigmas, **environment.made(loras))
    return Made(
        sigmas=sigmas, key=content_key(recipe, environment.weights), **environment.made(loras)
    )
