"""``--preview``: what the loop sees in the noise, shown in the terminal while it works."""

import sys
from typing import TYPE_CHECKING, Any

from sdloop.cli.options.output import OutputOptions
from sdloop.cli.terminal.output import say

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdloop.inspection.steps import LatentColours
    from sdloop.loop import Step

_TOGETHER = 4  # pictures of a batch that are shown


class Preview:
    """Small pictures of steps; none where nobody asked for them, or nobody can see them.

    The colours are a linear map from the latents, which costs next to nothing. It is fitted to the
    VAE at the first step of the first picture, and again after 2, 4, 8 … steps of it: early
    predictions are blurs, and know few colours. ``--preview-vae N`` shows the VAE's own picture
    instead, every N steps.
    """

    def __init__(self, options: OutputOptions) -> None:
        self._wanted = options.preview and sys.stderr is not None
        if self._wanted and not sys.stderr.isatty():
            say("no preview: standard error is not a terminal")
            self._wanted = False
        self._every = options.preview_vae
        self._colours: LatentColours | None = None
        self._learning = True

    def new_model(self) -> None:
        self._colours, self._learning = None, True

    def picture(self, step: "Step", vae: Any) -> "Image | None":
        """What there is to see of a step; None where the last picture may stay."""
        if not self._wanted:
            return None
        latents = step.denoised[:_TOGETHER]
        if self._every is not None:
            if step.index % self._every:
                return None
            from sdloop.latents.vae import decode_images

            return side_by_side(decode_images(vae, latents))
        colours = self._fitted(step, vae)
        return side_by_side([colours.image(one) for one in latents])

    def _fitted(self, step: "Step", vae: Any) -> "LatentColours":
        from sdloop.inspection.steps import LatentColours

        number = step.index + 1
        if self._colours is None or (self._learning and number & (number - 1) == 0):
            self._colours = LatentColours.fit(vae, step.denoised[:1])
        self._learning = self._learning and number < step.total
        return self._colours


def side_by_side(images: "list[Image]") -> "Image":
    """The pictures of a batch, which are of one size, in a row."""
    from PIL import Image

    width, height = images[0].size
    row = Image.new("RGB", (width * len(images), height))
    for place, image in enumerate(images):
        row.paste(image, (place * width, 0))
    return row
