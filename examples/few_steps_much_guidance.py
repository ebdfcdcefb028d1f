"""A grid from one seed: columns are numbers of steps, rows are guidance scales.

python examples/few_steps_much_guidance.py "a green frog in a park" grid.png
"""

import sys
from dataclasses import replace

import sdloop
from sdloop.images.sheet import sheet

prompt, file = sys.argv[1:]
components = sdloop.load_components()
recipe = sdloop.Recipe(prompt=prompt, seed=4)
counts, scales = (1, 2, 5, 10), (1.0, 7.5)

rows = []
for scale in scales:
    wanted = [replace(recipe, steps=count, guidance_scale=scale) for count in counts]
    rows.append([picture.image for picture in sdloop.generate(components, wanted)])

columns = [f"steps {count}" for count in counts]
sheet(rows, columns=columns, rows=[f"guidance {scale:g}" for scale in scales]).save(file)
