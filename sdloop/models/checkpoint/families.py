"""Detect a model's family from its configs; never from a flag.

sdloop runs Stable Diffusion 1, 2 and XL, their inpainting models, SDXL's refiner, and the x4
upscaler. Any other model is refused with a message that says what it is, because "size mismatch
for conv_in.weight" helps nobody.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sdloop.errors import ModelError
from sdloop.recipe.model_facts import DEPTH, EDITING, PAINTING

SUPPORTED = "sdloop runs Stable Diffusion 1.x, 2.x and SDXL base, and the x4 upscaler"

# The classes that a model_index.json may name for the loaded parts. Nothing else is imported.
CLASSES: Mapping[str, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "low_res_scheduler": ("DDPMScheduler", "DDPMParallelScheduler"),
    "depth_estimator": ("DPTForDepthEstimation",),
}

# Parts of an index that text-to-image does not need.
_IGNORED = frozenset({"scheduler", "safety_checker", "feature_extractor", "image_encoder"})

# A UNet's input channels: the latents, and for an upscaler also the colours of the small picture.
LATENTS = 4
UPSCALING = 7


def class_name(config: Mapping[str, Any]) -> str | None:
    """The class that a config names, or None; a class of the repository's own comes with its file.

    >>> class_name({"_class_name": ["pipeline", "MyPipeline"]})
    'MyPipeline'
    """
    kind = config.get("_class_name")
    if isinstance(kind, list) and kind:
        kind = kind[-1]
    return None if kind is None else str(kind)


def check_index(source: str, index: Mapping[str, Any]) -> tuple[str, ...]:
    """The parts in ``model_index.json`` that are loaded; raises ``ModelError`` for others.

    An SDXL refiner has the second text encoder alone.
    """
    pipeline = class_name(index) or "a pipeline without a name"
    parts = {
        name: entry[1]
        for name, entry in index.items()
        if name != "_class_name"
        and isinstance(entry, list)
        and len(entry) == 2
        and entry[1] is not None
    }
    for name, kind in parts.items():
        if name not in CLASSES and name not in _IGNORED:
            raise ModelError(f"{source} is a {pipeline} with a {name}: {SUPPORTED}")
        if name in CLASSES and kind not in CLASSES[name]:
            raise ModelError(f"{source} is a {pipeline} whose {name} is a {kind}: {SUPPORTED}")
    needed = ["unet", "vae", "text_encoder", "tokenizer"]
    alone = "text_encoder_2" in parts and "text_encoder" not in parts
    if index.get("requires_aesthetics_score") and not alone:
        raise ModelError(
            f"{source} is a {pipeline} that needs an aesthetic score, and is not SDXL's refiner: "
            f"{SUPPORTED}"
        )
    if alone:
        needed = ["unet", "vae", "text_encoder_2", "tokenizer_2"]
    elif "text_encoder_2" in parts or "tokenizer_2" in parts:
        needed += ["text_encoder_2", "tokenizer_2"]
    if "low_res_scheduler" in parts:
        needed.append("low_res_scheduler")
    if "depth_estimator" in parts:
        needed.append("depth_estimator")
    for name in needed:
        if name not in parts:
            raise ModelError(f"{source} is a {pipeline} without {name}: {SUPPORTED}")
    return tuple(needed)


def family_of_configs(source: str, configs: Mapping[str, Mapping[str, Any]]) -> str:
    """One of "sd1", "sd2", "sdxl", "refiner" and "upscaler", from the parts' configs.

    Raises ``ModelError`` for a UNet that needs other inputs, and for parts that do not match.
    """
    unet = configs["unet"]
    check_unet(source, unet)
    upscales = unet.get("in_channels") == UPSCALING
    if upscales != ("low_res_scheduler" in configs):
        raise ModelError(
            f"{source} has parts that do not fit together: an upscaler needs a UNet with "
            f"{UPSCALING} channels and a low_res_scheduler"
        )
    takes_sizes = unet.get("addition_embed_type") == "text_time"
    if upscales and takes_sizes:
        raise ModelError(f"{source} is an upscaler with SDXL's size conditioning: {SUPPORTED}")
    if takes_sizes != ("text_encoder_2" in configs):
        raise ModelError(
            f"{source} has a UNet of one family and text encoders of another: {SUPPORTED}"
        )
    texts = [config for part, config in configs.items() if part.startswith("text_encoder")]
    _check_texts(source, unet, texts)
    check_vae(source, configs["vae"])
    _check_sample_size(source, unet)
    if takes_sizes:
        return "sdxl" if "text_encoder" in configs else "refiner"
    if upscales:
        return "upscaler"
    return "sd2" if unet.get("use_linear_projection") else "sd1"


def _check_texts(source: str, unet: Mapping[str, Any], texts: Sequence[Mapping[str, Any]]) -> None:
    """Raise ``ModelError`` for text encoders whose width is not what the UNet takes."""
    given = sum(_whole(source, config, "hidden_size", 512) for config in texts)
    wanted = _whole(source, unet, "cross_attention_dim", 1280)
    if wanted != given:
        raise ModelError(
            f"{source} has parts that do not fit together: the UNet's cross_attention_dim is "
            f"{wanted}, but the text encoders give {given}"
        )
    for config in texts:
        _whole(source, config, "max_position_embeddings", 77)
        _whole(source, config, "num_hidden_layers", 12)


def _check_sample_size(source: str, unet: Mapping[str, Any]) -> None:
    size = unet.get("sample_size")
    sides = size if isinstance(size, list) else [size, size]
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ModelError(f"{source} has a UNet with an invalid sample_size: {size!r}")


def check_unet(source: str, unet: Mapping[str, Any]) -> None:
    """Raise ``ModelError`` for a UNet that needs inputs that sdloop does not provide.

    It provides latents, a timestep, text embeddings and the guidance scale; to inpainting UNets
    also the mask and the masked picture, to upscalers also the small picture and its noise level,
    to those for depth and for editing also a depth map or the picture.
    """
    channels = _whole(source, unet, "in_channels", LATENTS)
    if channels not in (LATENTS, DEPTH, UPSCALING, EDITING, PAINTING):
        raise ModelError(
            f"{source} is another model, whose UNet takes {channels} channels instead of 4: "
            f"{SUPPORTED}"
        )
    for key in ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        if unet.get(key) is not None and (key, channels) != ("num_class_embeds", UPSCALING):
            raise ModelError(
                f"{source} has a UNet with {key} {unet[key]!r}, which needs extra inputs: "
                f"{SUPPORTED}"
            )
    if unet.get("addition_embed_type") not in (None, "text_time"):
        raise ModelError(
            f"{source} has a UNet with addition_embed_type {unet['addition_embed_type']!r}: "
            f"{SUPPORTED}"
        )


def max_noise_level(
    source: str, index: Mapping[str, Any], configs: Mapping[str, Mapping[str, Any]]
) -> int:
    """The highest noise level that an upscaler supports for its input picture.

    It comes from the index, or is diffusers' default. Raises ``ModelError`` if the UNet has too few
    embeddings for it or the low_res_scheduler too few steps, and for an unsupported scheduler.
    """
    kind = class_name(configs["low_res_scheduler"])
    if kind not in CLASSES["low_res_scheduler"]:
        raise ModelError(f"{source} has a low_res_scheduler of class {kind}: {SUPPORTED}")
    known = _whole(source, configs["unet"], "num_class_embeds", 0)
    steps = _whole(source, configs["low_res_scheduler"], "num_train_timesteps", 1000)
    most: Any = index.get("max_noise_level", 350)
    if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most < min(known, steps):
        raise ModelError(
            f"{source} has a max_noise_level of {most!r} in model_index.json, but its parts only "
            f"support 0 to {min(known, steps) - 1}"
        )
    return most


def check_vae(source: str, vae: Mapping[str, Any]) -> None:
    """Raise ``ModelError`` for a VAE of another kind than that of the supported families."""
    kind = (class_name(vae) or "AutoencoderKL").removeprefix("Flax")
    channels = _whole(source, vae, "latent_channels", 4)
    blocks = vae.get("block_out_channels", [64])
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= 10:
        raise ModelError(f"{source} has a VAE with invalid block_out_channels: {blocks!r}")
    if kind not in CLASSES["vae"] or channels != 4:
        raise ModelError(
            f"{source} has a VAE of class {kind} with {channels} latent channels; sdloop needs "
            "an AutoencoderKL with 4"
        )


def _whole(source: str, config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key, default)
    if not isinstance(value, int) or value < 1:
        raise ModelError(f"{source} has a config whose {key} is {value!r}, not a whole number")
    return value
