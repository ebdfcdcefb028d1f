"""Which family a model belongs to, told from its configs or its tensors' names; never from a flag.

sdloop runs the UNets of Stable Diffusion 1, 2 and XL base. Whatever else a file turns out to be
is refused by its own name, because "size mismatch for conv_in.weight" helps nobody.
"""

import statistics
from collections.abc import Mapping
from typing import Any

from sdloop.errors import ModelError
from sdloop.headers import Header, read_numbers

SUPPORTED = "sdloop runs Stable Diffusion 1.x, 2.x and SDXL base"

# The classes that a model_index.json may name for the parts that are loaded. It cannot make us
# import anything else.
CLASSES: Mapping[str, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
}

# Parts of an index that make no difference to text-to-image.
_IGNORED = frozenset({"scheduler", "safety_checker", "feature_extractor", "image_encoder"})

_BY_CHANNELS = {
    5: "a depth-to-image model",
    7: "an upscaler",
    8: "an InstructPix2Pix model",
    9: "an inpainting model",
}


def check_index(source: str, index: Mapping[str, Any]) -> tuple[str, ...]:
    """The parts that ``model_index.json`` lists, all of them ones that sdloop loads."""
    pipeline = index.get("_class_name", "a pipeline without a name")
    parts = {
        name: entry[1]
        for name, entry in index.items()
        if isinstance(entry, list) and len(entry) == 2 and entry[1] is not None
    }
    for name, kind in parts.items():
        if name not in CLASSES and name not in _IGNORED:
            raise ModelError(f"{source} is a {pipeline} with a {name}: {SUPPORTED}")
        if name in CLASSES and kind not in CLASSES[name]:
            raise ModelError(f"{source} is a {pipeline} whose {name} is a {kind}: {SUPPORTED}")
    if index.get("requires_aesthetics_score"):
        raise ModelError(f"{source} is an SDXL refiner: {SUPPORTED}")
    needed = ["unet", "vae", "text_encoder", "tokenizer"]
    if "text_encoder_2" in parts or "tokenizer_2" in parts:
        needed += ["text_encoder_2", "tokenizer_2"]
    for name in needed:
        if name not in parts:
            raise ModelError(f"{source} is a {pipeline} without {name}: {SUPPORTED}")
    return tuple(needed)


def family_of_configs(source: str, configs: Mapping[str, Mapping[str, Any]]) -> str:
    """One of "sd1", "sd2" and "sdxl", from the parts' configs.

    Raises ``ModelError`` for a UNet that needs other inputs, and for parts that do not fit.
    """
    unet = configs["unet"]
    check_unet(source, unet)
    told_sizes = unet.get("addition_embed_type") == "text_time"
    if told_sizes != ("text_encoder_2" in configs):
        raise ModelError(
            f"{source} has a UNet of one family and text encoders of another: {SUPPORTED}"
        )
    widths = [configs[n].get("hidden_size", 512) for n in configs if n.startswith("text_encoder")]
    if unet.get("cross_attention_dim", 1280) != sum(widths):
        raise ModelError(
            f"{source} does not fit together: the UNet's cross_attention_dim is "
            f"{unet.get('cross_attention_dim', 1280)}, the text encoders give {sum(widths)}"
        )
    check_vae(source, configs["vae"])
    size = unet.get("sample_size")
    sides = size if isinstance(size, list) else [size, size]
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ModelError(f"{source} has a UNet whose sample_size is {size!r}, not its trained size")
    if told_sizes:
        return "sdxl"
    return "sd2" if unet.get("use_linear_projection") else "sd1"


def check_unet(source: str, unet: Mapping[str, Any]) -> None:
    channels = unet.get("in_channels", 4)
    if channels != 4:
        kind = _BY_CHANNELS.get(channels, "another model")
        raise ModelError(
            f"{source} is {kind}, whose UNet takes {channels} channels instead of 4: {SUPPORTED}"
        )
    if unet.get("time_cond_proj_dim") is not None:
        raise ModelError(
            f"{source} is distilled with the guidance scale as an input (time_cond_proj_dim), "
            f"as LCM is: {SUPPORTED}"
        )
    for key in ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        if unet.get(key) is not None:
            raise ModelError(
                f"{source} has a UNet with {key} {unet[key]!r}, which needs inputs of its own: "
                f"{SUPPORTED}"
            )
    if unet.get("addition_embed_type") not in (None, "text_time"):
        raise ModelError(
            f"{source} has a UNet with addition_embed_type {unet['addition_embed_type']!r}: "
            f"{SUPPORTED}"
        )


def check_vae(source: str, vae: Mapping[str, Any]) -> None:
    kind = vae.get("_class_name", "AutoencoderKL").removeprefix("Flax")
    channels = vae.get("latent_channels", 4)
    if not isinstance(vae.get("block_out_channels", [64]), list):
        raise ModelError(f"{source} has a VAE whose block_out_channels are no list")
    if kind not in CLASSES["vae"] or channels != 4:
        raise ModelError(
            f"{source} has a VAE of class {kind} with {channels} latent channels; sdloop decodes "
            "with an AutoencoderKL of 4"
        )


# How the tensors' names of each part begin in a single file.
UNET = "model.diffusion_model."
VAE = ("first_stage_model.", "vae.")
SD1_TEXT = "cond_stage_model.transformer."
SD2_TEXT = "cond_stage_model.model."
XL_TEXT = "conditioner.embedders.0.transformer."
XL_TEXT_2 = "conditioner.embedders.1.model."
PREFIXES: Mapping[str, tuple[str, ...]] = {
    "unet": (UNET,),
    "vae": VAE,
    "text_encoder": (SD1_TEXT, SD2_TEXT, XL_TEXT),
    "text_encoder_2": (XL_TEXT_2,),
}

# What a single file is, by how some tensor's name begins; the first that fits.
_BY_NAME = {
    "model.diffusion_model.joint_blocks.": "Stable Diffusion 3",
    "joint_blocks.": "Stable Diffusion 3",
    "model.diffusion_model.double_blocks.": "Flux",
    "double_blocks.": "Flux",
    "conditioner.embedders.0.model.": "an SDXL refiner",
    "conditioner.embedders.0.open_clip.": "Stable Video Diffusion",
    "edm_mean": "Playground 2.5",
    "control_model.": "a ControlNet",
    "controlnet_cond_embedding.": "a ControlNet",
    "model.diffusion_model.output_blocks.0.0.in_layers.0.weight_scale": "a quantised model",
    "lora_": "a LoRA",
    "emb_params": "a learned embedding",
    "string_to_param": "a learned embedding",
    "clip_txt_mapper.": "Stable Cascade",
    "down_blocks.0.motion_modules.": "an AnimateDiff motion module",
    "down_blocks.": "a UNet alone, in diffusers' names",
    "text_model.": "a text encoder alone",
    "decoder.": "a VAE alone (give it as --vae)",
}


def layout_of_file(header: Header) -> str:
    """Which of the folders in ``layouts`` describes a single file: "sd15", "sdxl" …"""
    starts = {start for start in _BY_NAME if any(n.startswith(start) for n in header.tensors)}
    xl = any(name.startswith(XL_TEXT_2) for name in header.tensors)
    for start, what in _BY_NAME.items():
        if start in starts and not (xl and start.startswith("conditioner.")):
            raise ModelError(f"{header.path} is {what}: {SUPPORTED}")
    if not any(name.startswith(UNET) for name in header.tensors):
        raise ModelError(f"{header.path} holds no UNet in the LDM layout: {SUPPORTED}")
    first = header.tensors.get(f"{UNET}input_blocks.0.0.weight", (0, 4))
    described = {
        "in_channels": first[1] if len(first) > 1 else 0,
        "time_cond_proj_dim": 1 if f"{UNET}time_embed.cond_proj.weight" in header.tensors else None,
        "num_class_embeds": 1 if f"{UNET}label_emb.weight" in header.tensors else None,
    }
    check_unet(str(header.path), described)
    if xl:
        return "sdxl"
    if any(name.startswith(SD2_TEXT) for name in header.tensors):
        if f"{UNET}label_emb.0.0.weight" in header.tensors:
            raise ModelError(f"{header.path} is Stable unCLIP: {SUPPORTED}")
        return "sd21" if predicts_velocity(header) else "sd21-base"
    if any(name.startswith(SD1_TEXT) for name in header.tensors):
        return "sd15"
    raise ModelError(
        f"{header.path} holds no text encoder of a known family (the keys begin with "
        f"{min(header.tensors)!r}): {SUPPORTED}"
    )


def parts_of_file(header: Header) -> frozenset[str]:
    """The parts that a single file holds; a VAE may also lie in a file of its own, bare."""
    found = {
        part
        for part, starts in PREFIXES.items()
        if any(name.startswith(starts) for name in header.tensors)
    }
    if "decoder.conv_in.weight" in header.tensors:
        found.add("vae")
    return frozenset(found)


def with_notes(scheduler: Mapping[str, Any], header: Header) -> Mapping[str, Any]:
    """The scheduler config, with what a single file says about its own training.

    ModelSpec declares the prediction; fine-tunes of SDXL mark themselves with empty tensors named
    ``v_pred`` and ``ztsnr`` (no signal in the last training step), as ComfyUI reads them.
    """
    told = dict(scheduler)
    if "v_pred" in header.tensors or header.notes.get(_DECLARED, "").startswith("v"):
        told["prediction_type"] = "v_prediction"
    if "ztsnr" in header.tensors:
        told |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return told


_DECLARED = "modelspec.prediction_type"


def predicts_velocity(header: Header) -> bool:
    """Whether a Stable Diffusion 2 file is the 768-v model: its shapes are those of the base.

    In this order: what the writer declares (ModelSpec); the training step that both base models
    stopped at, as diffusers takes it; the spread of one bias, which ComfyUI found to tell them
    apart (supported_models.py, SD20). Else 768-v, as in diffusers.
    """
    declared = header.notes.get(_DECLARED)
    if declared is not None:
        return declared.startswith("v")
    if _whole(header, "global_step") == 875000:
        return False
    bias = read_numbers(header, f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias")
    return not bias or statistics.pstdev(bias) > 0.09


def _whole(header: Header, name: str) -> int | None:
    if name in header.notes and header.notes[name].isdigit():
        return int(header.notes[name])
    numbers = read_numbers(header, name)
    return int(numbers[0]) if numbers else None
