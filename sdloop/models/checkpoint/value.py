"""``Checkpoint``: a model on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sdloop.models.checkpoint.advice import Advice
from sdloop.models.checkpoint.folder import Configs
from sdloop.recipe.model_facts import Defaults


class ModelNames(NamedTuple):
    """The Recipe's fields that select a model: equal names are the same model to load."""

    model: str = "mini"
    revision: str | None = None
    variant: str | None = None
    vae: str | None = None
    unet: str | None = None
    refiner: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint(Defaults):
    """A model on disk: found and recognised, but not loaded.

    name
        As the user gave it: "mini", a hub id, a folder or a file.
    path
        The folder in diffusers' layout, or the single file.
    revision
        The commit of a hub model.
    asked_revision, variant, vae, unet
        As the user gave them; ``vae`` and ``unet`` replace the model's own parts.
    family
        "sd1", "sd2", "sdxl", "refiner" or "upscaler"; the embedded model counts as "sd1".
    configs
        Part → its ``config.json``; "scheduler" → its ``scheduler_config.json`` after the updates in
        ``legacy``.
    weights
        Part → its weight files, several if they are sharded.
    tokenizers
        Part → the folder of its vocabulary.
    advice
        The model's advice about its own use, or diffusers' defaults for its family.
    max_noise_level
        An upscaler's highest noise level for its input picture; None for other models.
    vae_path, unet_path
        The paths of parts that replace the model's own; their configs and weights are in
        ``configs`` and ``weights``.
    refiner
        The model of the second stage. It has no VAE where the first one's is used in both.
    scores
        Whether the UNet is conditioned on an aesthetic score, as SDXL's refiner is.
    """

    name: str
    path: Path
    revision: str | None = None
    asked_revision: str | None = None
    variant: str | None = None
    vae: str | None = None
    unet: str | None = None
    family: str
    configs: Configs
    weights: Mapping[str, tuple[Path, ...]]
    tokenizers: Mapping[str, Path]
    force_zeros_for_empty_prompt: bool = False
    advice: Advice
    max_noise_level: int | None = None
    vae_path: Path | None = None
    unet_path: Path | None = None
    refiner: "Checkpoint | None" = None
    scores: bool = False

    @property
    def names(self) -> ModelNames:
        """The fields of a Recipe that select it."""
        refiner = None if self.refiner is None else self.refiner.name
        return ModelNames(
            self.name, self.asked_revision, self.variant, self.vae, self.unet, refiner
        )

    @property
    def unet_config(self) -> Mapping[str, Any]:
        return self.configs["unet"]

    @property
    def vae_config(self) -> Mapping[str, Any]:
        return self.configs["vae"]

    @property
    def text_configs(self) -> tuple[Mapping[str, Any], ...]:
        parts = ("text_encoder", "text_encoder_2")
        return tuple(self.configs[part] for part in parts if part in self.configs)

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        return self.configs["scheduler"]

    @property
    def prediction_type(self) -> str:
        """What the UNet predicts, from the scheduler's config, or diffusers' default."""
        return str(self.configs["scheduler"].get("prediction_type", "epsilon"))

    @property
    def estimates_depth(self) -> bool:
        return "depth_estimator" in self.configs

    @property
    def first_tokenizer(self) -> str:
        """The tokenizer of its first text encoder; SDXL's refiner has only "tokenizer_2"."""
        return next(iter(self.tokenizers))
