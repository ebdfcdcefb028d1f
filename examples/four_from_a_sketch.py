"""Make four pictures that follow the lines of a sketch; save it and them as one row.

python examples/four_from_a_sketch.py examples/sketch/frog.png row.png
"""

import sys
from pathlib import Path

from PIL import Image

import sdloop
from sdloop.images.sheet import sheet

PROMPTS = (
    "a red frog",
    "a watercolour of a blue frog in a park",
    "a wooden carving of a frog on a stage",
    "a pencil sketch of a green frog in the snow",
)

sketch, file = sys.argv[1:]
components = sdloop.load_components()
recipes = [
    sdloop.Recipe(prompt=prompt, seed=4, controls=(f"edges={sketch}",)) for prompt in PROMPTS
]
made = [picture.image for picture in sdloop.generate(components, recipes)]

size = (made[0].width * 2, made[0].height * 2)  # easier to see
row = [image.resize(size, Image.Resampling.NEAREST) for image in (Image.open(sketch), *made)]
Path(file).parent.mkdir(parents=True, exist_ok=True)
sheet([row], scale=1).save(file)
