"""The loop written by hand; in the middle of the steps, the prompt changes.

python examples/change_the_loop.py "a green frog in a park" "a white rabbit in a park" out.png
"""

import sys

import torch

import sdloop
from sdloop.conditioning.encode import condition
from sdloop.guidance.formulas import classifier_free_guidance
from sdloop.latents.noise import noise, seeded_generators
from sdloop.latents.vae import decode, to_images
from sdloop.schedulers.schedule import make_scheduler, set_steps

first, second, file = sys.argv[1:]
components = sdloop.load_components()
unet = components.unet
prompts = [
    condition(components, sdloop.Recipe(prompt=prompt, seed=4)).unet_inputs(guided=True)
    for prompt in (first, second)
]

scheduler = make_scheduler(components.scheduler_config, scheduler="euler")
timesteps, sigmas = set_steps(scheduler, 25)
size = unet.config.sample_size
latents = noise(seeded_generators([4]), 4, size, size).to(unet.device)
latents = latents * scheduler.init_noise_sigma

with torch.no_grad():
    for index, t in enumerate(timesteps):
        prompt = prompts[index >= len(timesteps) // 2]
        latent_input = scheduler.scale_model_input(torch.cat([latents] * 2), t).to(unet.dtype)
        noise_uncond, noise_text = unet(latent_input, t, **prompt).sample.float().chunk(2)
        noise_pred = classifier_free_guidance(noise_uncond, noise_text, 7.5)
        latents = scheduler.step(noise_pred, t, latents).prev_sample

to_images(decode(components.vae, latents))[0].save(file)
