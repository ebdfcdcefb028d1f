"""The results of the loop: a batch's latents, and the decoded pictures."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL.Image import Image
from torch import Tensor

from sdloop.latents.vae import decode_images
from sdloop.metadata.atomic import Exists
from sdloop.metadata.detail import Metadata
from sdloop.metadata.environment import Environment, made_with
from sdloop.metadata.picture import write_picture
from sdloop.metadata.record import Made
from sdloop.models.checkpoint.lora import LoraFile
from sdloop.models.components.device import PeakMemory
from sdloop.models.components.offload import release
from sdloop.models.components.seamless import seamless
from sdloop.models.memory import Stopwatch, memory_errors
from sdloop.pipeline.input_images import EncodeInput
from sdloop.pipeline.loaded_model import LoadedModel
from sdloop.pipeline.safety import flags_of
from sdloop.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One finished picture and how it was made; ``save`` writes both into a file.

    ``recipe`` is resolved: with it and the model's weights the picture can be made again.
    ``latents`` (channels, height, width), float32, CPU, are the VAE's input. ``sigmas`` are the
    noise levels at which the UNet ran. ``seconds`` is this picture's share of its batch's time,
    from the prompt to the pixels, without the time of the steps' consumer. ``peak_memory`` is the
    batch's peak: see ``device.PeakMemory``. For an outpainted picture, latents, sigmas and memory
    are those of the last window. ``environment`` and ``loras`` are recorded in its file.
    ``own_code`` names the caller's own loop and scheduler: such a picture has no content key, and
    sdloop alone cannot make it again. ``flagged`` is whether the model's safety checker flags it;
    None if it was not asked.
    """

    image: Image
    recipe: Recipe
    latents: Tensor
    sigmas: tuple[float, ...]
    seconds: float
    peak_memory: int | None
    environment: Environment
    loras: tuple[LoraFile, ...] = ()
    own_code: Mapping[str, str] = field(default_factory=dict)
    flagged: bool | None = None

    @property
    def made(self) -> Made:
        """Facts of the run, besides the Recipe. The first call hashes the weight files.

        It contains no times, so equal Recipes on equal machines give equal values.
        """
        made = made_with(self.recipe, self.environment, sigmas=self.sigmas, loras=self.loras)
        if self.flagged is not None:
            made["flagged"] = self.flagged
        if self.own_code:
            made.pop("key", None)  # it would be the key for sdloop's own loop
        return made

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        metadata: Metadata = "full",
    ) -> Path:
        """Write the picture with its Recipe, as the command line does; returns the path.

        The suffix decides the format: .png, .webp (lossless) or .jpg. ``metadata`` is "full",
        "minimal" (the Recipe, but nothing about this machine) or "none". ``sdloop.read`` reads the
        file back.

        Raises ``FileError`` if the file exists, unless ``overwrite`` is set, or cannot be written;
        ``SettingError`` for an unknown suffix.
        """
        exists: Exists = "overwrite" if overwrite else "fail"
        return self.write(Path(path), metadata=metadata, exists=exists)

    def write(self, path: Path, *, metadata: Metadata = "full", exists: Exists = "fail") -> Path:
        """``save`` for commands, which may also number existing names."""
        return write_picture(
            self.image,
            path,
            recipe=self.recipe,
            made=self.made if metadata != "none" else None,
            metadata=metadata,
            exists=exists,
            own_code=self.own_code,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledBatch:
    """The latents of a batch, on the UNet's device, and what else its pictures need.

    ``sigmas`` are the noise levels at which the UNet ran for each; ``seconds`` is each picture's
    share of the time so far, and ``peak`` measures their memory from the first step on.
    """

    model: LoadedModel
    batch: tuple[Recipe, ...]
    latents: Tensor
    sigmas: tuple[tuple[float, ...], ...]
    seconds: float
    peak: PeakMemory
    encode_input: EncodeInput

    def only(self, rows: Sequence[int]) -> "SampledBatch":
        """Only the pictures of these rows."""
        if len(rows) == len(self.batch):
            return self
        batch = tuple(self.batch[row] for row in rows)
        sigmas = tuple(self.sigmas[row] for row in rows)
        return replace(self, batch=batch, latents=self.latents[list(rows)], sigmas=sigmas)

    def pictures(self) -> Iterator[Picture]:
        """Decode the pictures, possibly in another thread while the next batch is sampled.

        Raises ``NonFiniteError``, and ``OutOfMemory`` if even the CPU has too little memory. The
        latents are kept, so it can be called again.
        """
        watch = Stopwatch()
        components = seamless(self.model.components, self.batch[0].seamless)
        release(components.unet)  # a decoder may need its memory
        with memory_errors(self.batch[0], 1):
            images = decode_images(components.last_vae, self.latents)
            if self.batch[0].mask is not None and not self.batch[0].no_keep:
                pairs = zip(images, self.batch, strict=True)
                images = [self.encode_input(one).canvas.finished(image) for image, one in pairs]
            flags = flags_of(components, images, self.batch)
        seconds = self.seconds + watch.seconds() / len(self.batch)
        peak = self.peak.read()
        rows = zip(images, self.batch, self.latents.cpu(), self.sigmas, flags, strict=True)
        for image, recipe, latents, sigmas, flagged in rows:
            yield Picture(
                image=image,
                recipe=recipe,
                latents=latents,
                sigmas=sigmas,
                seconds=seconds,
                peak_memory=peak,
                environment=self.model.environment,
                loras=self.model.loras(recipe),
                own_code=self.model.own.names,
                flagged=flagged,
            )
