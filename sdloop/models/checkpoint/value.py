"""A model on disk, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdloop.models.checkpoint.advice import Advice
from sdloop.models.checkpoint.families import PAINTING
from sdloop.models.checkpoint.folder import Configs

# A Recipe's model, revision, variant and vae.
ModelNames = tuple[str, str | None, str | None, str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A model on disk: found and recognised, not loaded.

    name
        As the user gave it: "mini", a hub id, a folder or a file.
    path
        The folder in diffusers' layout, or the single file.
    revision
        The commit of a hub model.
    asked_revision, variant, vae
        As the user gave them; ``vae`` is another VAE than the model's own.
    family
        "sd1", "sd2", "sdxl" or "upscaler"; the embedded model is shaped like the first.
    configs
        Part → its ``config.json``; "scheduler" → its ``scheduler_config.json`` as
        ``legacy`` settles it.
    weights
        Part → its weight files, several when they are sharded.
    tokenizers
        Part → the folder of its vocabulary.
    advice
        What it says about its own use, or diffusers' defaults for its family.
    max_noise_level
        The most noise that an upscaler may be told to put on what it enlarges; None for others.
    vae_path
        Where another VAE than the model's own comes from; its config and weights are in
        ``configs`` and ``weights``.
    """

    name: str
    path: Path
    revision: str | None = None
    asked_revision: str | None = None
    variant: str | None = None
    vae: str | None = None
    family: str
    configs: Configs
    weights: Mapping[str, tuple[Path, ...]]
    tokenizers: Mapping[str, Path]
    force_zeros_for_empty_prompt: bool = False
    advice: Advice
    max_noise_level: int | None = None
    vae_path: Path | None = None

    @property
    def names(self) -> ModelNames:
        """What it was found by: a Recipe's model, revision, variant and vae."""
        return self.name, self.asked_revision, self.variant, self.vae

    @property
    def size_multiple(self) -> int:
        """The VAE's factor: each of its blocks but the last halves the picture."""
        return vae_factor(self.configs["vae"])

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels that the model was trained at."""
        size = self.configs["unet"]["sample_size"]
        height, width = size if isinstance(size, list) else (size, size)
        return width * self.size_multiple, height * self.size_multiple

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        return self.configs["scheduler"]

    @property
    def prediction_type(self) -> str:
        """What the UNet predicts; where the scheduler's config is silent, diffusers' default."""
        return str(self.configs["scheduler"].get("prediction_type", "epsilon"))

    @property
    def guidance_scale(self) -> float:
        """The scale that suits the model where nobody names one."""
        return self.advice.guidance_scale

    @property
    def upscale_strength(self) -> float:
        """The strength that suits an enlarged picture where nobody names one."""
        return self.advice.upscale_strength

    @property
    def takes_sizes(self) -> bool:
        """Whether the UNet is told sizes and crop (SDXL)."""
        return self.configs["unet"].get("addition_embed_type") == "text_time"

    @property
    def paints(self) -> bool:
        """Whether the UNet sees a mask, and what lies outside of it, beside the latents."""
        return bool(self.configs["unet"].get("in_channels") == PAINTING)

    @property
    def text_layers(self) -> int:
        """Layers of the text encoder, of the shallower one where there are two."""
        encoders = [c for part, c in self.configs.items() if part.startswith("text_encoder")]
        return min(int(config.get("num_hidden_layers", 12)) for config in encoders)

    @property
    def text_widths(self) -> tuple[int, ...]:
        """The width of each text encoder's input embeddings."""
        encoders = [part for part in ("text_encoder", "text_encoder_2") if part in self.configs]
        return tuple(int(self.configs[part].get("hidden_size", 512)) for part in encoders)

    @property
    def reads_twice(self) -> bool:
        """Whether it has two text encoders (SDXL)."""
        return "text_encoder_2" in self.configs

    @property
    def max_tokens(self) -> int:
        """The text encoder's window, start and end token included."""
        return int(self.configs["text_encoder"].get("max_position_embeddings", 77))


def vae_factor(config: Mapping[str, Any]) -> int:
    return int(2 ** (len(config.get("block_out_channels", (64,))) - 1))
