"""Check that a refiner fits the SDXL model whose pictures it finishes."""

import dataclasses

from sdloop.errors import ModelError
from sdloop.models.checkpoint.value import Checkpoint


def checked_refiner(base: Checkpoint, refiner: Checkpoint) -> Checkpoint:
    """``refiner`` for the second stage of ``base``: an SDXL refiner, or any model of SDXL.

    With ``--vae``, or if the refiner's file has none, the VAE of ``base`` is used in both stages.
    """
    if base.family != "sdxl":
        raise ModelError(f"refiner is for SDXL models, and {base.name} is {base.family}")
    if refiner.family not in ("sdxl", "refiner"):
        raise ModelError(
            f"the refiner {refiner.name} must be an SDXL refiner or an SDXL model, and it is "
            f"{refiner.family}"
        )
    channels = refiner.configs["unet"].get("in_channels", 4)
    if channels != 4:
        raise ModelError(
            f"the refiner {refiner.name} must have a UNet with 4 channels, and it has {channels}"
        )
    shared = base.vae_path is not None or "vae" not in refiner.weights
    if shared:
        configs = {**refiner.configs, "vae": base.configs["vae"]}
        weights = {part: files for part, files in refiner.weights.items() if part != "vae"}
        return dataclasses.replace(refiner, configs=configs, weights=weights)
    theirs, ours = (c.configs["vae"].get("scaling_factor", 0.18215) for c in (refiner, base))
    if (theirs, refiner.size_multiple) != (ours, base.size_multiple):
        raise ModelError(
            f"the refiner {refiner.name} has a VAE of another kind than {base.name}: its "
            f"scaling_factor is {theirs}, not {ours}"
        )
    return refiner
