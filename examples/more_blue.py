"""Steer pictures with a loss, with a higher scale in each row; print their mean blue value.

python examples/more_blue.py "a frog on a stage" 8 more-blue.png
"""

import sys
from dataclasses import replace

from PIL import ImageStat

import sdloop
from sdloop.images.sheet import sheet

SCALES = (0, 25, 50, 100, 200)

prompt, seeds, file = sys.argv[1], range(1, int(sys.argv[2]) + 1), sys.argv[3]
components = sdloop.load_components()
recipes = [sdloop.Recipe(prompt=prompt, seed=seed) for seed in seeds]

rows = []
for scale in SCALES:
    steered = [replace(recipe, losses=(f"blue={scale}",)) for recipe in recipes]
    rows.append([picture.image for picture in sdloop.generate(components, steered)])
    blues = [ImageStat.Stat(image).mean[2] for image in rows[-1]]
    print(f"blue={scale}: mean blue {sum(blues) / len(blues):.0f}", *map(round, blues))

columns = [f"seed {seed}" for seed in seeds]
sheet(rows, columns=columns, rows=[f"blue={scale}" for scale in SCALES]).save(file)
