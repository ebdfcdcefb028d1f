"""Draw a hopping rabbit as an animation, and restyle it with a prompt; both files are saved.

python examples/hopping_sketch.py "a wooden carving of a rabbit" hop.webp
"""

import itertools
import math
import sys
from pathlib import Path

from PIL import Image, ImageDraw

import sdloop
from sdloop.animation.read import open_frames
from sdloop.animation.write import write_moving
from sdloop.pipeline.animate import Frame, animate


def page(index: int) -> Image.Image:
    """One of the twelve frames: the rabbit on the ground or in the air, drawn large and reduced."""
    ground = 190 - 34 * abs(math.sin(math.pi * index / 6))
    pen = ImageDraw.Draw(sheet := Image.new("RGB", (256, 256), "#dfe8ee"))
    pen.rectangle((0, 226, 256, 256), "#b9c6a0")
    for x, y, across, down, colour in (
        *((x, -106, 13, 36, "#f4c9c0") for x in (104, 146)),
        *((128, y, size, size - 6, "#c8a070") for y, size in ((0, 54), (-54, 42))),
        *((x, -60, 4, 5, "#202020") for x in (112, 144)),
        *((x, 42, 22, 11, "#c8a070") for x in (98, 158)),
    ):
        y += ground
        pen.ellipse((x - across, y - down, x + across, y + down), colour, "#404040", 5)
    return sheet.resize((128, 128), Image.Resampling.LANCZOS)


prompt, file = sys.argv[1:]
sketch = Path(file).with_name("hop-sketch.gif")
write_moving(sketch, map(page, range(12)), durations=itertools.repeat(0.1), exists="overwrite")
recipe = sdloop.Recipe(prompt=prompt, seed=4, strength=0.3)
events = animate(sdloop.load_components(), open_frames([str(sketch)]), recipe, carry=0.3)
frames = (event.image for event in events if isinstance(event, Frame))
write_moving(Path(file), frames, durations=itertools.repeat(0.1), exists="overwrite")
