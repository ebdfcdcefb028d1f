"""Update the configs of old checkpoints, as diffusers' pipelines do."""

import re
from collections.abc import Mapping
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.families import class_name

# Schedulers that take the same steps as another one. They could also take many steps in parallel,
# which the loop does not use.
TWINS: Mapping[str, str] = {
    "DDIMParallelScheduler": "DDIMScheduler",
    "DDPMParallelScheduler": "DDPMScheduler",
}


def settled_scheduler(
    source: str, config: Mapping[str, Any], family: str, *, paints: bool = False
) -> dict[str, Any]:
    """The scheduler config that the family's pipeline in diffusers would use.

    Old checkpoints were written before two of these settings existed, so
    ``StableDiffusionPipeline.__init__`` sets ``steps_offset`` to 1 and ``clip_sample`` to False.
    They are set even if the checkpoint's own scheduler has no such setting, because another class
    may replace it. ``StableDiffusionInpaintPipeline`` sets ``skip_prk_steps`` to True and does not
    change ``clip_sample``. ``StableDiffusionXLPipeline`` and ``StableDiffusionUpscalePipeline``
    have no such rules; but a scheduler that replaces the model's must not clip latents as if they
    were pixels. (Flax class names are the PyTorch names with a prefix, which diffusers drops too.)
    If two classes take the same steps, the config names the one that sdloop supports.

    >>> settled_scheduler("a", {"_class_name": "DDIMScheduler"}, "sd1")
    {'_class_name': 'DDIMScheduler', 'steps_offset': 1, 'clip_sample': False}
    """
    kind = class_name(config)
    if kind is None or not kind.isidentifier():
        raise ModelError(f"{source} has a scheduler_config.json without a _class_name")
    kind = kind.removeprefix("Flax")
    kind = TWINS.get(kind, kind)
    settled = {**config, "_class_name": kind}
    ruled = family in ("sd1", "sd2")
    if ruled and not paints:
        return settled | {"steps_offset": 1, "clip_sample": False}
    if ruled:
        settled |= {"steps_offset": 1, "skip_prk_steps": True}
    if not kind.startswith(("DDIM", "DDPM")):
        settled.setdefault("clip_sample", False)
    return settled


def settled_unet(config: Mapping[str, Any], family: str) -> Mapping[str, Any]:
    """The UNet's config with the size that it was trained at.

    Before 0.9, diffusers wrote a ``sample_size`` of 32 for every Stable Diffusion model; its
    pipeline reads it as 64.

    >>> settled_unet({"sample_size": 32, "_diffusers_version": "0.2.2"}, "sd1")["sample_size"]
    64
    """
    version = re.match(r"(\d+)\.(\d+)", str(config.get("_diffusers_version", "")))
    old = version is not None and (int(version[1]), int(version[2])) < (0, 9)
    size = config.get("sample_size")
    if family != "sdxl" and old and isinstance(size, int) and size < 64:
        return {**config, "sample_size": 64}
    return config


def settled_vae(config: Mapping[str, Any], family: str) -> Mapping[str, Any]:
    """The VAE's config with its scaling factor.

    The upscaler was published before configs had one, and ``StableDiffusionUpscalePipeline`` always
    uses this one.
    """
    return {**config, "scaling_factor": 0.08333} if family == "upscaler" else config
