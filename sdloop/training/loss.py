"""The loss of textual inversion: the model's denoising error on pictures, given the new word."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sdloop.conditioning.encode import condition, encoded_prompt
from sdloop.conditioning.stack import stack
from sdloop.conditioning.value import Conditioning
from sdloop.conditioning.words import with_vectors
from sdloop.errors import SettingError
from sdloop.latents.noise import noise
from sdloop.latents.vae import scale
from sdloop.models.components.load import Components
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.schedule import make_scheduler
from sdloop.training.pictures import Pictures
from sdloop.training.settings import Training

# The number of noise levels, from low to high, at which the loss of each picture is measured.
LEVELS = 16


def noise_schedule(components: Components) -> Any:
    """The model's training schedule: its noise levels, and what its UNet predicts."""
    if components.scheduler_config["_class_name"].startswith("EDM"):
        raise SettingError("the model must have discrete timesteps for training, got an EDM model")
    return make_scheduler(components.scheduler_config, scheduler="ddpm")


def loss_of(
    components: Components,
    schedule: Any,
    latents: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    conditioning: Conditioning,
) -> Tensor:
    """The mean squared error of the UNet's prediction, with equal weight for all ``timesteps``.

    Source: Ho et al. 2020 (arXiv:2006.11239) eq. 14; v: Salimans & Ho 2022 (arXiv:2202.00512).
    """
    noisy = schedule.add_noise(latents, noise, timesteps)
    prompt = conditioning.unet_inputs(guided=False)
    predicted = components.unet(noisy.to(components.dtype), timesteps, **prompt, return_dict=False)
    match schedule.config.prediction_type:
        case "v_prediction":
            target = schedule.get_velocity(latents, noise, timesteps)
        case "sample":
            target = latents
        case _:
            target = noise
    return F.mse_loss(predicted[0].float(), target)


def conditioning_of(
    components: Components, token: str, rows: Sequence[Tensor], prompts: Sequence[str]
) -> Conditioning:
    """The conditioning of ``prompts``, with the vectors in ``rows`` in place of ``token``.

    ``rows`` has one tensor for each text encoder. Gradients flow back into them.
    """
    knowing = with_vectors(components, [{token: vectors} for vectors in rows])
    encode = partial(encoded_prompt, knowing)
    width, height = components.native_size
    each = {
        prompt: condition(
            knowing,
            Recipe(prompt=prompt, seed=0, guidance_scale=1.0, width=width, height=height),
            encode=encode,
        )
        for prompt in dict.fromkeys(prompts)
    }
    for prompt, one in each.items():
        if one.prompt_embeds.shape[1] != knowing.max_tokens:
            raise SettingError(
                f"templates must fit in one text encoder chunk with this word, got {prompt!r}"
            )
    return stack([each[prompt] for prompt in prompts])


@torch.no_grad()
def measure(
    components: Components, schedule: Any, pictures: Pictures, training: Training,
    rows: Sequence[Tensor],
) -> float:  # fmt: skip
    """The mean loss on ``pictures``, always with the same noise, so that steps can be compared."""
    prompt = training.prompt(0)
    conditioning = conditioning_of(components, training.token, rows, [prompt] * LEVELS)
    count = schedule.config.num_train_timesteps
    timesteps = ((torch.arange(LEVELS) + 0.5) * count / LEVELS).long().to(components.device)
    losses = []
    for number, picture in enumerate(pictures.plain):
        generators = [Generator("cpu").manual_seed(number * LEVELS + i) for i in range(LEVELS)]
        latents = scale(components.vae, picture.mean).repeat(LEVELS, 1, 1, 1)
        drawn = noise(generators, *latents.shape[1:]).to(latents.device)
        losses.append(loss_of(components, schedule, latents, drawn, timesteps, conditioning))
    return float(torch.stack(losses).mean())
