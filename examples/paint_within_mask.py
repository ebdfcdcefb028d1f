"""Inpaint with four prompts; save the picture, the mask and the results as one row.

python examples/paint_within_mask.py examples/sketch/park.png examples/sketch/mask.png row.png
"""

import sys
from pathlib import Path

from PIL import Image

import sdloop
from sdloop.images.sheet import sheet

PROMPTS = (
    "a green frog in a park",
    "a blue robot in a park",
    "a white cat in a park",
    "an orange house in a park",
)

photo, mask, file = sys.argv[1:]
components = sdloop.load_components()
recipes = [sdloop.Recipe(prompt=prompt, seed=4, image=photo, mask=mask) for prompt in PROMPTS]
made = [picture.image for picture in sdloop.generate(components, recipes)]

size = (made[0].width * 2, made[0].height * 2)  # easier to see
row = [
    image.resize(size, Image.Resampling.NEAREST)
    for image in (Image.open(photo), Image.open(mask), *made)
]
Path(file).parent.mkdir(parents=True, exist_ok=True)
sheet([row], scale=1).save(file)
