"""diffusers' pipelines with our Components, to compare their pictures with ours."""

from dataclasses import replace
from typing import Any

import diffusers
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionUpscalePipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image
from torch import Tensor

from sdloop.models.components.load import Components
from sdloop.recipe.recipe import Recipe

# As a user of diffusers would write them; sdloop's own table is what they are compared with.
_2M = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_SDE = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
THEIRS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddim": (diffusers.DDIMScheduler, {}),
    "ddpm": (diffusers.DDPMScheduler, {}),
    "pndm": (diffusers.PNDMScheduler, {"skip_prk_steps": True}),
    "lms": (diffusers.LMSDiscreteScheduler, {}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler-a": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "heun": (diffusers.HeunDiscreteScheduler, {}),
    "dpm2": (diffusers.KDPM2DiscreteScheduler, {}),
    "dpm2-a": (diffusers.KDPM2AncestralDiscreteScheduler, {}),
    "dpmpp-2m": (diffusers.DPMSolverMultistepScheduler, _2M),
    "dpmpp-2m-sde": (diffusers.DPMSolverMultistepScheduler, _SDE),
    "dpmpp-2s": (diffusers.DPMSolverSinglestepScheduler, _2M),
    "dpmpp-sde": (diffusers.DPMSolverSDEScheduler, {}),
    "deis": (diffusers.DEISMultistepScheduler, {}),
    "unipc": (diffusers.UniPCMultistepScheduler, {}),
    "sa-solver": (diffusers.SASolverScheduler, {}),
    "lcm": (diffusers.LCMScheduler, {}),
    "tcd": (diffusers.TCDScheduler, {}),
    "edm-euler": (diffusers.EDMEulerScheduler, {}),
    "edm-dpmpp-2m": (diffusers.EDMDPMSolverMultistepScheduler, {}),
}
SIGMAS: dict[str, dict[str, Any]] = {
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "uniform": {},
}


def their_scheduler(components: Components, wanted: Recipe, seeds: list[int]) -> Any:
    """The checkpoint's own scheduler, or another one in its place, by diffusers' means alone."""
    config = dict(components.scheduler_config)
    scheduler = getattr(diffusers, config["_class_name"]).from_config(config)
    if wanted.scheduler is None:
        return scheduler
    kind, options = THEIRS[wanted.scheduler]
    options = options | SIGMAS[wanted.sigmas or "uniform"]
    if wanted.timestep_spacing is not None:
        options = options | {"timestep_spacing": wanted.timestep_spacing}
    if wanted.scheduler == "dpmpp-sde":
        # Its noise is a Brownian path of torchsde and not drawn from the pipeline's generators.
        options = options | {"noise_sampler_seed": seeds}
    return kind.from_config(scheduler.config, **options)


def pipeline(components: Components, recipe: Recipe, seeds: list[int]) -> Any:
    """diffusers' pipeline with the same modules, and the scheduler that ``recipe`` names."""
    modules = {
        "tokenizer": components.tokenizer,
        "text_encoder": components.text_encoder,
        "unet": components.unet,
        "vae": components.vae,
        "scheduler": their_scheduler(components, recipe, seeds),
    }
    # From noise, from a picture, within a mask.
    if components.low_res_scheduler_config is not None:
        return quiet(
            StableDiffusionUpscalePipeline(
                **modules,
                low_res_scheduler=diffusers.DDPMScheduler.from_config(
                    dict(components.low_res_scheduler_config)
                ),
            )
        )
    which = (recipe.image is not None) + (recipe.mask is not None)
    if components.scores:  # SDXL's refiner, which has the second text encoder alone
        modules |= {"text_encoder": None, "tokenizer": None}
        kind = (StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline)[which > 1]
        pipe = kind(
            **modules,
            tokenizer_2=components.tokenizer,
            text_encoder_2=components.text_encoder,
            requires_aesthetics_score=True,
            force_zeros_for_empty_prompt=components.force_zeros_for_empty_prompt,
            add_watermarker=False,
        )
        return quiet(pipe)
    if components.text_encoder_2 is None:
        kind = (
            StableDiffusionPipeline,
            StableDiffusionImg2ImgPipeline,
            StableDiffusionInpaintPipeline,
        )[which]
        pipe = kind(
            **modules, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    else:
        kind = (
            StableDiffusionXLPipeline,
            StableDiffusionXLImg2ImgPipeline,
            StableDiffusionXLInpaintPipeline,
        )[which]
        pipe = kind(
            **modules,
            tokenizer_2=components.tokenizer_2,
            text_encoder_2=components.text_encoder_2,
            force_zeros_for_empty_prompt=components.force_zeros_for_empty_prompt,
            add_watermarker=False,
        )
    return quiet(pipe)


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    # Picture by picture, as sdloop decodes: the same arithmetic at a batch size of one.
    pipe.vae.enable_slicing()
    return pipe


def reference(
    components: Components,
    recipe: Recipe,
    seeds: list[int],
    *,
    pixels: bool = True,
    image: Image.Image | None = None,
    mask: Image.Image | None = None,
) -> tuple[Tensor, list[Image.Image]]:
    """Final latents and pictures of diffusers for one recipe, as it was asked for, and seeds.

    ``image`` is the picture that ``recipe.image`` names, in RGB and of the recipe's size, or of a
    quarter of it for an upscaler, and ``mask`` the mask on it, in L.
    """
    pipe = pipeline(components, recipe, seeds)
    options: dict[str, Any] = {
        "prompt": recipe.prompt,
        "negative_prompt": recipe.negative_prompt,
        "num_inference_steps": recipe.steps,
        "guidance_scale": recipe.guidance_scale,
        "eta": recipe.eta,
        "clip_skip": None if recipe.clip_skip == 1 else recipe.clip_skip - 1,
        "num_images_per_prompt": len(seeds),
        "generator": [torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        "output_type": "latent",
    }
    listed = {"timesteps": recipe.timesteps, "sigmas": recipe.sigmas_list}
    options |= {name: list(values) for name, values in listed.items() if values is not None}
    if components.low_res_scheduler_config is not None:
        return _enlarged(pipe, options, recipe, [image] * len(seeds), pixels=pixels)
    if image is not None:
        options |= {"image": image, "strength": recipe.strength}
    if mask is not None:
        # One for each seed: of a single one all seeds would start from the first one's draw.
        options |= {"image": [image] * len(seeds), "mask_image": [mask] * len(seeds)}
    if image is None or mask is not None:
        options |= {"width": recipe.width, "height": recipe.height}
    if image is None or components.takes_sizes:  # the one pipeline without it
        options["guidance_rescale"] = recipe.guidance_rescale
    if components.takes_sizes:
        sizes = {"original_size": recipe.original_size, "target_size": recipe.target_size}
        options |= {name: size and size[::-1] for name, size in sizes.items()}
        options["crops_coords_top_left"] = recipe.crop_top_left or (0, 0)
        options |= {"prompt_2": recipe.prompt_2, "negative_prompt_2": recipe.negative_prompt_2}
    if components.scores:
        options |= _scores(recipe)
    if components.refiner is not None:
        latents = pipe(**options, denoising_end=recipe.refiner_start).images
        as_image = replace(recipe, image=recipe.image or "the latents")
        pipe = pipeline(components.refiner, as_image, seeds)
        options = _for_refiner(options, recipe, latents)
    latents = pipe(**options).images
    return latents, _pictures(pipe, latents) if pixels else []


def _for_refiner(options: dict[str, Any], recipe: Recipe, latents: Tensor) -> dict[str, Any]:
    """The options of the second call; the generators are those of the first and go on drawing."""
    options = options | {"image": latents, "denoising_start": recipe.refiner_start}
    options |= _scores(recipe)
    if recipe.mask is None:
        options = {n: value for n, value in options.items() if n not in ("width", "height")}
    return options


def _scores(recipe: Recipe) -> dict[str, float]:
    scores = ("aesthetic_score", "negative_aesthetic_score")
    return {n: getattr(recipe, n) for n in scores if getattr(recipe, n) is not None}


def _enlarged(
    pipe: Any, options: dict[str, Any], recipe: Recipe, images: list[Any], *, pixels: bool
) -> tuple[Tensor, list[Image.Image]]:
    """With a picture and a prompt for each seed: of a single one, only the first seed would draw
    its noise."""
    count = len(images)
    negative = recipe.negative_prompt
    options |= {
        "prompt": [recipe.prompt] * count,
        "negative_prompt": None if negative is None else [negative] * count,
        "num_images_per_prompt": 1,
        "image": images,
        "noise_level": recipe.noise_level,
    }
    latents = pipe(**options).images
    return latents, _pictures(pipe, latents) if pixels else []


def _pictures(pipe: Any, latents: Tensor) -> list[Image.Image]:
    """What the pipeline itself does after its loop."""
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]
    return pipe.image_processor.postprocess(decoded.detach(), output_type="pil")
