"""What comes out of the loop: a batch's latents, which the VAE has yet to make pictures of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL.Image import Image
from torch import Tensor

from sdloop.latents.vae import decode, to_images
from sdloop.models.components.device import peak_memory
from sdloop.models.components.load import Components
from sdloop.models.memory import Stopwatch, memory_errors
from sdloop.pipeline.input_images import EncodeInput
from sdloop.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One finished picture and how it came about.

    ``recipe`` is resolved: with it and the model's weights the picture can be made again.
    ``latents`` (channels, height, width), float32, CPU, are what the VAE decoded. ``sigmas`` are
    the noise levels that the UNet looked at. ``seconds`` is this picture's share of its batch's
    time, from the prompt to the pixels, less what the consumer of the steps took. ``peak_memory``
    is what the batch took at most: see ``components.peak_memory``. Of a picture that
    has grown, latents, sigmas and memory are those of the last window.
    """

    image: Image
    recipe: Recipe
    latents: Tensor
    sigmas: tuple[float, ...]
    seconds: float
    peak_memory: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """The latents of a batch, where the UNet is, and what its pictures are told with.

    ``sigmas`` are the noise levels at which the UNet looked at each; ``seconds`` is the share of
    each in the time until now.
    """

    components: Components
    batch: tuple[Recipe, ...]
    latents: Tensor
    sigmas: tuple[tuple[float, ...], ...]
    seconds: float
    encode_input: EncodeInput

    def only(self, rows: Sequence[int]) -> "Sampled":
        """Those of these rows, for the others are not wanted."""
        if len(rows) == len(self.batch):
            return self
        batch = tuple(self.batch[row] for row in rows)
        sigmas = tuple(self.sigmas[row] for row in rows)
        return replace(self, batch=batch, latents=self.latents[list(rows)], sigmas=sigmas)

    def pictures(self) -> Iterator[Picture]:
        """Decode them: here, or in another thread while the next batch is sampled.

        Raises ``NonFiniteError``, and ``OutOfMemory`` where not even the CPU has room; they can be
        asked for again, as the latents stay.
        """
        watch = Stopwatch()
        with memory_errors(self.batch[0], 1):
            images = to_images(decode(self.components.vae, self.latents))
        if self.batch[0].mask is not None and not self.batch[0].no_keep:
            pairs = zip(images, self.batch, strict=True)
            images = [self.encode_input(recipe).canvas.finished(image) for image, recipe in pairs]
        seconds = self.seconds + watch.seconds() / len(self.batch)
        peak = peak_memory(self.components.device)
        told = zip(images, self.batch, self.latents.cpu(), self.sigmas, strict=True)
        for image, recipe, one, sigmas in told:
            yield Picture(
                image=image,
                recipe=recipe,
                latents=one,
                sigmas=sigmas,
                seconds=seconds,
                peak_memory=peak,
            )
