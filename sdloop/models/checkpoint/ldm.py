"""Detect what a single file in CompVis's layout (latent diffusion models) contains.

Such files have no configs, so family and size are detected from tensor names and shapes.
"""

import statistics
from collections.abc import Mapping
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.families import (
    LATENTS,
    SUPPORTED,
    UPSCALING,
    check_unet,
)
from sdloop.models.checkpoint.headers import Header, read_numbers
from sdloop.recipe.model_facts import DEPTH, PAINTING

# The prefixes of each part's tensor names in a single file.
UNET = "model.diffusion_model."
VAE = ("first_stage_model.", "vae.")
SD1_TEXT = "cond_stage_model.transformer."
SD2_TEXT = "cond_stage_model.model."
SD2_TEXT_SGM = "conditioner.embedders.0.model."  # as the code of SDXL names it: SD-Turbo
XL_TEXT = "conditioner.embedders.0.transformer."
XL_TEXT_2 = "conditioner.embedders.1.model."
PREFIXES: Mapping[str, tuple[str, ...]] = {
    "unet": (UNET,),
    "vae": VAE,
    "text_encoder": (SD1_TEXT, SD2_TEXT, SD2_TEXT_SGM, XL_TEXT),
    "text_encoder_2": (XL_TEXT_2, SD2_TEXT_SGM),  # the refiner's is alone
}

# LCM's projection of the guidance scale, in the UNet.
COND_PROJ = "time_embed.cond_proj.weight"

# What a single file is, by the prefix of any tensor name; the first match counts.
_BY_NAME = {
    "model.diffusion_model.joint_blocks.": "Stable Diffusion 3",
    "joint_blocks.": "Stable Diffusion 3",
    "model.diffusion_model.double_blocks.": "Flux",
    "double_blocks.": "Flux",
    "conditioner.embedders.0.open_clip.": "Stable Video Diffusion",
    "edm_mean": "Playground 2.5",
    "control_model.": "a ControlNet",
    "controlnet_cond_embedding.": "a ControlNet",
    "lora_": "a LoRA",
    "emb_params": "a learned embedding",
    "string_to_param": "a learned embedding",
    "clip_txt_mapper.": "Stable Cascade",
    "down_blocks.0.motion_modules.": "an AnimateDiff motion module",
    "down_blocks.": "only a UNet (use it with --unet)",
    "input_blocks.": "only a UNet (use it with --unet)",
    "text_model.": "only a text encoder",
    "decoder.": "only a VAE (use it with --vae)",
}


def layout_of_file(header: Header) -> str:
    """The folder in ``layouts`` that describes a single file: "sd15", "sdxl" …"""
    starts = {start for start in _BY_NAME if any(n.startswith(start) for n in header.tensors)}
    xl = any(name.startswith(XL_TEXT_2) for name in header.tensors)
    for start, what in _BY_NAME.items():
        if start in starts and not (xl and start.startswith("conditioner.")):
            raise ModelError(f"{header.path} is {what}: {SUPPORTED}")
    if not any(name.startswith(UNET) for name in header.tensors):
        raise ModelError(f"{header.path} holds no UNet in the LDM layout: {SUPPORTED}")
    described = {
        **unet_facts(header),
        "num_class_embeds": 1 if f"{UNET}label_emb.weight" in header.tensors else None,
    }
    check_unet(str(header.path), described)
    if described["in_channels"] == UPSCALING:
        raise ModelError(
            f"{header.path} is an upscaler in a single file, but sdloop needs upscalers in "
            "diffusers' layout, like stabilityai/stable-diffusion-x4-upscaler"
        )
    if xl:
        return "sdxl"
    if _is_refiner(header):
        return "sdxl-refiner"
    if any(name.startswith((SD2_TEXT, SD2_TEXT_SGM)) for name in header.tensors):
        if f"{UNET}label_emb.0.0.weight" in header.tensors:
            raise ModelError(f"{header.path} is Stable unCLIP: {SUPPORTED}")
        return "sd21" if predicts_velocity(header) else "sd21-base"
    if any(name.startswith(SD1_TEXT) for name in header.tensors):
        return "sd15"
    if all(name.startswith(UNET) or name in MARKS for name in header.tensors):
        raise ModelError(f"{header.path} is only a UNet (use it with --unet): {SUPPORTED}")
    raise ModelError(
        f"{header.path} holds no text encoder of a known family (the keys begin with "
        f"{min(header.tensors)!r}): {SUPPORTED}"
    )


def is_named_as_sdxl(header: Header) -> bool:
    """Whether the text encoder of Stable Diffusion 2 has the name that SDXL's code gives it."""
    return any(name.startswith(SD2_TEXT_SGM) for name in header.tensors)


def _is_refiner(header: Header) -> bool:
    """Whether a file whose one text encoder is OpenCLIP is SDXL's refiner, or SD 2, as SD-Turbo is.

    The refiner's UNet is told sizes, its text is 1280 wide, and that of Stable Diffusion 2 1024.
    """
    told_sizes = f"{UNET}label_emb.0.0.weight" in header.tensors
    width = header.tensors.get(f"{SD2_TEXT_SGM}ln_final.weight")
    in_sgm = any(name.startswith(SD2_TEXT_SGM) for name in header.tensors)
    return in_sgm and (told_sizes or width == (1280,))


def unet_facts(header: Header) -> dict[str, Any]:
    """What the tensors of a single file say of its UNet's config.

    LCM's input for the guidance scale has the name that the UNet itself gives it.
    """
    scale = header.tensors.get(f"{UNET}{COND_PROJ}", ())
    facts = {"in_channels": channels_of_file(header)}
    return facts | ({"time_cond_proj_dim": scale[1]} if len(scale) == 2 else {})


def channels_of_file(header: Header) -> int:
    """The number of input channels of the UNet in a single file: 9 for inpainting models."""
    first = header.tensors.get(f"{UNET}input_blocks.0.0.weight", (0, LATENTS))
    return first[1] if len(first) > 1 else 0


def parts_of_file(header: Header) -> frozenset[str]:
    """The parts in a single file; a VAE may also be alone in a file, without a prefix."""
    found = {
        part
        for part, starts in PREFIXES.items()
        if any(name.startswith(starts) for name in header.tensors)
    }
    if "decoder.conv_in.weight" in header.tensors:
        found.add("vae")
    return frozenset(found)


def with_notes(scheduler: Mapping[str, Any], header: Header) -> Mapping[str, Any]:
    """The scheduler config, with the training settings that a single file states.

    ModelSpec metadata has the prediction type; fine-tunes of SDXL have empty tensors named
    ``v_pred`` and ``ztsnr`` (zero terminal SNR), as in ComfyUI. Files of CosXL and other EDM
    models state their range of noise.
    """
    if _EDM_MAX in header.tensors:
        return _edm(header)
    config = dict(scheduler)
    if "v_pred" in header.tensors or header.notes.get(_DECLARED, "").startswith("v"):
        config["prediction_type"] = "v_prediction"
    if "ztsnr" in header.tensors:
        config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return config


TITLE = "modelspec.title"
_DECLARED = "modelspec.prediction_type"
_EDM_MAX, _EDM_MIN = "edm_vpred.sigma_max", "edm_vpred.sigma_min"

# Tensors that say how a UNet was trained; they may lie beside one that is alone in its file.
MARKS = frozenset({"v_pred", "ztsnr", _EDM_MAX, _EDM_MIN})


def _edm(header: Header) -> dict[str, Any]:
    """The scheduler of an EDM model that predicts v, whose data have a deviation of 1.

    Where the file does not say the range (a ``.ckpt``'s numbers are not read), it is ComfyUI's:
    ModelSamplingContinuousEDM in model_sampling.py, V_PREDICTION_EDM.
    """
    most, least = (read_numbers(header, name) for name in (_EDM_MAX, _EDM_MIN))
    return {
        "_class_name": "EDMEulerScheduler",
        "prediction_type": "v_prediction",
        "sigma_data": 1.0,
        "sigma_max": most[0] if most else 120.0,
        "sigma_min": least[0] if least else 0.002,
        "sigma_schedule": "exponential",
    }


def predicts_velocity(header: Header) -> bool:
    """Whether a Stable Diffusion 2 file is the 768-v model, which has the same shapes as the base.

    Checked in this order: the ModelSpec metadata; inpainting and depth models, which are based on
    the base model (as in diffusers); the last training step of both base models (as in diffusers);
    the spread of one bias, which differs between them (as in ComfyUI, supported_models.py, SD20).
    Otherwise 768-v, as in diffusers.
    """
    declared = header.notes.get(_DECLARED)
    if declared is not None:
        return declared.startswith("v")
    if channels_of_file(header) in (PAINTING, DEPTH):
        return False
    if _whole(header, "global_step") == 875000:
        return False
    bias = read_numbers(header, f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias")
    return not bias or statistics.pstdev(bias) > 0.09


def _whole(header: Header, name: str) -> int | None:
    if name in header.notes and header.notes[name].isdigit():
        return int(header.notes[name])
    numbers = read_numbers(header, name)
    return int(numbers[0]) if numbers else None
