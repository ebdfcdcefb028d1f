"""Save the clean pictures that the UNet predicts at each step, side by side.

python examples/watch_every_step.py "frogs on stilts" steps.png
"""

import sys

import torch

import sdloop
from sdloop.images.sheet import sheet
from sdloop.latents.vae import decode, to_images

prompt, file = sys.argv[1:]
components = sdloop.load_components()
recipe = sdloop.Recipe(prompt=prompt, seed=4, steps=10)

seen = []
for event in sdloop.stream(components, recipe):
    if isinstance(event, sdloop.Step):
        print(f"step {event.index + 1} of {event.total}: sigma {event.sigma:.2f}")
        seen.append(event.denoised)

images = to_images(decode(components.vae, torch.cat(seen)))
sheet([images], scale=1).save(file)
