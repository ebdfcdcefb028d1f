"""Make a picture stage by stage: encode the prompt, set the steps, draw noise, denoise, decode.

python examples/five_stages.py "a green frog in a park" out.png
"""

import sys

import sdloop
from sdloop.conditioning.encode import condition
from sdloop.latents.noise import noise, seeded_generators
from sdloop.latents.vae import decode, to_images
from sdloop.schedulers.schedule import make_scheduler, set_steps

prompt, file = sys.argv[1:]
components = sdloop.load_components()
unet = components.unet

conditioning = condition(components, sdloop.Recipe(prompt=prompt, seed=4))
scheduler = make_scheduler(components.scheduler_config, scheduler="euler")
timesteps, sigmas = set_steps(scheduler, 25)
side = unet.config.sample_size
latents = noise(seeded_generators([4]), unet.config.in_channels, side, side).to(unet.device)
latents = latents * scheduler.init_noise_sigma

numbers = {"timesteps": timesteps, "sigmas": sigmas, "guidance_scale": 3.0}
for step in sdloop.denoise(unet, scheduler, latents, conditioning, **numbers):
    print(f"step {step.index:2}: sigma {step.sigma:6.2f}, denoised {step.denoised.std():.3f}")

to_images(decode(components.vae, step.latents))[0].save(file)
