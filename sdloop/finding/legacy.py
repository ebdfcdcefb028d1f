"""What diffusers' pipelines rewrite in the configs of old checkpoints when they load them."""

import re
from collections.abc import Mapping
from typing import Any

from sdloop.errors import ModelError

# The schedulers that take a steps_offset; all of them have 0 as its default.
TAKES_STEPS_OFFSET = frozenset(
    f"{name}Scheduler"
    for name in (
        "DDIM",
        "DDIMInverse",
        "DDIMParallel",
        "DDPM",
        "DDPMParallel",
        "DEISMultistep",
        "DPMSolverMultistep",
        "DPMSolverMultistepInverse",
        "DPMSolverSDE",
        "EulerAncestralDiscrete",
        "EulerDiscrete",
        "HeunDiscrete",
        "KDPM2AncestralDiscrete",
        "KDPM2Discrete",
        "LCM",
        "LMSDiscrete",
        "PNDM",
        "SASolver",
        "TCD",
        "UniPCMultistep",
    )
)

# Those that clip the predicted picture to -1 … 1 unless they are told not to, which is right for
# pixels and wrong for latents.
CLIPS_BY_DEFAULT = frozenset(
    f"{name}Scheduler"
    for name in (
        "DDIM",
        "DDIMInverse",
        "DDIMParallel",
        "DDPM",
        "DDPMParallel",
        "RePaint",
        "UnCLIP",
    )
)


def settled_scheduler(source: str, config: Mapping[str, Any], family: str) -> dict[str, Any]:
    """The scheduler config that the family's pipeline in diffusers would run with.

    Old checkpoints were written before two of these settings existed, and
    ``StableDiffusionPipeline.__init__`` rewrites them: ``steps_offset`` becomes 1 and
    ``clip_sample`` False, also where the file says nothing and the class's default differs.
    ``StableDiffusionXLPipeline`` has no such rule. (Flax's class names are the PyTorch ones with a
    prefix; diffusers drops it as well.)

    >>> settled_scheduler("a", {"_class_name": "DDIMScheduler"}, "sd1")
    {'_class_name': 'DDIMScheduler', 'steps_offset': 1, 'clip_sample': False}
    """
    kind = config.get("_class_name")
    if not isinstance(kind, str):
        raise ModelError(f"{source} has a scheduler_config.json without a _class_name")
    kind = kind.removeprefix("Flax")
    settled = {**config, "_class_name": kind}
    if family == "sdxl":
        return settled
    if config.get("steps_offset", 0 if kind in TAKES_STEPS_OFFSET else 1) != 1:
        settled["steps_offset"] = 1
    if config.get("clip_sample", kind in CLIPS_BY_DEFAULT) is True:
        settled["clip_sample"] = False
    return settled


def settled_unet(config: Mapping[str, Any], family: str) -> Mapping[str, Any]:
    """The UNet's config with the size that it was trained at.

    Before 0.9 diffusers wrote a ``sample_size`` of 32 into every Stable Diffusion, and its pipeline
    reads those as 64.

    >>> settled_unet({"sample_size": 32, "_diffusers_version": "0.2.2"}, "sd1")["sample_size"]
    64
    """
    version = re.match(r"(\d+)\.(\d+)", str(config.get("_diffusers_version", "")))
    old = version is not None and (int(version[1]), int(version[2])) < (0, 9)
    size = config.get("sample_size")
    if family != "sdxl" and old and isinstance(size, int) and size < 64:
        return {**config, "sample_size": 64}
    return config
