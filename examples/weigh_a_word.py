"""Make a row of pictures with six weights of a word; {} in the prompt stands for the weight.

python examples/weigh_a_word.py "a (red:{}) and yellow house" row.png
"""

import sys
from pathlib import Path

import sdloop
from sdloop.images.sheet import sheet

WEIGHTS = (0.5, 0.8, 1.0, 1.1, 1.25, 1.5)

prompt, file = sys.argv[1:]
components = sdloop.load_components()
recipes = [sdloop.Recipe(prompt=prompt.format(weight), seed=4) for weight in WEIGHTS]
row = [picture.image for picture in sdloop.generate(components, recipes)]

Path(file).parent.mkdir(parents=True, exist_ok=True)
sheet([row], columns=[f"{weight:g}" for weight in WEIGHTS]).save(file)
