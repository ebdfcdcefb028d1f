"""Tiny random models of the three families, small enough to sample in milliseconds.

They keep what distinguishes the families (heads, linear projections, the second text encoder,
SDXL's size conditioning), and everything else is smaller. The vocabulary is the first thousand
entries of CLIP's vocabulary, so "!" has the id 0 as in the real one.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
)

import sdloop
from sdloop.models.components.load import Components

VOCABULARY = Path(sdloop.__file__).parent / "layouts" / "clip_tokenizer"

WORDS = 1000  # 512 bytes, 488 merges
WIDTH = 32  # of the text encoders

PNDM = {
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
DDIM_V = {
    "_class_name": "DDIMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "trained_betas": None,
}
EULER = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "use_karras_sigmas": False,
}
SQUARED_COSINE = {
    "_class_name": "DDPMScheduler",
    "beta_end": 0.02,
    "beta_schedule": "squaredcos_cap_v2",
    "beta_start": 0.0001,
    "clip_sample": True,
    "num_train_timesteps": 1000,
    "trained_betas": None,
    "variance_type": "fixed_small",
}


@functools.cache
def _words() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary and its merges, cut off after ``WORDS`` entries."""
    entries = json.loads((VOCABULARY / "vocab.json").read_text(encoding="utf-8"))
    kept = [*list(entries)[:WORDS], "<|startoftext|>", "<|endoftext|>"]
    lines = (VOCABULARY / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [tuple(line.split()) for line in lines[1 : WORDS - 512 + 1]]
    return {word: number for number, word in enumerate(kept)}, merges


def tiny_tokenizer(pad_token: str = "<|endoftext|>") -> CLIPTokenizer:
    vocabulary, merges = _words()
    return CLIPTokenizer(
        vocab=dict(vocabulary), merges=list(merges), pad_token=pad_token, model_max_length=77
    )


def _text_config(**options: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=WORDS + 2,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=WIDTH,
        bos_token_id=0,
        eos_token_id=2,  # as in the real files: CLIP then looks for the highest id
        pad_token_id=1,
        **options,
    )


def _unet(**options: Any) -> UNet2DConditionModel:
    cross = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": WIDTH,
    }
    return UNet2DConditionModel(
        sample_size=16, block_out_channels=(32, 64), layers_per_block=1, **(cross | options)
    )


def _vae(**options: Any) -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=32,
        block_out_channels=(32, 64),
        layers_per_block=1,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        **options,
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random weights from ``seed``, without touching the caller's own random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def tiny_sd1(seed: int = 0) -> Components:
    """Stable Diffusion 1: convolutional projections, one text encoder, PNDM, epsilon."""
    with _seeded(seed):
        return Components(
            tokenizer=tiny_tokenizer(),
            text_encoder=CLIPTextModel(_text_config(hidden_act="quick_gelu")).eval(),
            unet=_unet(attention_head_dim=4).eval(),
            vae=_vae(force_upcast=False).eval(),
            scheduler_config=PNDM,
        )


def tiny_sd2(seed: int = 0) -> Components:
    """Stable Diffusion 2 (768-v): linear projections, pads with "!", DDIM, v-prediction."""
    with _seeded(seed):
        return Components(
            tokenizer=tiny_tokenizer("!"),
            text_encoder=CLIPTextModel(_text_config(hidden_act="gelu")).eval(),
            unet=_unet(attention_head_dim=(2, 4), use_linear_projection=True).eval(),
            vae=_vae(force_upcast=False).eval(),
            scheduler_config=DDIM_V,
        )


def tiny_sdxl(seed: int = 0) -> Components:
    """Stable Diffusion XL: two text encoders, told sizes, a VAE that overflows in fp16."""
    with _seeded(seed):
        return Components(
            tokenizer=tiny_tokenizer(),
            tokenizer_2=tiny_tokenizer("!"),
            text_encoder=CLIPTextModel(_text_config(hidden_act="quick_gelu")).eval(),
            text_encoder_2=CLIPTextModelWithProjection(_text_config(hidden_act="gelu")).eval(),
            unet=_unet(
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                attention_head_dim=(2, 4),
                transformer_layers_per_block=(1, 2),
                use_linear_projection=True,
                cross_attention_dim=2 * WIDTH,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=WIDTH + 6 * 8,
            ).eval(),
            vae=_vae(force_upcast=True, scaling_factor=0.13025).eval(),
            scheduler_config=EULER,
            force_zeros_for_empty_prompt=True,
        )


def tiny_refiner(seed: int = 0) -> Components:
    """SDXL's refiner: the second text encoder alone, and a UNet that is told an aesthetic score."""
    with _seeded(seed):
        return Components(
            tokenizer=tiny_tokenizer("!"),
            text_encoder=CLIPTextModelWithProjection(_text_config(hidden_act="gelu")).eval(),
            unet=_unet(
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                attention_head_dim=(2, 4),
                transformer_layers_per_block=2,
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=WIDTH + 5 * 8,
            ).eval(),
            vae=_vae(force_upcast=True, scaling_factor=0.13025).eval(),
            scheduler_config=EULER,
            scores=True,
        )


def with_guidance_input(components: Components, seed: int = 1) -> Components:
    """The same with a UNet that takes the guidance scale as an input, as LCM's do."""
    with _seeded(seed):
        unet = UNet2DConditionModel.from_config(components.unet.config, time_cond_proj_dim=17)
    return replace(components, unet=unet.eval())


def _with_channels(family: str, channels: int, seed: int) -> Components:
    """An ordinary model whose UNet sees so many channels."""
    ordinary = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}[family](seed)
    with _seeded(seed + 1):
        unet = UNet2DConditionModel.from_config(ordinary.unet.config, in_channels=channels).eval()
    return replace(ordinary, unet=unet)


def tiny_inpaint(family: str, seed: int = 0) -> Components:
    """An inpainting model of "sd1", "sd2" or "sdxl": its UNet sees a mask and what it leaves."""
    return _with_channels(family, 9, seed)


def tiny_pix2pix(family: str, seed: int = 0) -> Components:
    """InstructPix2Pix of "sd1", "sd2" or "sdxl": its UNet also sees the picture to edit."""
    return _with_channels(family, 8, seed)


def tiny_depth(seed: int = 0) -> Components:
    """Stable Diffusion 2's depth model: a fifth channel, and DPT, which looks at 32x32 pixels."""
    ordinary = tiny_sd2(seed)
    config = DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 24, 32],
        fusion_hidden_size=16,
    )
    with _seeded(seed + 1):
        return replace(
            ordinary,
            unet=UNet2DConditionModel.from_config(ordinary.unet.config, in_channels=5).eval(),
            depth_estimator=DPTForDepthEstimation(config).eval(),
            depth_processor=DPTImageProcessor(size={"height": 32, "width": 32}),
            scheduler_config=PNDM,
        )


def tiny_upscaler(seed: int = 0) -> Components:
    """The x4 upscaler: SD2's text encoder, a UNet of seven channels, a VAE of three blocks."""
    with _seeded(seed):
        return Components(
            tokenizer=tiny_tokenizer("!"),
            text_encoder=CLIPTextModel(_text_config(hidden_act="gelu")).eval(),
            unet=_unet(
                in_channels=7,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                attention_head_dim=8,
                use_linear_projection=True,
                only_cross_attention=(True, False),
                num_class_embeds=1000,
            ).eval(),
            vae=AutoencoderKL(
                sample_size=64,
                block_out_channels=(32, 32, 64),
                layers_per_block=1,
                latent_channels=4,
                down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3,
                scaling_factor=0.08333,
            ).eval(),
            scheduler_config=DDIM_V,
            low_res_scheduler_config=SQUARED_COSINE,
            max_noise_level=350,
        )


_LIBRARIES = {
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def save_diffusers_folder(
    components: Components, folder: Path, *, variant: str | None = None, shards: str | None = None
) -> Path:
    """Write ``components`` as diffusers' pipelines do; ``shards`` is the largest file's size."""
    sdxl = components.takes_sizes
    upscales = components.low_res_scheduler_config is not None
    task = "Inpaint" if components.paints else "Upscale" if upscales else ""
    index: dict[str, Any] = {
        "_class_name": f"StableDiffusion{'XL' if sdxl else ''}{task}Pipeline",
        "_diffusers_version": "0.42.1",
        "scheduler": ["diffusers", components.scheduler_config["_class_name"]],
    }
    if components.scores:
        index |= {
            "requires_aesthetics_score": True,
            "_class_name": "StableDiffusionXLImg2ImgPipeline",
        }
    if sdxl:
        index["force_zeros_for_empty_prompt"] = components.force_zeros_for_empty_prompt
    else:
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
    if components.low_res_scheduler_config is not None:
        index["low_res_scheduler"] = ["diffusers", "DDPMScheduler"]
        index |= {"watermarker": [None, None], "max_noise_level": components.max_noise_level}
        low_res = folder / "low_res_scheduler" / "scheduler_config.json"
        write_json(low_res, components.low_res_scheduler_config)
    options: dict[str, Any] = {"max_shard_size": shards} if shards else {}
    for name, library in _LIBRARIES.items():
        part = getattr(components, name)
        if part is None:
            continue
        if components.scores and name.startswith(("tokenizer", "text_encoder")):
            index[name] = [None, None]
            name, library = f"{name}_2", _LIBRARIES[f"{name}_2"]
        index[name] = library
        if name.startswith("tokenizer"):
            part.save_pretrained(folder / name)
        else:
            part.save_pretrained(folder / name, variant=variant, **options)
    if components.depth_estimator is not None:
        index["_class_name"] = "StableDiffusionDepth2ImgPipeline"
        index["depth_estimator"] = ["transformers", "DPTForDepthEstimation"]
        index["feature_extractor"] = ["transformers", "DPTFeatureExtractor"]
        components.depth_estimator.save_pretrained(folder / "depth_estimator")
        components.depth_processor.save_pretrained(folder / "feature_extractor")
    write_json(folder / "scheduler" / "scheduler_config.json", components.scheduler_config)
    write_json(folder / "model_index.json", index)
    return folder


def tiny_clip_config() -> CLIPConfig:
    """A CLIP, text and picture tower, that looks at 32x32 pixels."""
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
    }
    text = _text_config(hidden_act="quick_gelu").to_dict()
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)


def tiny_clip_processor() -> CLIPImageProcessor:
    """What scales pictures for it."""
    return CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def save_tiny_clip(folder: Path, seed: int = 0) -> Path:
    """Write a whole random CLIP."""
    with _seeded(seed):
        model = CLIPModel(tiny_clip_config())
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    tiny_clip_processor().save_pretrained(folder)
    return folder


def save_safety_checker(folder: Path, threshold: float) -> None:
    """Give a model a checker that flags pictures with a cosine above ``threshold`` to a concept."""
    checker = StableDiffusionSafetyChecker(tiny_clip_config())
    with torch.no_grad():
        checker.concept_embeds.normal_()
        checker.concept_embeds_weights.fill_(threshold)
        checker.special_care_embeds_weights.fill_(2)
    checker.save_pretrained(folder / "safety_checker")
    tiny_clip_processor().save_pretrained(folder / "feature_extractor")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    write_json(folder / "model_index.json", index)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(values), indent=2), encoding="utf-8")
