"""Make a picture with each sampler, and print how much its latents differ from diffusers'.

python examples/samplers/picture.py "a green frog in a park" frogs.png
"""

import sys

import torch
from by_hand import euler, heun, lms
from PIL import Image
from torch import Tensor

import sdloop
from sdloop.conditioning.encode import condition
from sdloop.latents.noise import noise, seeded_generators
from sdloop.latents.vae import decode, to_images
from sdloop.schedulers.prediction import predict_denoised
from sdloop.schedulers.schedule import make_scheduler, set_steps

prompt, file = sys.argv[1:]
components = sdloop.load_components()
recipe = sdloop.Recipe(prompt=prompt, seed=4, steps=15, guidance_scale=1)
words = condition(components, recipe).unet_inputs(guided=False)

scheduler = make_scheduler(components.scheduler_config, scheduler="euler")
timesteps, levels = set_steps(scheduler, recipe.steps)
kind, timestep_at = scheduler.config.prediction_type, dict(zip(levels, timesteps, strict=True))


def denoise(x: Tensor, sigma: float) -> Tensor:
    """The clean latents, predicted by the UNet."""
    latent_input = x / (1 + sigma**2) ** 0.5
    predicted = components.unet(latent_input, timestep_at[sigma], **words).sample
    return predict_denoised(latent_input, predicted, sigma, kind)


made = []
for name, sampler in (("euler", euler), ("heun", heun), ("lms", lms)):
    first = noise(seeded_generators([recipe.seed]), 4, 16, 16) * scheduler.init_noise_sigma
    with torch.no_grad():
        latents = sampler(denoise, first, [*levels, 0.0])
    theirs = sdloop.generate(components, sdloop.Recipe(**recipe.to_dict() | {"scheduler": name}))
    print(f"{name}: {(latents[0] - theirs[0].latents).abs().max():.1e} apart from diffusers'")
    made += to_images(decode(components.vae, latents))
strip = Image.new("RGB", (64 * len(made), 64))
for number, image in enumerate(made):
    strip.paste(image, (64 * number, 0))
strip.save(file)
