"""Run img2img with five strengths; save the picture and the results as one row.

python examples/sketch_strengths.py examples/sketch/rabbit.png "a brown rabbit in a park" row.png
"""

import sys
from pathlib import Path

from PIL import Image

import sdloop
from sdloop.images.sheet import sheet

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)

sketch, prompt, file = sys.argv[1:]
components = sdloop.load_components()
recipes = [
    sdloop.Recipe(prompt=prompt, seed=4, image=sketch, strength=strength) for strength in STRENGTHS
]
made = [picture.image for picture in sdloop.generate(components, recipes)]

size = (made[0].width * 2, made[0].height * 2)  # easier to see
row = [image.resize(size, Image.Resampling.NEAREST) for image in (Image.open(sketch), *made)]
Path(file).parent.mkdir(parents=True, exist_ok=True)
sheet([row], scale=1).save(file)
