"""``Checkpoint``: a model on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sdloop.models.checkpoint.advice import Advice
from sdloop.models.checkpoint.families import DEPTH, EDITING, PAINTING
from sdloop.models.checkpoint.folder import Configs


class ModelNames(NamedTuple):
    """The Recipe's fields that select a model: equal names are the same model to load."""

    model: str = "mini"
    revision: str | None = None
    variant: str | None = None
    vae: str | None = None
    unet: str | None = None
    refiner: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
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
    def size_multiple(self) -> int:
        """The VAE's factor: each of its blocks except the last halves the picture."""
        return vae_factor(self.configs["vae"])

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels that the model was trained at."""
        few_steps = self.advice.few_steps
        own = None if few_steps is None else few_steps.sample_size
        size = self.configs["unet"]["sample_size"] if own is None else own
        height, width = size if isinstance(size, list) else (size, size)
        return width * self.size_multiple, height * self.size_multiple

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        return self.configs["scheduler"]

    @property
    def prediction_type(self) -> str:
        """What the UNet predicts, from the scheduler's config, or diffusers' default."""
        return str(self.configs["scheduler"].get("prediction_type", "epsilon"))

    @property
    def usual_fields(self) -> Mapping[str, Any]:
        """What else a model for a few steps needs: scheduler, timestep_spacing, timesteps."""
        few_steps = self.advice.few_steps
        return {} if few_steps is None else few_steps.fields

    @property
    def embeds_guidance(self) -> bool:
        """Whether the UNet takes the guidance scale as an input (LCM)."""
        return self.configs["unet"].get("time_cond_proj_dim") is not None

    @property
    def steps(self) -> int:
        """The model's default number of steps."""
        return self.advice.steps

    @property
    def guidance_scale(self) -> float:
        """The model's default guidance scale."""
        return self.advice.guidance_scale

    @property
    def upscale_strength(self) -> float:
        """The model's default strength for enlarged pictures."""
        return self.advice.upscale_strength

    @property
    def takes_sizes(self) -> bool:
        """Whether the UNet is conditioned on sizes and crop (SDXL)."""
        return self.configs["unet"].get("addition_embed_type") == "text_time"

    @property
    def paints(self) -> bool:
        """Whether it is an inpainting model, whose UNet takes a mask and the masked picture too."""
        return bool(self.configs["unet"].get("in_channels") == PAINTING)

    @property
    def sees_depth(self) -> bool:
        """Whether the UNet is told how near each place of the picture is."""
        return bool(self.configs["unet"].get("in_channels") == DEPTH)

    @property
    def estimates_depth(self) -> bool:
        """Whether it has a part that finds out the depth of a picture."""
        return "depth_estimator" in self.configs

    @property
    def edits(self) -> bool:
        """Whether it is an InstructPix2Pix model, whose UNet takes the picture to edit too."""
        return bool(self.configs["unet"].get("in_channels") == EDITING)

    @property
    def refines(self) -> bool:
        """Whether a refiner finishes its pictures."""
        return self.refiner is not None

    @property
    def text_layers(self) -> int:
        """Number of layers of the text encoder; with two, that of the shallower one."""
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
        return "text_encoder" in self.configs and "text_encoder_2" in self.configs

    @property
    def first_tokenizer(self) -> str:
        """The tokenizer of its first text encoder; SDXL's refiner has only "tokenizer_2"."""
        return next(iter(self.tokenizers))

    @property
    def max_tokens(self) -> int:
        """The text encoder's maximum number of tokens, including start and end."""
        first = next(c for part, c in self.configs.items() if part.startswith("text_encoder"))
        return int(first.get("max_position_embeddings", 77))


def vae_factor(config: Mapping[str, Any]) -> int:
    return int(2 ** (len(config.get("block_out_channels", (64,))) - 1))
