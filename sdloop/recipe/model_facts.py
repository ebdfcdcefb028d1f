"""The facts about a model that give a Recipe its defaults, and that the Recipe must fit."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdloop.rules import Size

# A UNet's input channels, besides the four of the latents: for depth also how near each place is;
# for InstructPix2Pix also the latents of the picture to edit; for inpainting also the mask and the
# latents of the masked picture.
DEPTH = 5
EDITING = 8
PAINTING = 9

Config = Mapping[str, Any]


class Defaults:
    """The facts about a model, which a ``Checkpoint`` and loaded ``Components`` both have.

    They follow from the configs of its parts, and from the model's advice about its own use.
    """

    __slots__ = ()

    if TYPE_CHECKING:  # what each of the two has in its own way

        @property
        def unet_config(self) -> Config:
            """The UNet's ``config.json``."""

        @property
        def vae_config(self) -> Config:
            """The VAE's ``config.json``."""

        @property
        def text_configs(self) -> Sequence[Config]:
            """That of each text encoder."""

        @property
        def scheduler_config(self) -> Config:
            """The checkpoint's own ``scheduler_config.json``."""

        @property
        def advice(self) -> Any:
            """The model's ``Advice``."""

        @property
        def max_noise_level(self) -> int | None:
            """The highest noise_level of an upscaler; None for other models."""

        @property
        def refiner(self) -> Any:
            """The model of the second stage, if there is one."""

        @property
        def scores(self) -> bool:
            """Whether it is SDXL's refiner, which is conditioned on an aesthetic score."""

        @property
        def estimates_depth(self) -> bool:
            """Whether it has a part that finds out the depth of a picture."""

    @property
    def size_multiple(self) -> int:
        """Width and height must be multiples of this: the VAE's factor."""
        return vae_factor(self.vae_config)

    @property
    def native_size(self) -> Size:
        """Width and height in pixels that the model was trained at."""
        few_steps = self.advice.few_steps
        own = None if few_steps is None else few_steps.sample_size
        size = self.unet_config["sample_size"] if own is None else own
        height, width = size if isinstance(size, list | tuple) else (size, size)
        return width * self.size_multiple, height * self.size_multiple

    @property
    def usual_fields(self) -> Mapping[str, Any]:
        """What else a model for a few steps needs: scheduler, timestep_spacing, timesteps."""
        return {} if self.advice.few_steps is None else dict(self.advice.few_steps.fields)

    @property
    def steps(self) -> int:
        """The default number of steps."""
        return int(self.advice.steps)

    @property
    def guidance_scale(self) -> float:
        """The default guidance scale."""
        return float(self.advice.guidance_scale)

    @property
    def upscale_strength(self) -> float:
        """The default strength for enlarged pictures."""
        return float(self.advice.upscale_strength)

    @property
    def embeds_guidance(self) -> bool:
        """Whether the UNet takes the guidance scale as an input (LCM), and needs no second call."""
        return self.unet_config.get("time_cond_proj_dim") is not None

    @property
    def takes_sizes(self) -> bool:
        """Whether the UNet is conditioned on sizes and crop (SDXL)."""
        return self.unet_config.get("addition_embed_type") == "text_time"

    @property
    def paints(self) -> bool:
        """Whether it is an inpainting model, whose UNet takes a mask and the masked picture too."""
        return self.unet_config.get("in_channels") == PAINTING

    @property
    def sees_depth(self) -> bool:
        """Whether the UNet is told how near each place of the input picture is."""
        return self.unet_config.get("in_channels") == DEPTH

    @property
    def edits(self) -> bool:
        """Whether it is an InstructPix2Pix model, whose UNet takes the picture to edit too."""
        return self.unet_config.get("in_channels") == EDITING

    @property
    def refines(self) -> bool:
        """Whether a refiner finishes its pictures."""
        return self.refiner is not None

    @property
    def text_layers(self) -> int:
        """The number of layers of the text encoder; with two encoders, the smaller number."""
        return min(int(config.get("num_hidden_layers", 12)) for config in self.text_configs)

    @property
    def text_widths(self) -> tuple[int, ...]:
        """The width of each text encoder's input embeddings."""
        return tuple(int(config.get("hidden_size", 512)) for config in self.text_configs)

    @property
    def reads_twice(self) -> bool:
        """Whether it has two text encoders (SDXL)."""
        return len(self.text_configs) == 2

    @property
    def max_tokens(self) -> int:
        """The text encoder's maximum number of tokens, including start and end."""
        return int(self.text_configs[0].get("max_position_embeddings", 77))


def vae_factor(config: Config) -> int:
    """Pixels per latent along each side: every block of a VAE except the last halves it."""
    return int(2 ** (len(config.get("block_out_channels", (64,))) - 1))
