"""Show the pictures that a word was trained on, and three rows of pictures made with it.

python examples/penguin/rows.py examples/penguin/my-penguin.safetensors examples/penguin/rows.png
"""

import sys
from pathlib import Path

from PIL import Image

import sdloop

PROMPTS = ("a <my-penguin>", "a <my-penguin> on stilts", "a <my-penguin> in the snow")

learned, file = sys.argv[1:]
components = sdloop.load_components()
drawn = sorted((Path(__file__).parent / "pictures").glob("*.png"))
rows = [[Image.open(path) for path in drawn]]
for prompt in PROMPTS:
    recipes = [
        sdloop.Recipe(prompt=prompt, seed=seed, embeddings=(learned,)) for seed in range(1, 9)
    ]
    rows.append([picture.image for picture in sdloop.generate(components, recipes)])

side = 128  # easier to see
sheet = Image.new("RGB", (side * 8, side * len(rows)))
for down, row in enumerate(rows):
    for across, image in enumerate(row):
        place = side * across, side * down
        sheet.paste(image.resize((side, side), Image.Resampling.NEAREST), place)
sheet.save(file)
