"""The facts about a model that give a Recipe its defaults, and that the Recipe must fit."""

from collections.abc import Mapping
from typing import Any, Protocol

from sdloop.rules import Size


class Defaults(Protocol):
    """The model's facts, which both a ``Checkpoint`` and loaded ``Components`` have."""

    @property
    def native_size(self) -> Size:
        """Width and height in pixels that the model was trained at."""

    @property
    def size_multiple(self) -> int:
        """Width and height must be multiples of this: the VAE's factor."""

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        """The checkpoint's own ``scheduler_config.json``."""

    @property
    def usual_fields(self) -> Mapping[str, Any]:
        """What else a model for a few steps needs: scheduler, timestep_spacing, timesteps."""

    @property
    def embeds_guidance(self) -> bool:
        """Whether the UNet takes the guidance scale as an input (LCM), and needs no second call."""

    @property
    def steps(self) -> int:
        """The default number of steps."""

    @property
    def guidance_scale(self) -> float:
        """The default guidance scale of the model."""

    @property
    def upscale_strength(self) -> float:
        """The default strength for enlarged pictures."""

    @property
    def takes_sizes(self) -> bool:
        """Whether the UNet is conditioned on sizes and crop (SDXL)."""

    @property
    def paints(self) -> bool:
        """Whether it is an inpainting model, which needs a picture and a mask."""

    @property
    def max_noise_level(self) -> int | None:
        """The highest noise_level of an upscaler; None for other models."""

    @property
    def sees_depth(self) -> bool:
        """Whether the UNet is told how near each place of the input picture is."""

    @property
    def estimates_depth(self) -> bool:
        """Whether the model can find out the depth of a picture by itself."""

    @property
    def edits(self) -> bool:
        """Whether it is an InstructPix2Pix model, which edits an input picture."""

    @property
    def refines(self) -> bool:
        """Whether a refiner finishes its pictures."""

    @property
    def scores(self) -> bool:
        """Whether it is SDXL's refiner, which is conditioned on an aesthetic score."""

    @property
    def text_layers(self) -> int:
        """The number of layers of the text encoder; with two encoders, the smaller number."""

    @property
    def text_widths(self) -> tuple[int, ...]:
        """The width of each text encoder's input embeddings."""

    @property
    def reads_twice(self) -> bool:
        """Whether it has two text encoders (SDXL)."""
