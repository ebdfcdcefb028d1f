"""Print the noise levels of a scheduler, and show a picture with the noise of each step.

python examples/look_at_schedule.py examples/sketch/park.png noised.png
"""

import sys

from PIL import Image

import sdloop
from sdloop.images.sheet import captioned
from sdloop.inspection.latents import noised
from sdloop.inspection.schedules import schedule_of
from sdloop.latents.noise import seeded_generators
from sdloop.recipe.resolve import resolve

source, file = sys.argv[1:]
components = sdloop.load_components()
with Image.open(source) as opened:
    picture = opened.convert("RGB").resize(components.native_size)

recipe = sdloop.Recipe(prompt="", seed=0, scheduler="euler", sigmas="karras", steps=8)
levels = schedule_of(resolve(recipe, components), components).noise_levels
for one in levels:
    print(f"t {one.timestep:5.0f}  sigma {one.sigma:7.3f}  signal to noise {one.decibels:6.1f} dB")

images = noised(components.vae, picture, levels, seeded_generators([0])[0])
labels = [f"sigma {one.sigma:.3g}" for one in levels]
captioned(list(zip(labels, images, strict=True)), across=8).save(file)
