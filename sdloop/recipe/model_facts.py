"""What a model decides where a Recipe leaves it open, and what the Recipe is checked against."""

from collections.abc import Mapping
from typing import Any, Protocol

from sdloop.rules import Size


class Defaults(Protocol):
    """What a Recipe takes from a model: a ``Checkpoint`` and loaded ``Components`` both know it."""

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
    def guidance_scale(self) -> float:
        """The scale that suits the model where nobody names one."""

    @property
    def upscale_strength(self) -> float:
        """The strength that suits an enlarged picture where nobody names one."""

    @property
    def takes_sizes(self) -> bool:
        """Whether the UNet is conditioned on sizes and crop (SDXL)."""

    @property
    def paints(self) -> bool:
        """Whether it paints within a mask alone: a picture and a mask must be given."""

    @property
    def max_noise_level(self) -> int | None:
        """The most noise on the picture that an upscaler enlarges; None for other models."""

    @property
    def text_layers(self) -> int:
        """Layers of the text encoder, of the shallower one where there are two."""

    @property
    def text_widths(self) -> tuple[int, ...]:
        """The width of each text encoder's input embeddings."""

    @property
    def reads_twice(self) -> bool:
        """Whether it has two text encoders (SDXL)."""
