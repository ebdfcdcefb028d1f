"""A sketch of a rabbit hops over the page, and becomes a carving of one, twelve frames long.

    python examples/hopping_sketch.py examples/sketch/rabbit.png "a wooden rabbit in a park" hop.gif

The sketch is written beside it, as hop-sketch.gif, for `sdloop animate` to try other words on.
"""

import itertools
import math
import sys
from pathlib import Path

from PIL import Image

import sdloop
from sdloop.animate import Frame, animate
from sdloop.moving import open_clip, write_moving

sketch, prompt, output = sys.argv[1:]
rabbit = Image.open(sketch).convert("RGB").resize((48, 48), Image.Resampling.LANCZOS)


def page(index: int) -> Image.Image:
    """The rabbit on its way to the right and back, two hops each way."""
    turn = 2 * math.pi * index / 12
    sheet = Image.new("RGB", (64, 64), rabbit.getpixel((0, 0)))
    across, up = 8 - 8 * math.cos(turn), 14 * abs(math.sin(2 * turn))
    sheet.paste(rabbit, (round(across), round(16 - up)))
    return sheet


pages = Path(output).with_name(f"{Path(output).stem}-sketch.gif")
write_moving(pages, map(page, range(12)), durations=itertools.repeat(1 / 10), exists="overwrite")

recipe = sdloop.Recipe(prompt=prompt, seed=4, strength=0.6)
events = animate(sdloop.load_components(), open_clip([str(pages)]), recipe, carry=0.3)
frames = (event.image for event in events if isinstance(event, Frame))
write_moving(Path(output), frames, durations=itertools.repeat(1 / 10), exists="overwrite")
